"""Targets of losses: events, or labels that stand for them."""

from __future__ import annotations

from typing import Any

from semiring_struct.inference.beside import open_with_event
from semiring_struct.inference.door import joined
from semiring_struct.inference.fields import are_labels
from semiring_struct.structures import Structure


def with_target(structure: Structure, log_potentials: Any, target: Any, lengths: Any, who: str) -> tuple[Any, Any]:
    """Potentials with the batch dims that target and lengths ask for, and the target as an event.

    Integer tensors are labels; what stands past a length is ignored. Raises `ShapeError` where the target does not fit.
    """
    door = open_with_event(structure, log_potentials, lengths, target, f"{who}: target")
    phi = door.pack(door.fields)
    if not are_labels(target):
        return phi, door.pack(door.event(target, f"{who}: target"))
    if lengths is not None:
        lead = door.structure.label_batch(target, door.sizes)
        target = target.expand((*joined([lead, door.batch], f"{who}: target"), *target.shape[len(lead) :]))
    return phi, structure.from_labels(target, phi, lengths)
