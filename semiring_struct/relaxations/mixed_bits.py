"""Mixed random variables on [0, 1]: continuous inside, with mass on 0 and 1."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from semiring_struct.ops import NEG_INF, uniform


class RectifiedBit(Distribution):
    """A continuous variable stretched to `(low, high)` around [0, 1] and clipped: mass gathers at 0 and 1.

    Its density is with respect to the sum of the Lebesgue measure on (0, 1) and one atom at each end.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.unit_interval  # type: ignore[assignment]
    has_rsample = True
    low: float
    high: float

    @abstractmethod
    def _quantile(self, u: Tensor) -> Tensor:
        """The stretched variable's position in (0, 1) at the level `u`, differentiable in the parameters."""

    @abstractmethod
    def _log_cdf(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Log of the chance to be below, and above, the position `s` in (0, 1)."""

    @abstractmethod
    def _log_density(self, s: Tensor) -> Tensor:
        """Log-density of the position `s` in (0, 1)."""

    def _set_ends(self, low: float, high: float) -> None:
        if not low < 0 < 1 < high:
            raise ValueError(f"{type(self).__name__} needs low < 0 and high > 1; got {low} and {high}")
        self.low, self.high = low, high

    def _position(self, z: float) -> Tensor:
        like = next(iter(vars(self)[name] for name in self.arg_constraints))
        return torch.full_like(like.detach(), (z - self.low) / (self.high - self.low))

    def rsample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws `(*sample_shape, *batch)`, differentiable in the parameters where they are inside (0, 1)."""
        like = self._position(0.0)
        shape = self._extended_shape(torch.Size(sample_shape))
        s = self._quantile(uniform(shape, generator=generator, dtype=like.dtype, device=like.device))
        return (s * (self.high - self.low) + self.low).clamp(0.0, 1.0)

    @property
    def log_prob_zero(self) -> Tensor:
        """Log of the mass at 0, `(*batch,)`."""
        return self._log_cdf(self._position(0.0))[0]

    @property
    def log_prob_one(self) -> Tensor:
        """Log of the mass at 1, `(*batch,)`."""
        return self._log_cdf(self._position(1.0))[1]

    @property
    def nonzero_prob(self) -> Tensor:
        """The chance of a value other than 0: the expected L0 norm of one bit, `(*batch,)`."""
        return self._log_cdf(self._position(0.0))[1].exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass at 0 and at 1, log-density between; `-inf` outside."""
        inside = (value > 0) & (value < 1)
        s = (torch.where(inside, value, 0.5) - self.low) / (self.high - self.low)
        width = torch.log(torch.as_tensor(self.high - self.low, dtype=value.dtype, device=value.device))
        density = self._log_density(s) - width
        atom = torch.where(value == 0, self.log_prob_zero, torch.where(value == 1, self.log_prob_one, NEG_INF))
        return torch.where(inside, density, atom)


@final
class HardConcrete(RectifiedBit):
    """A Concrete (relaxed Bernoulli) variable, stretched and clipped.

    Bias of a relaxed bit: that of its law, none in the gradient.  Needs: nothing.  `log_alpha (*batch,)` is the logit,
    `temperature` above 0. Source: Louizos, Welling & Kingma 2018, sec. 2.2 [louizos2018].
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"log_alpha": constraints.real}

    def __init__(
        self, log_alpha: Tensor, temperature: float = 2 / 3, low: float = -0.1, high: float = 1.1,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        if not 0 < temperature < float("inf"):
            raise ValueError(f"HardConcrete needs a finite temperature above 0; got {temperature}")
        self.log_alpha, self.temperature = log_alpha, temperature
        self._set_ends(low, high)
        super().__init__(log_alpha.shape, validate_args=validate_args)

    def _quantile(self, u: Tensor) -> Tensor:
        return ((u.log() - (-u).log1p() + self.log_alpha) / self.temperature).sigmoid()

    def _log_cdf(self, s: Tensor) -> tuple[Tensor, Tensor]:
        x = self.temperature * s.logit() - self.log_alpha
        return torch.nn.functional.logsigmoid(x), torch.nn.functional.logsigmoid(-x)

    def _log_density(self, s: Tensor) -> Tensor:
        x = self.temperature * s.logit() - self.log_alpha
        slope = -s.log() - (-s).log1p()
        scale = torch.log(torch.as_tensor(self.temperature, dtype=s.dtype, device=s.device))
        return torch.nn.functional.logsigmoid(x) + torch.nn.functional.logsigmoid(-x) + slope + scale

    @property
    def midpoint(self) -> Tensor:
        """The value without noise, `clip(sigmoid(log_alpha) (high - low) + low, 0, 1)`: what is used in evaluation."""
        return (self.log_alpha.sigmoid() * (self.high - self.low) + self.low).clamp(0.0, 1.0)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> HardConcrete:
        """The same with other batch dims."""
        return HardConcrete(self.log_alpha.expand(torch.Size(batch_shape)), self.temperature, self.low, self.high)


@final
class HardKuma(RectifiedBit):
    """A Kumaraswamy variable, stretched and clipped.

    `a`, `b` `(*batch,)` above 0: `F(s) = 1 - (1 - s^a)^b`. Source: Bastings, Aziz & Titov 2019, sec. 3 [bastings2019].
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "a": constraints.positive, "b": constraints.positive,
    }  # fmt: skip

    def __init__(
        self, a: Tensor, b: Tensor, low: float = -0.1, high: float = 1.1, validate_args: bool | None = None
    ) -> None:
        self.a, self.b = torch.broadcast_tensors(a, b)
        self._set_ends(low, high)
        super().__init__(self.a.shape, validate_args=validate_args)

    def _quantile(self, u: Tensor) -> Tensor:
        return (-((-u).log1p() / self.b).expm1()).log().div(self.a).exp()

    def _log_cdf(self, s: Tensor) -> tuple[Tensor, Tensor]:
        above = self.b * (-(s**self.a)).log1p()
        return (-above.expm1()).log(), above

    def _log_density(self, s: Tensor) -> Tensor:
        return self.a.log() + self.b.log() + (self.a - 1) * s.log() + (self.b - 1) * (-(s**self.a)).log1p()

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> HardKuma:
        """The same with other batch dims."""
        shape = torch.Size(batch_shape)
        return HardKuma(self.a.expand(shape), self.b.expand(shape), self.low, self.high)
