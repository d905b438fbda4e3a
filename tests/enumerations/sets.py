"""Sets of items: every vector of bits, every subset of a size, with or without scores of neighbours."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def subset_events(n: int, sizes: range | tuple[int, ...], *, length: int | None = None) -> Tensor:
    """Every subset, of a size among `sizes`, of the first `length` of `n` items: `(s, n)`."""
    items = range(n if length is None else length)
    chosen = [taken for size in sizes for taken in combinations(items, size)]
    events = torch.zeros(len(chosen), n, dtype=torch.float64)
    for row, taken in enumerate(chosen):
        for i in taken:
            events[row, i] = 1
    return events


def bit_events(d: int, *, length: int | None = None) -> Tensor:
    """Every vector of `d` bits, those past `length` off: `(s, d)`."""
    return subset_events(d, range(d + 1), length=length)


def correlated_subset_events(n: int, k: int, *, tied: bool = False, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Every subset of `k` items `(s, n)`, and where items i and i+1 are both in it, `(s, n-1)` or counted `(s, 1)`."""
    item = subset_events(n, (k,), length=length)
    pair = torch.zeros(len(item), n - 1, dtype=torch.float64)
    for row in range(len(item)):
        for i in range(n - 1):
            pair[row, i] = float(item[row, i] == 1 and item[row, i + 1] == 1)
    return item, pair.sum(1, keepdim=True) if tied else pair
