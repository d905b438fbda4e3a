"""Laws of random utilities, one independent variable per part, each with the divergence between two of its kind."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from .logspace import NEG_INF
from .noise import exponential, gumbel, uniform

_EULER = 0.5772156649015329


class Utility(ABC):
    """A law `U(theta)` on each part; `theta = -inf` is a forbidden part, of utility `-inf`."""

    @abstractmethod
    def draw(self, theta: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One draw per entry, differentiable in `theta`, in float32 or float64."""

    @abstractmethod
    def score(self, theta: Tensor, utilities: Tensor) -> Tensor:
        """The derivative of the log-density at `utilities` in `theta`, entry by entry; both finite."""

    @abstractmethod
    def divergence(self, theta: Tensor, theta0: Tensor, scale0: float) -> Tensor:
        """The divergence of finite entries."""

    def fitted(self, active: Tensor) -> Utility:
        """The law for structures of `active` parts each, where it depends on that."""
        return self

    def kl(self, theta: Tensor, theta0: Tensor | float = 0.0, prior: Utility | None = None) -> Tensor:
        """`KL(U(theta) || U0(theta0))` in nats, entry by entry: sum it over a structure's parts.

        `prior`: the law `U0`, of the same kind; None is the same law. It bounds the divergence of the structures that
        the utilities choose. A part that `theta` forbids adds 0; one that only `theta0` forbids adds `inf`.
        Shape: broadcasting. Source: Paulus et al. 2020, sec. 8.1 (the bound) [paulus2020].
        """
        other = self if prior is None else prior
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__}.kl needs a prior of its own kind; got {type(other).__name__}")
        theta0 = torch.as_tensor(theta0, dtype=theta.dtype, device=theta.device)
        theta, theta0 = torch.broadcast_tensors(theta, theta0)
        free = (theta > NEG_INF) & (theta0 > NEG_INF)
        value = self.divergence(torch.where(free, theta, 0.0), torch.where(free, theta0, 0.0), _scale_of(other))
        beyond = torch.where(theta == NEG_INF, 0.0, torch.where(theta.isnan(), theta, torch.inf))
        return torch.where(free, value, beyond)


@final
@dataclass(frozen=True)
class Gumbel(Utility):
    """`theta + scale G`, G a standard Gumbel: on `OneOf` the argmax is a draw of `softmax(theta / scale)`."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def draw(self, theta: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Shifted Gumbels."""
        theta = _wide(theta)
        return theta + self.scale * gumbel(theta.shape, generator=generator, dtype=theta.dtype, device=theta.device)

    def score(self, theta: Tensor, utilities: Tensor) -> Tensor:
        """`(1 - exp(-e)) / scale`, `e` the noise in units of the scale."""
        return -torch.expm1((theta - utilities) / self.scale) / self.scale

    def divergence(self, theta: Tensor, theta0: Tensor, scale0: float) -> Tensor:
        """`d + exp(-d) Gamma(1 + r) - 1 + euler (r - 1) - log r`, d in units of scale0, `r = scale / scale0`."""
        r, d = self.scale / scale0, (theta - theta0) / scale0
        return d + torch.expm1(-d) * math.gamma(1 + r) + (math.gamma(1 + r) - 1 + _EULER * (r - 1) - math.log(r))


@final
@dataclass(frozen=True)
class Gaussian(Utility):
    """`theta + scale N(0, 1)`."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def draw(self, theta: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Shifted normals."""
        theta = _wide(theta)
        noise = torch.randn(theta.shape, generator=generator, dtype=theta.dtype, device=theta.device)
        return theta + self.scale * noise

    def score(self, theta: Tensor, utilities: Tensor) -> Tensor:
        """`e / scale`, `e` the noise in units of the scale."""
        return (utilities - theta) / self.scale**2

    def divergence(self, theta: Tensor, theta0: Tensor, scale0: float) -> Tensor:
        """`(d^2 + r^2 - 1) / 2 - log r`, d in units of scale0, `r = scale / scale0`."""
        r, d = self.scale / scale0, (theta - theta0) / scale0
        return (d.square() + (r * r - 1)) / 2 - math.log(r)


@final
@dataclass(frozen=True)
class NegativeExponential(Utility):
    """`-E`, E exponential of rate `exp(theta)`: the recursive structure of [struminsky2021] holds for these."""

    def draw(self, theta: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """`-exp(-theta)` times an Exp(1)."""
        theta = _wide(theta)
        unit = exponential(theta.shape, generator=generator, dtype=theta.dtype, device=theta.device)
        forbidden = theta == NEG_INF
        return torch.where(forbidden, NEG_INF, -unit * torch.where(forbidden, 0.0, -theta).exp())

    def score(self, theta: Tensor, utilities: Tensor) -> Tensor:
        """`1 - rate E`."""
        return 1 + utilities * theta.exp()

    def divergence(self, theta: Tensor, theta0: Tensor, scale0: float) -> Tensor:
        """`d + exp(-d) - 1` for the difference `d` of log-rates."""
        d = theta - theta0
        return d + torch.expm1(-d)


@final
@dataclass(frozen=True)
class Logistic(Utility):
    """`theta + scale L`, L a standard logistic: the argmax of `BitVector` is a draw of independent bits."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def draw(self, theta: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Shifted logistics."""
        theta = _wide(theta)
        draw = uniform(theta.shape, generator=generator, dtype=torch.float64, device=theta.device).logit()
        return theta + self.scale * draw.to(theta.dtype)

    def score(self, theta: Tensor, utilities: Tensor) -> Tensor:
        """`tanh(e / 2) / scale`, `e` the noise in units of the scale."""
        return torch.tanh((utilities - theta) / (2 * self.scale)) / self.scale

    def divergence(self, theta: Tensor, theta0: Tensor, scale0: float) -> Tensor:
        """`d coth(d / 2) - 2`, d in units of the scale, which the two share: other pairs have no closed form."""
        if scale0 != self.scale:
            raise ValueError(f"Logistic.kl is known for equal scales only; got {self.scale} and {scale0}")
        d = (theta - theta0) / self.scale
        near = d.abs() < 0.1
        square, far = torch.where(near, d, 0.0).square(), torch.where(near, 1.0, d)
        # its power series near 0, where the two terms cancel
        series = square / 6 * (1 - square / 60 * (1 - square / 42 * (1 - square / 40)))
        return torch.where(near, series, far / torch.tanh(far / 2) - 2)


@final
@dataclass(frozen=True, eq=False)
class SumOfGamma(Utility):
    """`theta` plus noise of which the sum over the `active` parts of a structure is close to Gumbel(0, scale).

    `(scale / k) (sum_{i=1}^{s} Gamma(1/k, scale k/i) - log s)`, `k` the parts in use and `s` the `terms`.
    Source: Niepert, Minervini & Franceschi 2021, sec. 3.3, theorem 1 [niepert2021].
    """

    scale: float = 1.0
    terms: int = 10
    active: float | Tensor | None = None
    """`k`; None is 1, or what `fitted` is told."""

    def __post_init__(self) -> None:
        _check_scale(self)
        if self.terms < 1 or (isinstance(self.active, (int, float)) and not self.active > 0):
            raise ValueError(f"SumOfGamma needs terms >= 1 and active > 0 or None; got {self}")

    def fitted(self, active: Tensor) -> Utility:
        """With `active` in the place of None; it broadcasts to the potentials."""
        return replace(self, active=active) if self.active is None else self

    def draw(self, theta: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Shifted sums of `terms` Gamma variables, centred by the log of their number."""
        theta = _wide(theta)
        like = {"dtype": theta.dtype, "device": theta.device}
        k = torch.as_tensor(1.0 if self.active is None else self.active, **like).clamp(min=1.0).expand(theta.shape)
        total = torch.zeros(theta.shape, **like)
        for i in range(1, self.terms + 1):
            # the sampler behind torch.distributions.Gamma, which takes no generator itself
            part = torch._standard_gamma(1 / k, generator=generator)  # type: ignore[attr-defined]
            total = total + part * (k / i)
        return theta + (self.scale / k) * (total - math.log(self.terms))

    def score(self, theta: Tensor, utilities: Tensor) -> Tensor:
        """Raises `NotImplementedError`: the density has no closed form."""
        raise NotImplementedError("SumOfGamma has no closed density; use Gumbel or Gaussian here")

    def divergence(self, theta: Tensor, theta0: Tensor, scale0: float) -> Tensor:
        """Raises `NotImplementedError`: the density has no closed form."""
        raise NotImplementedError("SumOfGamma has no closed divergence; use Gumbel or Gaussian here")


def _wide(theta: Tensor) -> Tensor:
    return theta.float() if theta.dtype in (torch.float16, torch.bfloat16) else theta


def _scale_of(law: Utility) -> float:
    return getattr(law, "scale", 1.0)


def _check_scale(law: Gumbel | Gaussian | Logistic | SumOfGamma) -> None:
    if not 0 < law.scale < float("inf"):
        raise ValueError(f"{type(law).__name__} needs a finite scale above 0; got {law.scale}")
