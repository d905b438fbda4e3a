"""Matchings of rows and columns, greedily."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.traces.cells import Cells
from semiring_struct.traces.kruskal import used_pairs
from semiring_struct.traces.shrinking import Shrinking


class Unmatched(NamedTuple):
    """The pairs of rows and columns that are both free `(B, n, n)`, how many are still to be matched `(B,)`."""

    pairs: Tensor
    needed: Tensor


@final
class GreedyMatching(Shrinking):
    """Perfect matchings of n rows and n columns: the smallest of all pairs, then row and column are struck out.

    Not the matching of smallest sum: the algorithms that find that one lack the stochastic invariant.

    Shape (after any batch dims):
        - log_rates: `(n, n)`; `[row, column]`. lengths count rows, and columns.
        - trace: `(n)`; the pairs `row * n + column` in the order taken. A matching has `n!` traces.
        - event: `(n, n)`; 1 at `[row, column]` of each pair.

    Forbidden pairs may leave rows and columns that can not be matched, though others could have been: such a run is
    refused as infeasible.

    Cost: n steps of `O(n^2)`.
    Reference: Struminsky et al. 2021, sec. 2.3 [struminsky2021].
    """

    event_dim = 2
    rates_dim = 2

    def entries(self, size: int) -> int:
        """One per row."""
        return size

    def size(self, entries: int) -> int:
        """As many rows."""
        return entries

    def start(self, allowed: Tensor, lengths: Tensor) -> Unmatched:
        """All free."""
        return Unmatched(allowed, lengths)

    def stop(self, state: Unmatched) -> Tensor:
        """All matched."""
        return state.needed == 0

    def split(self, state: Unmatched, step: int) -> Cells:
        """One cell: the pairs of free rows and free columns."""
        return Cells.one(state.pairs.flatten(1), step)

    def map(self, state: Unmatched, picks: Tensor) -> Unmatched:
        """Strikes out the row and the column."""
        n = state.pairs.shape[-1]
        at = torch.arange(n, device=picks.device)
        row = (at == picks // n).unsqueeze(-1)
        column = (at == picks % n).unsqueeze(-2)
        struck = (row | column) & (picks >= 0).unsqueeze(-1)
        return Unmatched(state.pairs & ~struck, state.needed - (picks[:, 0] >= 0).long())

    def combine(self, trace: Tensor) -> Tensor:
        """The pairs taken."""
        return used_pairs(trace, trace.shape[-1])
