"""Targets of losses: events, or labels that stand for them."""

from __future__ import annotations

from typing import Any

from semiring_struct.inference.beside import event_lead
from semiring_struct.inference.door import Door, joined, open_door
from semiring_struct.inference.fields import are_labels
from semiring_struct.structures import Structure


def with_target(
    structure: Structure, log_potentials: Any, target: Any, lengths: Any, who: str, cost: Any = None
) -> tuple[Door, Any]:
    """A call with the batch dims that target, cost and lengths ask for, and the target as an event.

    Integer tensors are labels; what stands past a length is ignored. Raises `ShapeError` where the target does not fit.
    """

    def lead(alone: Door) -> tuple[int, ...]:
        own = event_lead(alone, lengths, target, f"{who}: target")
        return own if cost is None else joined([own, alone.lead(cost, f"{who}: cost")], who)

    door = open_door(structure, log_potentials, lengths, lead)
    if not are_labels(target):
        return door, door.pack(door.event(target, f"{who}: target"))
    if lengths is not None:
        own = door.structure.label_batch(target, door.sizes)
        target = target.expand((*joined([own, door.batch], f"{who}: target"), *target.shape[len(own) :]))
    return door, structure.from_labels(target, door.pack(door.fields), lengths)
