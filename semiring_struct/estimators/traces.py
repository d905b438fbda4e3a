"""Estimators for structures that an algorithm builds on noise: the score of its trace, and RELAX."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semiring_struct.estimators.baselines import Baseline, Draws
from semiring_struct.estimators.control import controlled
from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.oracles import check_count, need
from semiring_struct.estimators.score import OTHERS_MEAN, with_score


class ScoreLevel(ABC):
    """Whose log-probability carries the score."""

    @abstractmethod
    def draw(self, distribution: Any, samples: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Traces `(samples, *batch, entries)` and the log-probabilities `(samples, *batch)` to be differentiated."""


@dataclass(frozen=True)
class TraceLevel(ScoreLevel):
    """The trace, all choices that the algorithm made: T-REINFORCE."""

    def draw(self, distribution: Any, samples: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        traces = distribution.sample((samples,), generator=generator)
        return traces, distribution.log_prob(traces)


@dataclass(frozen=True)
class NoiseLevel(ScoreLevel):
    """The noise, of which the trace forgets most: E-REINFORCE, of no less variance; for comparison."""

    def draw(self, distribution: Any, samples: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        noise = distribution.noise((samples,), generator=generator).detach()
        return distribution.from_noise(noise), distribution.noise_log_prob(noise)


TRACE_LEVEL = TraceLevel()


def trace_score(
    distribution: Any,
    cost: Cost,
    samples: int = 1,
    baseline: Baseline = OTHERS_MEAN,
    level: ScoreLevel = TRACE_LEVEL,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`E[cost]`, `(*batch,)`, of the structures that an algorithm builds on noise: the score function on its traces.

    Args:
        distribution: a `TraceDistribution`.
        cost: `cost(structure) -> (samples, *batch)`; its own graph is kept.
        samples, baseline: as for `score_function`, which this is at the level of traces.
        level: `TraceLevel()` (T-REINFORCE) or `NoiseLevel()` (E-REINFORCE).

    Of single draws without a baseline, the variance with the score of the structure itself is at most that with the
    trace's, and that at most the noise's: each is the mean of the next given less.

    Bias: none. Needs: an algorithm with the stochastic invariant. Does not need: a differentiable cost, nor the
    probability of a structure, which is a sum over traces. Calls: one, of `samples` events, and those of the baseline.
    Source: Struminsky et al. 2021, sec. 3.2 [struminsky2021].
    """
    check_count(samples, 1, "trace_score: samples")
    need(distribution, "noise_log_prob", "trace_score")
    traces, log_probs = level.draw(distribution, samples, generator)
    costs = evaluate(cost, traces, distribution, "trace_score")
    return with_score(baseline, Draws(distribution, cost, traces, costs.detach(), generator), costs, log_probs)


def trace_relax(
    distribution: Any,
    cost: Cost,
    critic: Callable[[Tensor], Tensor] | None = None,
    samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`E[cost]`, `(*batch,)`, of the structures that an algorithm builds on noise, with a learnt control variate.

    `relax` on traces: one draw of the noise decides the trace, another is drawn given that trace, and
    `(cost - critic(given)) grad log_prob(trace) + grad critic(first) - grad critic(given)` is the gradient.

    Args:
        distribution: a `TraceDistribution`.
        critic: `critic(utilities) -> (samples, *batch)` of utilities `(samples, *batch, *shape)`: minus the log of the
            noise, which is the log-rates plus Gumbel noise (`-inf` for forbidden keys). Differentiable in them. Its
            parameters are fitted by `squared_gradient`, as for `relax`. None: no control variate.

    Bias: none, whatever the critic. Needs: the noise given the trace. Does not need: a differentiable cost.
    Calls: one, of `samples` events. Source: Struminsky et al. 2021, sec. 3.3 [struminsky2021].
    """
    check_count(samples, 1, "trace_relax: samples")
    algorithm, rates = need(distribution, "algorithm", "trace_relax"), distribution.log_rates
    lengths = distribution.lengths
    log_noise = algorithm.log_noise(rates, (samples,), generator=generator, lengths=lengths)
    traces = algorithm.greedy(-log_noise.detach(), lengths=lengths)
    given = algorithm.conditional_log_noise(traces, rates, generator=generator, lengths=lengths)
    costs = evaluate(cost, traces, distribution, "trace_relax")
    return controlled(costs, distribution.log_prob(traces), -log_noise, -given, critic, "trace_relax")
