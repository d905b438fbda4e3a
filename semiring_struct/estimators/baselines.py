"""Baselines of the score function: what is subtracted from a cost before it multiplies the score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.oracles import draw, mode
from semiring_struct.inference.fields import map_fields


@dataclass(frozen=True, eq=False)
class Draws:
    """What a baseline may look at: draws `(samples, *batch, ...)` with their costs `(samples, *batch)`, detached."""

    distribution: Any
    cost: Cost
    events: Any
    costs: Tensor
    generator: torch.Generator | None


class Baseline(ABC):
    """A number per draw that does not depend on that draw, so that subtracting it adds no bias.

    Estimators detach it: nothing of it reaches the distribution or the cost. Where it carries a graph of its own it is
    fitted: backward through the estimate then also gives its parameters the gradient of its mean squared error.
    """

    @abstractmethod
    def value(self, draws: Draws) -> Tensor:
        """The baseline of each draw, `(samples, *batch)` or broadcasting with that."""


@dataclass(frozen=True)
class NoBaseline(Baseline):
    """Zero: the plain score function, of the largest variance."""

    def value(self, draws: Draws) -> Tensor:
        return torch.zeros_like(draws.costs)


@dataclass(frozen=True)
class LeaveOneOut(Baseline):
    """The mean cost of the other draws; 0 where there is but one. No extra calls [kool2019buy]."""

    def value(self, draws: Draws) -> Tensor:
        others = max(len(draws.costs) - 1, 1)
        return (draws.costs.sum(0) - draws.costs) / others


@dataclass(frozen=True)
class SelfCritic(Baseline):
    """The cost of the most probable event: one more event per instance. Needs `mode` [rennie2017]."""

    def value(self, draws: Draws) -> Tensor:
        with torch.no_grad():
            event = map_fields(lambda e: e.unsqueeze(0), mode(draws.distribution, "SelfCritic"))
            return evaluate(draws.cost, event, draws.distribution, "SelfCritic")


@dataclass(frozen=True)
class IndependentSample(Baseline):
    """The cost of another draw for each draw: twice the events."""

    def value(self, draws: Draws) -> Tensor:
        with torch.no_grad():
            events = draw(draws.distribution, len(draws.costs), draws.generator)
            return evaluate(draws.cost, events, draws.distribution, "IndependentSample")


class MovingAverage(nn.Module, Baseline):
    """An exponential moving average of the mean cost of earlier calls; 0 on the first. No extra calls.

    It has state, in buffers: make one per training run, and keep it. `decay` is in [0, 1); the average is corrected for
    its start, so that it is an average of costs from the second call on. Source: Niculae et al. 2023, sec. 5.4.1
    [niculae2023].
    """

    total: Tensor
    weight: Tensor

    def __init__(self, decay: float = 0.99):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"MovingAverage needs a decay of at least 0 and below 1; got {decay}")
        self.decay = decay
        self.register_buffer("total", torch.zeros((), dtype=torch.float64, device="cpu"))
        self.register_buffer("weight", torch.zeros((), dtype=torch.float64, device="cpu"))

    def value(self, draws: Draws) -> Tensor:
        """The average before this call, one number; afterwards this call's costs are part of it."""
        with torch.no_grad():
            before = self.total / torch.where(self.weight == 0, 1.0, self.weight)
            self.total.mul_(self.decay).add_((1 - self.decay) * draws.costs.mean().to(self.total))
            self.weight.mul_(self.decay).add_(1 - self.decay)
            return before.to(draws.costs).expand_as(draws.costs)


@dataclass(frozen=True, eq=False)
class Learned(Baseline):
    """A prediction of the cost from the instance, fitted as it is used: the input-dependent baseline of NVIL.

    Args:
        prediction: `(*batch,)`, with its graph: the output of the user's network on the instance (never on the draw).
            Hand the network detached inputs, unless its squared error is to train what made them.
        average: a moving average that the prediction is added to, so that the network learns what is left.

    Backward through the estimate gives the network the gradient of the mean squared error. The division of the signal
    by its running spread, which NVIL adds, is left to the optimiser. No extra calls.
    Source: Mnih & Gregor 2014, sec. 2.3 [mnih2014].
    """

    prediction: Tensor
    average: MovingAverage | None = None

    def value(self, draws: Draws) -> Tensor:
        if self.average is None:
            return self.prediction.expand_as(draws.costs)
        return self.prediction + self.average.value(draws)
