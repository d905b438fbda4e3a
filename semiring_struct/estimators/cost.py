"""Costs: functions of an event whose expectation is wanted, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.inference.decode import event_score
from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import fields_of
from semiring_struct.structures import Structure

Cost = Callable[[Any], Tensor]
"""`cost(event) -> (lead, *batch)` for an event `(lead, *batch, ...)`; it may depend on parameters of its own."""


class CountedCost:
    """A cost that counts how it is called: hand it to an estimator, then read `calls` and `events`.

    `calls` is the number of times the function was called, `events` the number of events per instance it was given in
    all (the sum of the leading dims), which is what papers call decoder calls.
    """

    def __init__(self, cost: Cost):
        self.cost = cost
        self.calls = 0
        self.events = 0

    def __call__(self, event: Any) -> Tensor:
        self.calls += 1
        self.events += fields_of(event)[0].shape[0]
        return self.cost(event)

    def __repr__(self) -> str:
        return f"CountedCost({self.cost!r}, calls={self.calls}, events={self.events})"


@dataclass(frozen=True, eq=False)
class AdditiveCost:
    """`<event, values>`: a cost that adds up over parts; `values` is shaped like the structure's log-potentials.

    `exact` needs no enumeration for it: its expectation is that of the structure's program.
    """

    structure: Structure
    values: Any

    def __call__(self, event: Any) -> Tensor:
        return event_score(open_door(self.structure, self.values), event, "AdditiveCost: event")


def evaluate(cost: Cost, draws: Any, distribution: Any, who: str) -> Tensor:
    """Costs `(lead, *batch)` of draws `(lead, *batch, ...)`, in floating point; the shape is checked.

    Where a distribution draws traces of an algorithm, the cost gets the structures that they build.
    """
    events = distribution.event(draws) if hasattr(distribution, "event") else draws
    lead = fields_of(draws)[0].shape[0]
    return checked(cost(events), (lead, *distribution.batch_shape), f"{who}: cost")


def checked(costs: Tensor, want: tuple[int, ...], who: str) -> Tensor:
    """What a cost or a critic returned, refused where it is not of shape `want`."""
    if not isinstance(costs, Tensor):
        raise TypeError(f"{who} must return a tensor; got {type(costs).__name__}")
    if tuple(costs.shape) != want:
        raise ShapeError(
            f"{who} is called with a leading sample dim and returns (samples, *batch) = {want}; got "
            f"{tuple(costs.shape)}. Sum over the event's own dims only."
        )
    return costs if costs.is_floating_point() else costs.to(torch.get_default_dtype())
