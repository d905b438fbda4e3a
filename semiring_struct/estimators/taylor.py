"""A linear control variate at the mean: MuProp."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.oracles import check_count, draw, floating, need
from semiring_struct.estimators.surrogate import carried, carried_fields, slopes_at
from semiring_struct.inference.fields import fields_of, pack_like


def muprop(distribution: Any, cost: Cost, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
    """`E[cost]`, `(*batch,)`, less the noise of the cost's tangent at the mean event, whose expectation is known.

    With `m = E[event]` and `t(z) = cost(m) + <grad cost(m), z - m>`: the gradient is
    `(cost(z) - t(z)) grad log_prob + <grad cost(m), grad m> + grad cost(z)`, averaged over draws; the last term is for
    the cost's own parameters only. Exact for a cost that is linear in the event.

    Bias: none. Needs: `log_prob`, `sample`, a differentiable `mean`, events that are floating point, and a cost that is
    defined and differentiable between events. Calls: two, of `samples` events and of the mean. Raises
    `UnsupportedQueryError` for integer events, `ValueError` for a cost without a gradient.
    Source: Gu et al. 2016, sec. 3 [gu2016].
    """
    check_count(samples, 1, "muprop: samples")
    lead = len(distribution.batch_shape)
    events = floating(draw(distribution, samples, generator), "muprop")
    mean = need(distribution, "mean", "muprop")
    at_mean, slope = slopes_at(
        lambda fields: evaluate(cost, pack_like(mean, [f.unsqueeze(0) for f in fields]), distribution, "muprop"),
        mean,
        "muprop",
    )
    costs = evaluate(cost, events, distribution, "muprop")
    log_probs = distribution.log_prob(events)
    slope = tuple(s.detach() for s in slope)
    turns = [
        (s * (z - m.detach())).flatten(1 + lead).sum(-1) if s.dim() > lead else s * (z - m.detach())
        for s, z, m in zip(slope, fields_of(events), fields_of(mean), strict=True)
    ]
    bend = sum(turns[1:], turns[0])
    signal = (costs - at_mean - bend).detach().to(log_probs.dtype)
    return (costs - bend + carried(signal, log_probs)).mean(0) + carried_fields(slope, mean, lead)
