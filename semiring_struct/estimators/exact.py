"""Exact expectations: by listing events, or by the program."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.estimators.cost import AdditiveCost, Cost, evaluate
from semiring_struct.estimators.oracles import listed
from semiring_struct.inference.fields import fields_of, pack_like


def exact(distribution: Any, cost: Cost) -> Tensor:
    """`E[cost] = sum_z p(z) cost(z)`, `(*batch,)`, with its exact gradient, of the cost's own parameters too.

    An `AdditiveCost` of a distribution that has `expectation` takes one forward and one backward pass of the program
    and calls nothing; any other cost is called once, on all events.

    Bias: none, and no variance. Needs: `enumerate_events` or `enumerate_support` (products of independent parts are
    listed here). Does not need: a differentiable cost. Raises `UnsupportedQueryError` where events can not be listed,
    `ValueError` where there are more than 10 000. Cost: as many events as there are structures.
    Source: Niculae et al. 2023, sec. 5.1 [niculae2023].
    """
    if isinstance(cost, AdditiveCost) and hasattr(distribution, "expectation"):
        return distribution.expectation(_over_batch(cost.values, distribution))
    events, log_probs, valid = listed(distribution, "exact")
    costs = evaluate(cost, events, distribution, "exact")
    return weighted(torch.where(valid, log_probs, 0.0).exp() * valid, costs).sum(0)


def _over_batch(values: Any, distribution: Any) -> Any:
    """Part values with the batch dims that the query asks for."""
    shapes = fields_of(distribution.event_shape)
    wide = [v.expand(*distribution.batch_shape, *s) for v, s in zip(fields_of(values), shapes, strict=True)]
    return pack_like(values, wide)


def weighted(weights: Tensor, costs: Tensor) -> Tensor:
    """`weights * costs`, elementwise, where an event of weight 0 adds 0 whatever its cost, even infinite."""
    used = weights != 0
    return torch.where(used, weights * torch.where(used, costs, 0.0), 0.0)
