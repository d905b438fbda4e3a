"""The real semiring: sums and products of weights as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from .base import Weights


@final
@dataclass(frozen=True)
class RealSemiring(Weights):
    """(+, *, 0, 1) on weights, the exponentials of log-weights.

    The gradient of a total is the partition function times the part marginals; large scores overflow.
    """

    def lift(self, log_weight: Tensor) -> Tensor:
        """The weight."""
        return log_weight.exp().unsqueeze(0)
