"""The sampling semiring: log-partitions whose gradient is an exact draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from semiring_struct.ops import logsumexp, running_sum, uniform

from .base import OneNumber, Reduction
from .log import LogReduction

_LOG = LogReduction()


@final
@dataclass(frozen=True)
class SampleReduction(Reduction):
    """Logsumexp, whose choice is one draw from the posterior of the terms."""

    noisy: ClassVar[bool] = True
    generator: torch.Generator | None = None

    def value(self, x: Tensor) -> Tensor:
        """`log sum exp`."""
        return _LOG.value(x)

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A one-hot draw by inversion: one uniform and one running sum in float64."""
        mass = running_sum(x.exp().double())
        total = mass[..., -1:]
        u = uniform(total.shape, generator=generator or self.generator, dtype=torch.float64, device=x.device)
        # u is above 0, so the first running sum to reach u * total has just risen: a forbidden term is never drawn
        index = (mass < total * u).sum(-1, keepdim=True)
        return torch.zeros_like(x).scatter_(-1, index, (total > 0).to(x.dtype))

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """Nothing: a draw is piecewise constant."""
        return torch.zeros_like(weights)

    def slope(self, x: Tensor) -> Tensor:
        """The posterior weights."""
        return _LOG.weights(x)


@final
@dataclass(frozen=True)
class SampleSemiring(OneNumber):
    """(logsumexp, +, -inf, 0) on log-weights.

    The gradient of a total is one exact draw from the distribution over structures, not differentiable again. A cell
    makes one choice, so a program must not use a cell twice in one structure (`x * x`); `sample` has no such limit.
    """

    generator: torch.Generator | None = None

    @property
    def reduction(self) -> Reduction:
        """Exact draws."""
        return SampleReduction(self.generator)

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Log of the summed weights; backward goes to one drawn term."""
        fixed = x.detach().movedim(dim, -1)
        top = fixed.amax(-1, keepdim=True)
        drawn = SampleReduction(self.generator).weights(fixed - torch.where(top.isfinite(), top, 0.0)).movedim(-1, dim)
        kept = torch.where(drawn > 0, x, 0.0)
        return logsumexp(x.detach(), dim) + (kept - kept.detach()).sum(dim)
