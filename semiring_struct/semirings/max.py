"""The max semiring: best scores and best structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import max_value, one_hot_argmax

from .base import OneNumber, Reduction


@final
@dataclass(frozen=True)
class MaxReduction(Reduction):
    """The largest term; the choice is the first best one."""

    def value(self, x: Tensor) -> Tensor:
        """The largest entry."""
        return x.amax(-1)

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """1 at the first best entry: a tie picks one, never a blend."""
        return one_hot_argmax(x, -1)

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """Nothing: the choice is piecewise constant."""
        return torch.zeros_like(weights)


@final
@dataclass(frozen=True)
class MaxSemiring(OneNumber):
    """(max, +, -inf, 0) on log-weights.

    The gradient of a total is one best structure; a tie picks one, never a blend.
    """

    @property
    def reduction(self) -> Reduction:
        """First best."""
        return MaxReduction()

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """The largest."""
        return max_value(x, dim)
