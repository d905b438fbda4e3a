"""Perfect matchings: every permutation."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def matching_events(n: int, *, length: int | None = None) -> Tensor:
    """Every matching of the first `length` of `n` rows and columns: `(s, n, n)`, `[row, column]`."""
    size = n if length is None else length
    found = list(itertools.permutations(range(size)))
    events = torch.zeros(len(found), n, n, dtype=torch.float64)
    for at, columns in enumerate(found):
        for row, column in enumerate(columns):
            events[at, row, column] = 1
    return events
