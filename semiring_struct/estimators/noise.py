"""Choices as functions of noise, and that noise given the choice: what REBAR and RELAX are built on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical

from semiring_struct import structures
from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.estimators.oracles import name_of
from semiring_struct.ops import NEG_INF, gumbel, log_softmax, logaddexp, one_hot_argmax, prefix_mask, softmax, uniform


class NoisyChoice(ABC):
    """A discrete variable `event = choice(utilities)` of utilities that are reparameterised in the logits.

    `relaxable` says whether there are events between events.
    """

    relaxable = True

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Utilities `(count, *batch, parts)`, differentiable in the logits."""

    @abstractmethod
    def choice(self, utilities: Tensor) -> Tensor:
        """The event that utilities lead to, `(count, *batch, ...)`."""

    @abstractmethod
    def given(self, utilities: Tensor, generator: torch.Generator | None) -> Tensor:
        """Fresh utilities given that they lead to the same choice, differentiable in the logits."""

    @abstractmethod
    def relaxed(self, utilities: Tensor, temperature: float | Tensor) -> Tensor:
        """An event between events, which nears the choice as the temperature falls."""


@dataclass(frozen=True, eq=False)
class GumbelMax(NoisyChoice):
    """One of `k`: the largest of `log_probs + Gumbel noise`. With `index` the event is the number of the winner."""

    log_probs: Tensor
    index: bool

    @property
    def relaxable(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """An index has nothing between."""
        return not self.index

    def _noise(self, count: int, generator: torch.Generator | None) -> Tensor:
        x = self.log_probs
        return gumbel((count, *x.shape), generator=generator, dtype=x.dtype, device=x.device)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return self.log_probs + self._noise(count, generator)

    def choice(self, utilities: Tensor) -> Tensor:
        return utilities.argmax(-1) if self.index else one_hot_argmax(utilities.detach(), -1)

    def given(self, utilities: Tensor, generator: torch.Generator | None) -> Tensor:
        """The largest is a standard Gumbel whoever wins; the others are cut off at it [tucker2017, appendix]."""
        winner = one_hot_argmax(utilities.detach(), -1).bool()
        noise = self._noise(len(utilities), generator)
        top = noise.gather(-1, winner.int().argmax(-1, keepdim=True))
        blank = self.log_probs == NEG_INF
        free = torch.where(blank, 0.0, self.log_probs) + noise
        below = -logaddexp(-top, -free)
        return torch.where(winner, top, torch.where(blank, NEG_INF, below))

    def relaxed(self, utilities: Tensor, temperature: float | Tensor) -> Tensor:
        blank = utilities == NEG_INF
        return softmax(torch.where(blank, NEG_INF, torch.where(blank, 0.0, utilities) / temperature), -1)


@dataclass(frozen=True, eq=False)
class LogisticThreshold(NoisyChoice):
    """Independent bits: `logits + logistic noise > 0`; the parts are whatever dims the logits have."""

    logits: Tensor

    def _noise(self, count: int, generator: torch.Generator | None) -> Tensor:
        x = self.logits
        u = uniform((count, *x.shape), generator=generator, dtype=torch.float64, device=x.device)
        return (u.log() - torch.log1p(-u)).to(x.dtype)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return self.logits + self._noise(count, generator)

    def choice(self, utilities: Tensor) -> Tensor:
        return (utilities.detach() > 0).to(utilities.dtype)

    def given(self, utilities: Tensor, generator: torch.Generator | None) -> Tensor:
        """The logistic law cut off at 0, by inversion, in softplus form so that no probability is subtracted from 1."""
        on = utilities.detach() > 0
        noise = self._noise(len(utilities), generator)
        plus = torch.nn.functional.softplus
        sign = torch.where(on, 1.0, -1.0)
        return sign * plus(sign * noise + plus(sign * self.logits))

    def relaxed(self, utilities: Tensor, temperature: float | Tensor) -> Tensor:
        return (utilities / temperature).sigmoid()


def noisy_choice(distribution: Any, who: str) -> NoisyChoice:
    """The noisy form of a categorical or of independent bits, torch's or ours; raises `UnsupportedQueryError`."""
    if isinstance(distribution, Independent):
        return noisy_choice(distribution.base_dist, who)
    if isinstance(distribution, (Categorical, OneHotCategorical)):
        return GumbelMax(log_softmax(_wide(distribution.logits), -1), isinstance(distribution, Categorical))
    if isinstance(distribution, Bernoulli):
        return LogisticThreshold(_wide(distribution.logits))
    structure = getattr(distribution, "structure", None)
    if isinstance(structure, structures.OneOf):
        return GumbelMax(log_softmax(_wide(distribution.log_potentials), -1), False)
    if isinstance(structure, structures.BitVector):
        return LogisticThreshold(_present(distribution))
    raise UnsupportedQueryError(
        f"{who} needs the noise given the event, known for one-of-k and for independent bits; got "
        f"{name_of(distribution)}. For algorithms' traces take trace_relax, for others muprop or score_function"
    )


def _wide(logits: Tensor) -> Tensor:
    """Half precision is computed in float32."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _present(distribution: Any) -> Tensor:
    """The log-odds of bits, `-inf` past an instance's length."""
    phi = _wide(distribution.log_potentials)
    if distribution.lengths is None:
        return phi
    return torch.where(prefix_mask(distribution.lengths, phi.shape[-1]), phi, NEG_INF)
