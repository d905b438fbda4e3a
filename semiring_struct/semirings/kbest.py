"""The k-best semiring: the k highest scores, with multiplicity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, top_values

from .base import Semiring


@final
@dataclass(frozen=True)
class KBestSemiring(Semiring):
    """(k best of the union, k best of the pairwise sums, all -inf, (0, -inf, ...)) on descending lists of log-weights.

    The gradient of value i of a total is one i-th best structure; blanks (`-inf`) have gradient 0.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"KBestSemiring needs k of at least 1; got {self.k}.")

    def lift(self, log_weight: Tensor) -> Tensor:
        """A list of one."""
        blanks = log_weight.new_full((self.k - 1, *log_weight.shape), NEG_INF)
        return torch.cat([log_weight.unsqueeze(0), blanks])

    def read(self, total: Tensor) -> Tensor:
        """The list, `(k, *batch)`."""
        return total

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """k best sums of a pair: ranks i and j (from 1) can matter only if `i * j <= k`, some k log k of k^2 pairs."""
        pairs = [(i, j) for i in range(self.k) for j in range(self.k) if (i + 1) * (j + 1) <= self.k]
        return top_values(torch.stack([a[i] + b[j] for i, j in pairs]), self.k, 0)

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """k best of all lists along `dim`."""
        return top_values(x.movedim(dim, 1).flatten(0, 1), self.k, 0)
