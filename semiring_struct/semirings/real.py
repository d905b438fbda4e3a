"""The real semiring: sums and products of weights as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from .base import Semiring


@final
@dataclass(frozen=True)
class RealSemiring(Semiring):
    """(+, *, 0, 1) on weights, the exponentials of log-weights.

    The gradient of a total is the partition function times the part marginals; large scores overflow.
    """

    def lift(self, log_weight: Tensor) -> Tensor:
        """The weight."""
        return log_weight.exp().unsqueeze(0)

    def read(self, total: Tensor) -> Tensor:
        """The total weight."""
        return total.squeeze(0)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Weights multiply."""
        return a * b

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Weights add."""
        return x.sum(dim)
