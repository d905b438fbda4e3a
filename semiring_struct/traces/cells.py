"""The partition of one step: which keys compete with one another, and what is read from each group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, pick, segment_argmin, segment_logsumexp, segment_max


@dataclass(frozen=True)
class Cells:
    """Disjoint sets of keys; of each one key is chosen.

    `of (B, K)` int64 names the cell of every key, 0..size-1, or -1 for a key that takes no part in the step. The choice
    of cell `i` is written into entry `first + i` of the trace, which no other cell of the run may use.
    """

    of: Tensor
    size: int = 1
    first: int = 0

    @staticmethod
    def one(members: Tensor, entry: int) -> Cells:
        """A single cell, of the keys where `members (B, K)` is True, whose choice is entry `entry` of the trace."""
        return Cells(torch.where(members, 0, -1), 1, entry)

    def smallest(self, x: Tensor) -> Tensor:
        """The key of the smallest `x (B, K)` in each cell, `(B, size)`: the first on ties, -1 where all are inf."""
        return segment_argmin(x, self.of, self.size)

    def largest(self, x: Tensor) -> Tensor:
        """The largest `x (B, K)` in each cell, `(B, size)`, `-inf` for an empty cell; without gradients."""
        return segment_max(x, self.of, self.size)

    def log_total(self, log_rates: Tensor) -> Tensor:
        """The log of the summed rates of each cell, `(B, size)`, `-inf` for an empty cell."""
        return segment_logsumexp(log_rates, self.of, self.size)

    def spread(self, x: Tensor) -> Tensor:
        """To every key the value `x (B, size)` of its cell, `-inf` to keys in none: `(B, K)`."""
        return torch.where(self.of >= 0, pick(x, -1, self.of.clamp(min=0)), NEG_INF)

    def present(self) -> Tensor:
        """Which cells have any key, `(B, size)`."""
        return self.largest(torch.zeros_like(self.of, dtype=torch.float32)) > NEG_INF

    def holds(self, picks: Tensor) -> Tensor:
        """Whether each of some keys `(B, size)` is in the cell it is given for; False for -1."""
        here = torch.arange(self.size, device=picks.device)
        return (picks >= 0) & (self.of.gather(-1, picks.clamp(min=0)) == here)
