"""Sum over the most probable events, and a sample from the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.exact import weighted
from semiring_struct.estimators.oracles import Listed, at, best, check_count, distinct, tells_apart
from semiring_struct.estimators.surrogate import carried
from semiring_struct.inference.fields import fields_of, map_fields, pack_like


def sum_and_sample(
    distribution: Any, cost: Cost, k: int, samples: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """`E[cost]`, `(*batch,)`: the `k` most probable events are summed over, the rest is sampled.

    `sum_{z in C} p(z) cost(z) + (1 - p(C)) cost(z')` with `z'` drawn from what is not in `C`; in the gradient, the
    second term carries its score. The draw outside `C` is the first such one of `k + 1` draws without replacement.

    Where several structures share an event (rule counts of a grammar, tied parts), none can be told to be in `C` or
    not: there `C` is the first `k + samples - 1` of `k + samples` draws without replacement, and `z'` the last.

    Args:
        distribution: with `topk`, `sample_without_replacement` and `expand`, or with a support that can be listed.
        k: how many events are summed over, 1 or more; `samples`: how many are drawn from the rest.

    Bias: none. Needs: `log_prob`, `topk`, `sample_without_replacement`. Does not need: a differentiable cost.
    Calls: one, of `k + samples` events. Where an instance has no more than `k` events the answer is exact.
    Source: Liu et al. 2019, sec. 3 [liu2019]; Niculae et al. 2023, sec. 5.4.1 [niculae2023].
    """
    check_count(samples, 1, "sum_and_sample: samples")
    if tells_apart(distribution):
        head = best(distribution, k, "sum_and_sample")
        tail = _outside(distribution, head, samples, generator)
    else:
        head, tail = _first_and_last(distinct(distribution, k + samples, generator, "sum_and_sample"))
    size = len(head.log_probs)
    both = [torch.cat(pair) for pair in zip(fields_of(head.events), fields_of(tail.events), strict=True)]
    costs = evaluate(cost, pack_like(head.events, both), distribution, "sum_and_sample")
    mass = torch.where(head.valid, head.log_probs, 0.0).exp() * head.valid
    rest = torch.where(tail.valid, (1 - mass.detach().sum(0)).clamp_min(0.0) / len(tail.valid), 0.0)
    seen = weighted(rest, costs[size:])
    log_probs = torch.where(tail.valid, tail.log_probs, 0.0)
    return weighted(mass, costs[:size]).sum(0) + (seen + carried(seen.detach().to(log_probs), log_probs)).sum(0)


def _first_and_last(drawn: Listed) -> tuple[Listed, Listed]:
    """All draws without replacement but the last, and the last: given the others, a draw from the rest."""
    events = [map_fields(lambda e, cut=cut: e[cut], drawn.events) for cut in (slice(-1), slice(-1, None))]
    pieces = zip(
        events, (drawn.log_probs[:-1], drawn.log_probs[-1:]), (drawn.valid[:-1], drawn.valid[-1:]), strict=True
    )
    head, tail = (Listed(*piece) for piece in pieces)
    return head, tail


def _outside(distribution: Any, head: Listed, samples: int, generator: torch.Generator | None) -> Listed:
    """Draws `(samples, *batch, ...)` from the events that are not in `head`; not valid where there are none."""
    batch = distribution.batch_shape
    many = distribution.expand((samples, *batch))
    drawn = distinct(many, len(head.log_probs) + 1, generator, "sum_and_sample")
    outside = drawn.valid & ~_among(drawn.events, head, len(batch))
    # the first one outside, in the order of drawing: the marks fall along dim 0, so that the largest is unique
    order = torch.arange(len(outside), 0, -1, device=outside.device).reshape(-1, *[1] * (outside.dim() - 1))
    first = (outside * order).max(0, keepdim=True).indices
    events = map_fields(lambda e: e.squeeze(0), at(drawn.events, first))
    return Listed(events, distribution.log_prob(events), outside.any(0))


def _among(drawn: Any, head: Listed, batch: int) -> Tensor:
    """Which of the events `(j, samples, *batch, ...)` are in the head `(k, *batch, ...)`: `(j, samples, *batch)`."""
    same = torch.ones((), dtype=torch.bool, device=head.valid.device)
    for mine, theirs in zip(fields_of(drawn), fields_of(head.events), strict=True):
        equal = mine.unsqueeze(2) == theirs
        same = same & (equal.flatten(3 + batch).all(-1) if equal.dim() > 3 + batch else equal)
    return (same & head.valid).any(2)
