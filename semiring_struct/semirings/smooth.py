"""Smoothed maxima, each the max over the simplex of the mean less a convex regulariser [mensch2018].

All are scaled so that the regulariser is 0 at a vertex: one alternative alone keeps its own value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import entmax, logsumexp, tsallis_max

from .base import OneNumber, Reduction


def _check_temperature(temperature: float, who: str) -> None:
    if not 0 < temperature < float("inf"):
        raise ValueError(f"{who} needs a finite temperature above 0; got {temperature}. For 0 use MaxSemiring().")


def _tsallis_bend(weights: Tensor, alpha: float, temperature: float, tangent: Tensor) -> Tensor:
    """Jacobian of entmax times `tangent`: `(diag(s) - s s^T / sum(s)) / t` with `s = weights^(2 - alpha)`."""
    used = weights > 0
    s = torch.where(used, weights, 1.0).pow_(2 - alpha)
    # above alpha 2 a vanishing weight has a slope that overflows; the cap leaves its share of the sum at 1
    s = torch.where(used, s.clamp_max_(torch.finfo(s.dtype).max ** 0.5), 0.0)
    total = s.sum(-1, keepdim=True)
    mean = (s * tangent).sum(-1, keepdim=True) / torch.where(total == 0, 1.0, total)
    return s * (tangent - mean) / temperature


@final
@dataclass(frozen=True)
class SoftmaxReduction(Reduction):
    """Logsumexp at a temperature."""

    temperature: float

    def value(self, x: Tensor) -> Tensor:
        """`t log sum exp(x / t)`."""
        return (x / self.temperature).exp_().sum(-1).log_().mul_(self.temperature)

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Softmax of `x / t`."""
        part = (x / self.temperature).exp_()
        # a centred row holds a 0, so its sum is at least 1 unless the row is all -inf
        return part.div_(part.sum(-1, keepdim=True).clamp_min_(1.0))

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """Weights times the tangent less its mean, over the temperature."""
        pulled = weights * tangent
        return pulled.sub_(weights * pulled.sum(-1, keepdim=True)).div_(self.temperature)


@final
@dataclass(frozen=True)
class EntmaxReduction(Reduction):
    """The Tsallis-smoothed maximum at a temperature."""

    alpha: float
    temperature: float

    def value(self, x: Tensor) -> Tensor:
        """`t max_Omega(x / t)`."""
        return tsallis_max(x / self.temperature, self.alpha, -1) * self.temperature

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Entmax of `x / t`."""
        return entmax(x / self.temperature, self.alpha, -1)

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """Moves weight within the support only."""
        return _tsallis_bend(weights, self.alpha, self.temperature, tangent)


@final
@dataclass(frozen=True)
class SparsemaxReduction(Reduction):
    """Entmax with alpha 2: the projection onto the simplex."""

    temperature: float

    def value(self, x: Tensor) -> Tensor:
        """`t max_Omega(x / t)` with the Gini regulariser."""
        return tsallis_max(x / self.temperature, 2.0, -1) * self.temperature

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Sparsemax of `x / t`."""
        return entmax(x / self.temperature, 2.0, -1)

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """The tangent less its mean on the support, over the temperature."""
        return _tsallis_bend(weights, 2.0, self.temperature, tangent)


@final
@dataclass(frozen=True)
class SoftmaxSemiring(OneNumber):
    """(t logsumexp(./t), +, -inf, 0) on log-weights; temperature 1 is the log semiring.

    The gradient of a total is the tensor of part marginals of the distribution with log-potentials divided by t.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature, "SoftmaxSemiring")

    @property
    def reduction(self) -> Reduction:
        """Posterior weights at the temperature."""
        return SoftmaxReduction(self.temperature)

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """The log-sum of tempered weights, times the temperature."""
        return self.temperature * logsumexp(x / self.temperature, dim)


@final
@dataclass(frozen=True)
class SparsemaxSemiring(OneNumber):
    """(t max_p <p, ./t> + (1 - |p|^2) / 2, +, -inf, 0) on log-weights; ⊕ commutes but is not associative.

    The gradient of a total is a sparse relaxed structure: the expected one under local sparsemax choices.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature, "SparsemaxSemiring")

    @property
    def associative(self) -> bool:
        """False: grouping the terms changes the value, so a program's own grouping is part of its meaning."""
        return False

    @property
    def reduction(self) -> Reduction:
        """Sparsemax weights."""
        return SparsemaxReduction(self.temperature)

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """The smoothed maximum."""
        return self.temperature * tsallis_max(x / self.temperature, 2.0, dim)


@final
@dataclass(frozen=True)
class EntmaxSemiring(OneNumber):
    """(t max_p <p, ./t> + (1 - sum p^a) / (a (a - 1)), +, -inf, 0) on log-weights; associative only for alpha 1.

    The gradient of a total is a sparse relaxed structure: the expected one under local entmax choices.
    """

    alpha: float = 1.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature, "EntmaxSemiring")
        if not 1 <= self.alpha < float("inf"):
            raise ValueError(f"EntmaxSemiring needs a finite alpha of at least 1 (1 is softmax); got {self.alpha}.")

    @property
    def associative(self) -> bool:
        """True for alpha 1 only, where it is the log semiring at a temperature."""
        return self.alpha == 1

    @property
    def reduction(self) -> Reduction:
        """Entmax weights."""
        return SoftmaxReduction(self.temperature) if self.alpha == 1 else EntmaxReduction(self.alpha, self.temperature)

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """The smoothed maximum."""
        return self.temperature * tsallis_max(x / self.temperature, self.alpha, dim)
