"""The unordered-set estimator: draws without replacement, weighted so that their order does not matter."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.exact import weighted
from semiring_struct.estimators.oracles import check_count, distinct
from semiring_struct.estimators.surrogate import carried
from semiring_struct.ops import NEG_INF, logsumexp

MOST = 12


def unordered_set(
    distribution: Any, cost: Cost, samples: int, baseline: bool = True, generator: torch.Generator | None = None
) -> Tensor:
    """`E[cost]`, `(*batch,)`, from a set `S` of `samples` distinct draws: `sum_{s in S} p(s) R(S, s) cost(s)`.

    `R(S, s)` is the probability of `S` given that `s` was drawn first, over that of `S`. In the gradient each event
    carries its score, multiplied with `baseline=True` by its cost less the same estimate of the mean cost by the set
    given that this event is removed. That helps where costs share an offset; for centred ones it can hurt.

    Args:
        samples: size of the set, 1 to 12 (the weights take `2^samples` sums each).

    Bias: none. Needs: `log_prob`, `sample_without_replacement`, or a support that can be listed. Does not need: a
    differentiable cost. Calls: one, of `samples` events. Where an instance has no more events than `samples` the answer
    is exact. Source: Kool, van Hoof & Welling 2020, sec. 3-4 [kool2020].
    """
    check_count(samples, 1, "unordered_set: samples")
    if samples > MOST:
        raise ValueError(f"unordered_set weighs 2^samples sets, so samples is at most {MOST}; got {samples}")
    found = distinct(distribution, samples, generator, "unordered_set")
    costs = evaluate(cost, found.events, distribution, "unordered_set")
    kept = torch.where(found.valid, found.log_probs, NEG_INF)
    weights, without = set_weights(kept.detach().double())
    weights, without = weights.to(costs), without.to(costs)
    parts = weighted(weights, costs)
    signal = weights * costs.detach()
    if baseline and len(kept) > 1:
        signal = weights * (costs.detach() - torch.einsum("ij...,j...->i...", without, costs.detach()))
    log_probs = torch.where(found.valid, found.log_probs, 0.0)
    return (parts + carried(torch.where(weights != 0, signal, 0.0).to(log_probs), log_probs)).sum(0)


def set_weights(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """`p(s) R(S, s)`, `(k, *batch)`, and `p(s') R(S, s')` once `s` is removed, `[s, s']`, with 1 in place of R for `s`.

    `log_probs (k, *batch)` are those of the distinct draws, `-inf` for blanks: there the draws are all events there
    are, and the weights their probabilities. The probability that the draws go on to complete `S` from a subset of it
    is a sum over which event is next, of positive terms only; all subsets of one size are done together.
    """
    k = len(log_probs)
    onward = _completion(log_probs)
    single = onward[[1 << i for i in range(k)]]
    pair = torch.stack([onward[[(1 << i) | (1 << j) for j in range(k)]] for i in range(k)])
    blank = log_probs == NEG_INF
    exhausted = blank.any(0)
    ratio = torch.where(exhausted, 0.0, single - onward[0])
    ratios = torch.where(exhausted, 0.0, pair - single.unsqueeze(1))
    own = torch.eye(k, dtype=torch.bool, device=log_probs.device).reshape(k, k, *[1] * (log_probs.dim() - 1))
    weights = torch.where(blank, 0.0, (torch.where(blank, 0.0, log_probs) + ratio).exp())
    kept = torch.where(blank, 0.0, log_probs)
    return weights, torch.where(blank, 0.0, (kept + torch.where(own, 0.0, ratios)).exp())


def _completion(log_probs: Tensor) -> Tensor:
    """Log-probability `(2^k, *batch)` that draws without replacement complete the set, given the subset drawn so far.

    Subsets are numbered by their bits. The chance that `a` follows the subset `A` is its probability over that of all
    that is left, the rest outside the set and what of the set is not in `A`.
    """
    k, batch = len(log_probs), log_probs.shape[1:]
    device = log_probs.device
    numbers = torch.arange(1 << k, device=device)
    has = (numbers[:, None] >> torch.arange(k, device=device)) & 1 == 1
    flat = log_probs.reshape(k, math.prod(batch))
    outside = (1 - flat.exp().sum(0)).clamp_min(0.0).log()
    left = logsumexp(torch.cat([torch.where(has[:, :, None], NEG_INF, flat), outside.expand(1 << k, 1, -1)], 1), 1)
    onward = torch.full((1 << k, flat.shape[1]), NEG_INF, dtype=flat.dtype, device=device)
    onward[-1] = 0.0
    sizes = has.sum(1)
    for size in range(k - 1, -1, -1):
        these = numbers[sizes == size]
        after = these[:, None] | (1 << torch.arange(k, device=device))
        step = flat - torch.where(left[these] == NEG_INF, 0.0, left[these])[:, None]
        step = torch.where(has[these][:, :, None], NEG_INF, step)
        onward[these] = logsumexp(step + onward[after], 1)
    return onward.reshape(1 << k, *batch)
