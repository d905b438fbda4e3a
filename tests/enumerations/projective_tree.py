"""Projective dependency trees: every assignment of heads that makes a tree without crossing arcs."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def ancestors(node: int, heads: dict[int, int]) -> list[int] | None:
    """The nodes above `node` up to the root 0; None if the heads run in a circle."""
    above: list[int] = []
    while node != 0:
        node = heads[node]
        if node in above:
            return None
        above.append(node)
    return above


def is_projective_tree(heads: dict[int, int], single_root: bool) -> bool:
    """Is every word below the root, and every node strictly between an arc's ends a descendant of its head?"""
    if single_root and list(heads.values()).count(0) > 1:
        return False
    above = {node: ancestors(node, heads) for node in heads}
    if any(line is None for line in above.values()):
        return False
    return all(
        head in (above[between] or ())
        for dependent, head in heads.items()
        for between in range(min(head, dependent) + 1, max(head, dependent))
    )


def projective_tree_events(m: int, *, single_root: bool = False, length: int | None = None) -> Tensor:
    """Every projective tree over node 0 and the first `length` of `m - 1` words: `(s, m, m)`, `[head, dependent]`."""
    words = range(1, m if length is None else length + 1)
    found = []
    for choice in itertools.product(range(len(words) + 1), repeat=len(words)):
        heads = dict(zip(words, choice, strict=True))
        if is_projective_tree(heads, single_root):
            found.append(heads)
    events = torch.zeros(len(found), m, m, dtype=torch.float64)
    for row, heads in enumerate(found):
        for dependent, head in heads.items():
            events[row, head, dependent] = 1
    return events
