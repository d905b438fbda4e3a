"""What a distribution checks itself, whatever `validate_args` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Size, Tensor

from semiring_struct import inference
from semiring_struct.errors import ShapeError, UnsupportedQueryError
from semiring_struct.inference.door import Door
from semiring_struct.inference.fields import as_lengths, fields_of, pack_like
from semiring_struct.inference.finite import checked

if TYPE_CHECKING:
    from semiring_struct.distributions.base import StructDistribution


def checked_potentials(door: Door, log_potentials: Any) -> Any:
    """The log-potentials, in their dtype, expanded to the common batch dims; refuses NaN and `+inf`.

    Past lengths these do not matter; 0 stands there instead.
    """
    shapes = [(*door.batch, *event) for event in door.events]
    fields = [f if f.shape == s else f.expand(s) for f, s in zip(fields_of(log_potentials), shapes, strict=True)]
    if checked(door) is not door or door.structure.prepares:
        fields = [torch.where(f.detach() < torch.inf, f, 0.0) for f in fields]
    return pack_like(log_potentials, fields)


def checked_lengths(door: Door) -> Any:
    """Lengths as integers `(*batch,)`, one such tensor per side for two-sided structures."""
    return as_lengths(side.reshape(door.batch) for side in door.lengths.unbind(-1))


def check_event(distribution: StructDistribution, value: Any) -> None:
    """Refuse events whose shape does not end in the event's or does not broadcast with the batch dims."""
    fields, shapes = fields_of(value), fields_of(distribution.event_shape)
    names, batch = distribution.structure.field_names, distribution.batch_shape
    if len(fields) != len(shapes) or not all(isinstance(f, Tensor) for f in fields):
        got = ", ".join(type(f).__name__ for f in fields)
        raise TypeError(f"an event of {distribution!r} has one tensor per field ({', '.join(names)}); got {got}")
    for name, f, shape in zip(names, fields, shapes, strict=True):
        if not _fits(f, shape, batch):
            raise ShapeError(
                f"{name} of an event has shape (*sample, *{tuple(batch)}, {', '.join(map(str, shape))});"
                f" got {tuple(f.shape)}"
            )


def _fits(field: Tensor, shape: Size, batch: Size) -> bool:
    cut = field.dim() - len(shape)
    if cut < 0 or field.shape[cut:] != shape:
        return False
    try:
        torch.broadcast_shapes(field.shape[:cut], batch)
    except RuntimeError:
        return False
    return True


def full_support(door: Door) -> Any:
    """Every structure `(s, *event)` of the door's shapes and length, forbidden or not; one length for all instances.

    In lexicographic order, the first part used first, as torch lists one-hot vectors.
    """
    if len(door.lengths) and not bool((door.lengths == door.lengths[:1]).all()):
        raise UnsupportedQueryError("enumerate_support needs one length for the whole batch; see enumerate_events")
    blank = [f.new_zeros(event) for f, event in zip(door.fields, door.events, strict=True)]
    lengths = as_lengths(side[0] for side in door.lengths.unbind(-1)) if len(door.lengths) else None
    events = fields_of(inference.enumerate_events(door.structure, door.pack(blank), lengths=lengths))
    rank = torch.cat([e.flatten(1) for e in events], -1).unique(dim=0, return_inverse=True)[1]
    order = rank.argsort(descending=True, stable=True)
    return door.pack([e[order] for e in events])
