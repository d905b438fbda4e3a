"""The score-function estimator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.estimators.baselines import Baseline, Draws, LeaveOneOut
from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.oracles import Distribution, check_count, draw
from semiring_struct.estimators.surrogate import carried

OTHERS_MEAN = LeaveOneOut()


def score_function(
    distribution: Distribution,
    cost: Cost,
    samples: int = 1,
    baseline: Baseline = OTHERS_MEAN,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`E[cost]` by draws, `(*batch,)`; its gradient is `mean (cost - baseline) grad log_prob + grad cost` (REINFORCE).

    Args:
        distribution: anything with `log_prob` and `sample`, torch's own included.
        cost: `cost(event) -> (samples, *batch)` for events `(samples, *batch, ...)`. Its own graph is kept, so what it
            depends on gets its gradient too.
        samples: draws per instance, 1 or more.
        baseline: what is subtracted from the cost; see the baselines for what each needs and calls.
        generator: source of randomness; given, the global one is untouched.

    Bias: none. Needs: `log_prob`, `sample`. Does not need: a differentiable cost, nor one defined between events.
    Calls: one, of `samples` events, and those of the baseline. Raises `ShapeError` for costs of another shape,
    `ValueError` for `samples` below 1. With the default baseline take two samples or more: a single draw has no others.
    Source: Williams 1992, sec. 3 [williams1992]; Niculae et al. 2023, sec. 5.4 [niculae2023].
    """
    check_count(samples, 1, "score_function: samples")
    events = draw(distribution, samples, generator)
    costs = evaluate(cost, events, distribution, "score_function")
    log_probs = distribution.log_prob(events)
    return with_score(baseline, Draws(distribution, cost, events, costs.detach(), generator), costs, log_probs)


def with_score(baseline: Baseline, draws: Draws, costs: Tensor, log_probs: Tensor) -> Tensor:
    """The mean of `costs (samples, *batch)`, carrying the score of `log_probs` less a baseline."""
    base = baseline.value(draws)
    signal = (draws.costs - base.detach()).to(log_probs.dtype)
    return (costs + carried(signal, log_probs)).mean(0) + fitted(base, draws.costs)


def fitted(base: Tensor, costs: Tensor) -> Any:
    """0, with the gradient of the baseline's mean squared error, `(*batch,)`; nothing for one without a graph."""
    if not base.requires_grad:
        return 0.0
    error = (base - costs).square().mean(0)
    return error - error.detach()
