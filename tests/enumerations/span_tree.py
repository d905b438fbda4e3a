"""Binary bracketings: every full binary tree over a row of leaves, with a label on every span."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def bracketings(first: int, last: int) -> list[list[tuple[int, int]]]:
    """The spans of every full binary tree over leaves `first..last`, inclusive."""
    if first == last:
        return [[(first, last)]]
    return [
        [(first, last), *left, *right]
        for split in range(first, last)
        for left in bracketings(first, split)
        for right in bracketings(split + 1, last)
    ]


def span_events(n: int, c: int | None = None, *, length: int | None = None) -> Tensor:
    """Every binary tree over the first `length` of `n` leaves: `(s, n, n)`, or `(s, n, n, c)` with labels."""
    length = n if length is None else length
    trees = bracketings(0, length - 1) if length else [[]]
    labels = range(1 if c is None else c)
    found = [(tree, chosen) for tree in trees for chosen in itertools.product(labels, repeat=len(tree))]
    events = torch.zeros(len(found), n, n, len(labels), dtype=torch.float64)
    for row, (tree, chosen) in enumerate(found):
        for (i, j), label in zip(tree, chosen, strict=True):
            events[row, i, j, label] = 1
    return events.squeeze(-1) if c is None else events
