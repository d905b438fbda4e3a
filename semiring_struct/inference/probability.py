"""Log-probabilities of given events or labels, and whether an event is a structure at all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import InfeasibleError
from semiring_struct.inference.decode import argmax, score
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.partition import LOG, MAX, total
from semiring_struct.ops import NEG_INF
from semiring_struct.structures import Structure


def log_prob(structure: Structure, log_potentials: Any, event: Any, lengths: Any = None) -> Tensor:
    """Log-probability of an event, or of integer labels, `(*sample, *batch)`: `score - log_partition`.

    `-inf` for an event that uses a forbidden part or is no structure; labels that form no structure raise `ValueError`.
    Leading sample dims of the event are kept. Where tied parts make several structures share an event, the value is that
    of each one. Differentiable twice in the potentials. Cost: a forward pass, and for events one more to see whether
    they are structures.
    """
    door = open_door(structure, log_potentials, lengths)
    if isinstance(event, Tensor) and not event.is_floating_point() and event.dtype != torch.bool:
        event = door.structure.from_labels(event, door.pack(door.fields), _spread(door, lengths, event))
        member: Tensor | None = None
    else:
        member = contains(door.structure, log_potentials, event, lengths)
    value = score(door.structure, door.pack(door.fields), event) - total(door, LOG)
    value = torch.where(value.isnan(), NEG_INF, value)
    return value if member is None else torch.where(member, value, NEG_INF)


def _spread(door: Door, lengths: Any, labels: Tensor) -> Any:
    """Lengths for labels that may have leading sample dims."""
    if lengths is None:
        return None
    code = door.structure.label_code(door.sizes)
    rank = len(code.shape) if code is not None else 0
    batch = labels.shape[: labels.dim() - rank]
    columns = tuple(c.reshape(door.batch).expand(batch) for c in door.lengths.unbind(-1))
    return columns if len(columns) > 1 else columns[0]


def contains(structure: Structure, log_potentials: Any, event: Any, lengths: Any = None) -> Tensor:
    """Whether an event is a structure, forbidden or not, `(*sample, *batch)` bool; the potentials give the shapes only.

    Decides by decoding with only the event's own parts allowed. Where every field is tied an event does not pin down a
    structure, and any event whose parts allow one is accepted. Cost: a forward pass of maxima and a walk.
    """
    door = open_door(structure, log_potentials, lengths)
    given = [e.detach().to(f.dtype) for e, f in zip(door.unpack(event, "contains: event"), door.fields, strict=True)]
    allowed = [torch.where(e > 0, 1.0, NEG_INF).to(e.dtype) for e in given]
    with torch.no_grad():
        inner = open_door(door.structure, door.pack(allowed), _lengths_for(door, given))
        feasible = total(inner, MAX) > NEG_INF
        safe = [torch.where(_like(feasible, f, len(e)), f, 0.0) for f, e in zip(inner.fields, inner.events, strict=True)]
        try:
            best = argmax(inner.structure, inner.pack(safe), lengths=_lengths_for(door, given))
        except InfeasibleError:
            return torch.zeros_like(feasible)
    same = feasible
    for mine, theirs, shape in zip(inner.unpack(best, "event"), given, inner.events, strict=True):
        dims = list(range(-len(shape), 0))
        equal = mine == theirs
        same = same & (equal.all(dim=-1) if len(dims) == 1 else equal.flatten(-len(dims)).all(-1) if dims else equal)
    return (feasible if _all_tied(door) else same) & _finite(given, inner)


def _finite(given: list[Tensor], inner: Door) -> Tensor:
    """No entry below 0: a negative entry is no count."""
    ok = None
    for e, shape in zip(given, inner.events, strict=True):
        fine = (e >= 0).flatten(-len(shape)).all(-1) if shape else e >= 0
        ok = fine if ok is None else ok & fine
    return ok if ok is not None else torch.ones(inner.batch, dtype=torch.bool)


def _like(flag: Tensor, field: Tensor, rank: int) -> Tensor:
    return flag.reshape(*flag.shape, *([1] * rank))


def _all_tied(door: Door) -> bool:
    if door.structure.declaration is None:
        return False
    full = door.structure.declaration.sizes(door.sizes)
    return all(have != want for have, want in zip(door.events, full, strict=True))


def _lengths_for(door: Door, events: list[Tensor]) -> Any:
    rank = len(door.events[0])
    batch = torch.broadcast_shapes(events[0].shape[: events[0].dim() - rank], door.batch)
    columns = tuple(c.reshape(door.batch).expand(batch) for c in door.lengths.unbind(-1))
    return (columns if len(columns) > 1 else columns[0]) if columns else None
