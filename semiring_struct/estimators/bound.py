"""The many-sample bound with leave-one-out signals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.oracles import Distribution, check_count, draw
from semiring_struct.estimators.surrogate import carried
from semiring_struct.ops import NEG_INF, logsumexp


def vimco(
    distribution: Distribution, log_weight: Cost, samples: int = 2, generator: torch.Generator | None = None
) -> Tensor:
    """The bound `E[log mean_i exp log_weight(z_i)]` on `samples` draws, `(*batch,)`; maximise it.

    Args:
        distribution: the proposal `q`.
        log_weight: like a cost, `(samples, *batch)`: `log p(x, z) - log q(z | x)` for a bound on `log p(x)`. Its own
            graph is kept: what it depends on gets its gradient too.
        samples: draws per instance, 2 or more.

    In the gradient each draw carries its score, multiplied by the bound less the bound with its weight replaced by the
    geometric mean of the others.

    Bias: none, for the gradient of this bound (which lies below `log E exp log_weight`, and nears it with `samples`).
    Needs: `log_prob`, `sample`. Does not need: a differentiable weight. Calls: one, of `samples` events.
    Source: Mnih & Rezende 2016, sec. 2.5 [mnih2016].
    """
    check_count(samples, 2, "vimco: samples")
    events = draw(distribution, samples, generator)
    log_w = evaluate(log_weight, events, distribution, "vimco")
    log_probs = distribution.log_prob(events)
    bound = logsumexp(log_w, 0) - math.log(samples)
    without = bounds_without(log_w.detach())
    nothing = without == NEG_INF
    gain = torch.where(nothing, 0.0, bound.detach() - torch.where(nothing, 0.0, without))
    return bound + carried(gain.to(log_probs.dtype), log_probs).sum(0)


def bounds_without(log_w: Tensor) -> Tensor:
    """The bound with each weight in turn replaced by the geometric mean of the others, `(samples, *batch)`."""
    k = len(log_w)
    own = torch.eye(k, dtype=torch.bool, device=log_w.device).reshape(k, k, *[1] * (log_w.dim() - 1))
    mean = torch.where(own, 0.0, log_w.unsqueeze(0)).sum(1) / (k - 1)
    return logsumexp(torch.where(own, mean.unsqueeze(1), log_w.unsqueeze(0)), 1) - math.log(k)
