"""Calls with a second argument shaped like the potentials, whose batch dims broadcast with theirs.

Lengths, where they are given, are those of the batch that both have together, so both take it on; without lengths each
keeps its own, and is worked out once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.inference.door import Door, fit, joined, open_door
from semiring_struct.inference.fields import are_labels, double
from semiring_struct.ops import known_all
from semiring_struct.structures import Structure


def open_both(structure: Structure, p: Any, q: Any, lengths: Any, who: str) -> tuple[Door, Door]:
    """Two potentials of the same events, in float64."""
    what = f"{who}: the second potentials"
    one = open_door(structure, double(p), lengths, None if lengths is None else lambda alone: alone.lead(q, what))
    two = open_door(structure, double(q), lengths, None if lengths is None else lambda _: one.batch)
    if one.events != two.events or not fit(one.batch, two.batch):
        shapes = [[tuple(f.shape) for f in door.fields] for door in (one, two)]
        raise ShapeError(
            f"{what} need the event dims of the first, and batch dims that broadcast with theirs; got {shapes[1]} "
            f"beside {shapes[0]}"
        )
    return one, two


def open_with_values(
    structure: Structure, log_potentials: Any, lengths: Any, values: Any, what: str
) -> tuple[Door, int]:
    """A call with values as `Door.extra_dims` reads them, and the number of extra dims."""

    def lead(alone: Door) -> tuple[int, ...]:
        given = alone.unpack(values, what)
        extra = alone.extra_dims(given, what)
        pairs = zip(given, alone.events, strict=True)
        return joined([tuple(v.shape[: v.dim() - len(event) - extra]) for v, event in pairs], what)

    door = open_door(structure, log_potentials, lengths, None if lengths is None else lead)
    return door, door.extra_dims(door.unpack(values, what), what)


def open_with_vector(
    structure: Structure, log_potentials: Any, lengths: Any, vector: Any, what: str
) -> tuple[Door, list[Tensor]]:
    """A call, and the vector's fields, all with the batch dims that both have together: `(*batch, *event)`."""
    door = open_door(structure, log_potentials, lengths, lambda alone: alone.lead(vector, what))
    given = door.unpack(vector, what)
    try:
        return door, [v.to(f.dtype).expand(f.shape) for v, f in zip(given, door.fields, strict=True)]
    except RuntimeError:
        shapes, got = [tuple(f.shape) for f in door.fields], [tuple(v.shape) for v in given]
        raise ShapeError(f"{what} needs shapes that broadcast to the potentials' {shapes}; got {got}") from None


def open_with_event(structure: Structure, log_potentials: Any, lengths: Any, event: Any, what: str) -> Door:
    """A call with an event or labels `(*sample, *batch, ...)`: sample dims are those that nothing else has."""
    return open_door(structure, log_potentials, lengths, lambda alone: event_lead(alone, lengths, event, what))


def event_lead(alone: Door, lengths: Any, event: Any, what: str) -> tuple[int, ...]:
    """The batch dims of an event or of labels, without sample dims."""
    if are_labels(event):
        rank = len(alone.structure.label_shape(alone.sizes) or ())
        whole = tuple(event.shape[: max(event.dim() - rank, 0)])
    else:
        whole = alone.lead(event, what)
    own = max(len(alone.batch), _batch_dims(lengths, alone, whole))
    return whole[max(len(whole) - own, 0) :]


def _batch_dims(lengths: Any, alone: Door, lead: tuple[int, ...]) -> int:
    """How many batch dims lengths have beside an event with these leading dims.

    Raises `ShapeError` for integers 0 and 1 that may be a mask of the potentials' batch or lengths of a larger one.
    """
    each = lengths if isinstance(lengths, tuple) else (lengths,)
    most = 0
    for x, n in zip(each, alone.full, strict=False):
        held = isinstance(x, (Tensor, list, np.ndarray))
        found = x.shape if isinstance(x, Tensor) else np.shape(x) if held else ()
        shape: tuple[int, ...] = tuple(found)
        if getattr(x, "dtype", None) in (torch.bool, np.bool_):
            shape = shape[:-1]
        elif len(shape) == len(alone.batch) + 1 and shape[-1] == n:
            if len(lead) >= len(shape) and fit(shape, lead):
                if not torch.compiler.is_compiling() and not known_all(_flags(x)):
                    return len(shape)
                raise ShapeError(
                    f"{type(alone.structure).__name__}: lengths {shape} may be those of the batch {lead}, or a mask of "
                    f"the batch {alone.batch}; give a boolean mask, or the potentials as many batch dims as the lengths"
                )
            shape = shape[:-1]
        most = max(most, len(shape))
    return most


def _flags(x: Any) -> Tensor:
    """Which of some integers are 0 or 1."""
    whole = x if isinstance(x, Tensor) else torch.as_tensor(x, device="cpu")
    return (whole == 0) | (whole == 1)
