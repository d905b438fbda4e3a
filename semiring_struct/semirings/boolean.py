"""The boolean semiring: whether any structure is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from semiring_struct.ops import NEG_INF

from .base import Semiring


@final
@dataclass(frozen=True)
class BooleanSemiring(Semiring):
    """(or, and, False, True) on whether a part is allowed.

    A total has no gradient.
    """

    def lift(self, log_weight: Tensor) -> Tensor:
        """True where allowed."""
        return (log_weight > NEG_INF).unsqueeze(0)

    def read(self, total: Tensor) -> Tensor:
        """True where at least one structure is allowed."""
        return total.squeeze(0)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """And."""
        return a & b

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Or."""
        return x.any(dim)
