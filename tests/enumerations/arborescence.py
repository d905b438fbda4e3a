"""Spanning arborescences: every assignment of heads in which all words descend from the root."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from tests.enumerations.projective_tree import ancestors


def arborescence_events(m: int, *, single_root: bool = False, length: int | None = None) -> Tensor:
    """Every tree over node 0 and the first `length` of `m - 1` words: `(s, m, m)`, `[head, dependent]`."""
    words = range(1, m if length is None else length + 1)
    found = []
    for choice in itertools.product(range(len(words) + 1), repeat=len(words)):
        heads = dict(zip(words, choice, strict=True))
        roots = choice.count(0)
        if all(ancestors(word, heads) is not None for word in words) and not (single_root and roots > 1):
            found.append(heads)
    events = torch.zeros(len(found), m, m, dtype=torch.float64)
    for row, heads in enumerate(found):
        for dependent, head in heads.items():
            events[row, head, dependent] = 1
    return events
