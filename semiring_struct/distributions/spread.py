"""The variance of every part: of a 0/1 part by its mean, of a count by the diagonal of the covariance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.fields import as_lengths, fields_of, pack_like
from semiring_struct.structures import Structure

CHUNK = 32


def part_variances(structure: Structure, log_potentials: Any, lengths: Any) -> Any:
    """The variance of each entry of the event, shaped like the log-potentials.

    `mean (1 - mean)`, differentiable, for the fields whose entries are 0 or 1. A tied field counts, and so may one of
    a structure from outside the library: there it is the diagonal of the covariance, not differentiable, at the cost of
    one `covariance_vp` per entry of such a field, in batches of `CHUNK` copies of the potentials.
    """
    door = open_door(structure, log_potentials, lengths)
    means = fields_of(inference.marginals(structure, log_potentials, lengths))
    counting = _may_count(door.structure, list(door.events))
    out = [
        _diagonal(door, field) if counts else mean * (1 - mean)
        for field, (counts, mean) in enumerate(zip(counting, means, strict=True))
    ]
    return pack_like(log_potentials, [v.clamp(min=0) for v in out])


def _may_count(structure: Structure, shapes: list[tuple[int, ...]]) -> list[bool]:
    """Which fields of an event of these shapes may be used more than once by one structure."""
    if not structure.uses_parts_once:
        return [True] * len(shapes)
    full = structure.full_shapes(shapes)
    return [have != want for have, want in zip(shapes, full, strict=True)]


def _diagonal(door: Door, field: int) -> Tensor:
    """`(*batch, *event)`: entry by entry, the covariance times a unit vector, read at that entry."""
    event = door.events[field]
    entries = torch.arange(torch.Size(event).numel(), device=door.lengths.device)
    chunks = [_entries(door, field, at) for at in entries.split(CHUNK)] if len(entries) else []
    flat = torch.cat(chunks) if chunks else door.fields[field].new_zeros(0, *door.batch)
    return flat.movedim(0, -1).reshape(*door.batch, *event)


def _entries(door: Door, field: int, at: Tensor) -> Tensor:
    """The variances `(entries, *batch)` of some entries of a field."""
    wide = [f.detach().expand(len(at), *f.shape) for f in door.fields]
    units = [torch.zeros_like(f) for f in wide]
    flat_shape = (len(at), *door.batch, torch.Size(door.events[field]).numel())
    mark = at.reshape(-1, *[1] * len(door.batch), 1).expand(*flat_shape[:-1], 1)
    flat = units[field].reshape(flat_shape).scatter(-1, mark, 1.0)
    units[field] = flat.reshape(wide[field].shape)
    lengths = as_lengths(side.reshape(door.batch).expand(len(at), *door.batch) for side in door.lengths.unbind(-1))
    bent = fields_of(inference.covariance_vp(door.structure, door.pack(wide), door.pack(units), lengths))[field]
    return bent.reshape(flat_shape).gather(-1, mark).squeeze(-1)
