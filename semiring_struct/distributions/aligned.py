"""Two distributions side by side: the same structure, lengths and event shapes, their batch dims broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from semiring_struct.errors import ShapeError, UnsupportedQueryError
from semiring_struct.inference.door import Door, open_door

if TYPE_CHECKING:
    from semiring_struct.distributions.queries import Queries


def aligned(p: Queries, q: Queries) -> tuple[Any, Any]:
    """The log-potentials of both, expanded to their common batch dims.

    Raises `UnsupportedQueryError` (a `NotImplementedError`) for different structures, `ValueError` for different
    lengths, `ShapeError` for event shapes that differ or batch dims that do not broadcast.
    """
    one, two = (open_door(d.structure, d.log_potentials, d.lengths) for d in (p, q))
    if not one.structure.same_as(two.structure):
        raise UnsupportedQueryError(f"both need the same structure; got {p.structure!r} and {q.structure!r}")
    if one.events != two.events:
        raise ShapeError(f"both need events of the same shape; got {one.events} and {two.events}")
    try:
        batch = torch.broadcast_shapes(one.batch, two.batch)
    except RuntimeError:
        raise ShapeError(f"batch dims {one.batch} and {two.batch} do not broadcast together") from None
    _check_lengths(one, two)
    return _expanded(one, batch), _expanded(two, batch)


def _check_lengths(one: Door, two: Door) -> None:
    ours, theirs = (d.lengths.reshape(*d.batch, d.lengths.shape[-1]) for d in (one, two))
    if not bool((ours == theirs).all()):
        raise ValueError("both need the same lengths: their structures are over different parts")


def _expanded(door: Door, batch: torch.Size) -> Any:
    return door.pack([f.expand(*batch, *event) for f, event in zip(door.fields, door.events, strict=True)])
