"""The log semiring: partition functions and marginals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import logsumexp

from .base import OneNumber, Reduction


@final
@dataclass(frozen=True)
class LogReduction(Reduction):
    """Log of the summed weights; the choice is the posterior of the terms."""

    def value(self, x: Tensor) -> Tensor:
        """`log sum exp`, safe as it stands because `x` is centred."""
        return x.exp().sum(-1).log_()

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Softmax: one `exp`, one division."""
        part = x.exp()
        # a centred row holds a 0, so its sum is at least 1 unless the row is all -inf
        return part.div_(part.sum(-1, keepdim=True).clamp_min_(1.0))

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """Weights times the tangent less its mean."""
        pulled = weights * tangent
        return pulled.sub_(weights * pulled.sum(-1, keepdim=True))


@final
@dataclass(frozen=True)
class LogSemiring(OneNumber):
    """(logsumexp, +, -inf, 0) on log-weights.

    The gradient of a total is the tensor of part marginals, and it is differentiable again.
    """

    @property
    def reduction(self) -> Reduction:
        """Posterior weights."""
        return LogReduction()

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Log of the summed weights."""
        return logsumexp(x, dim)
