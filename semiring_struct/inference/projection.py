"""Projection of potentials onto the convex hull of events, by calls of `argmax` alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError, UnsupportedQueryError
from semiring_struct.inference.decode import argmax
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.fields import double
from semiring_struct.inference.finite import checked
from semiring_struct.inference.partition import kind_of
from semiring_struct.ops import (
    NEG_INF,
    active_set,
    hull_weights,
    is_mapped,
    may_be_differentiated,
    outside,
    refuse_where,
    tight_atoms,
)
from semiring_struct.structures import Structure
from semiring_struct.types import SparseMAP


def project(
    structure: Structure, log_potentials: Any, lengths: Any = None, *, curvature: Any = 1.0,
    start: SparseMAP | None = None, iterations: int = 1000, tolerance: float = 1e-9,
) -> SparseMAP:  # fmt: skip
    """The `x` in conv(events) that maximises `<log_potentials, x> - 1/2 sum curvature x^2`, as an average of events.

    With `curvature` 1 it is the projection of the potentials. `curvature` is a number, or a number or tensor per field
    that broadcasts to it, >= 0; 0 leaves parts out of the quadratic. `start` is an earlier answer for potentials of the
    same shapes, whose events are tried first. An instance is done at a duality gap of `tolerance`. `mean` and `weights`
    are differentiable in potentials and curvature: the mean along the whole face of events that tie, the weights on the
    events they belong to. In float64 inside.

    Raises `InfeasibleError` where an instance has no structure. Cost: an `argmax` of the whole batch for each event
    that enters; with gradients two more, to look for events that tie. Source: Niculae et al. 2018 [niculae2018].
    """
    return _project(structure, log_potentials, lengths, curvature, start, iterations, tolerance)


@outside("a search goes on from event to event until it is done, which a compiled graph cannot hold")
def _project(
    structure: Structure, log_potentials: Any, lengths: Any, curvature: Any, start: SparseMAP | None, iterations: int,
    tolerance: float,
) -> SparseMAP:  # fmt: skip
    door = checked(open_door(structure, double(log_potentials), lengths))
    target = _flat(door.fields, door)
    allowed = target != NEG_INF
    target, bend = torch.where(allowed, target, 0.0), _curvature(door, curvature)
    if is_mapped(target) or is_mapped(bend):
        raise UnsupportedQueryError("vmap cannot map a search for events; give the potentials a batch dim instead")
    goal, bent = target.detach(), bend.detach()

    def oracle(direction: Tensor) -> Tensor:
        parts = _unflat(torch.where(allowed, direction, NEG_INF), door)
        return _flat(door.unpack(argmax(structure, door.pack(parts), lengths=lengths), "argmax"), door)

    begin = None if start is None else _start(door, start, allowed)
    found = active_set(goal, bent, oracle, begin, iterations, tolerance)
    atoms, active = _heaviest_first(found.atoms, found.weights)
    weights = hull_weights(target, bend, atoms, active)
    mean = torch.einsum("bs,bsd->bd", weights, atoms)
    if may_be_differentiated(mean):
        face, on = tight_atoms(found, goal, bent, oracle)
        mean = torch.einsum("bs,bsd->bd", hull_weights(target, bend, face, on), face)
    atoms = torch.where(active[..., None], atoms, atoms[:, :1])
    return _answer(door, mean, atoms, weights, found.gap, log_potentials)


def _flat(fields: Sequence[Tensor], door: Door, lead: tuple[int, ...] = ()) -> Tensor:
    """Fields `(*lead, *batch, *event)` side by side, `(*lead, B, d)`."""
    count = math.prod(door.batch)
    return torch.cat([f.reshape(*lead, count, math.prod(e)) for f, e in zip(fields, door.events, strict=True)], -1)


def _unflat(flat: Tensor, door: Door, lead: tuple[int, ...] = ()) -> list[Tensor]:
    """The reverse."""
    pieces = flat.split([math.prod(e) for e in door.events], -1)
    return [p.reshape(*lead, *door.batch, *e) for p, e in zip(pieces, door.events, strict=True)]


def _curvature(door: Door, given: Any) -> Tensor:
    """One number per part, `(B, d)`."""
    each = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(door.fields)
    if len(each) != len(door.fields):
        raise TypeError(f"curvature needs one entry per field ({len(door.fields)}); got {len(each)}")
    out = []
    for name, c, f in zip(door.structure.field_names, each, door.fields, strict=True):
        c = torch.as_tensor(c, dtype=f.dtype, device=f.device)
        try:
            out.append(c.expand(f.shape))
        except RuntimeError:
            raise ShapeError(
                f"curvature: {name} needs a shape that broadcasts to {tuple(f.shape)}; got {tuple(c.shape)}"
            ) from None
        refuse_where(~(c >= 0), f"curvature: {name} needs numbers >= 0")
    return _flat(out, door)


def _start(door: Door, start: SparseMAP, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Atoms `(B, s, d)` and weights `(B, s)` of an earlier answer, without weight where an event is now forbidden."""
    fields = door.event(start.events, "start: events")
    lead = (start.weights.shape[0],)
    atoms = _flat([e.detach().double() for e in fields], door, lead).transpose(0, 1)
    weights = start.weights.detach().double().reshape(*lead, math.prod(door.batch)).T
    return atoms, torch.where((atoms.bool() & ~allowed[:, None]).any(-1), 0.0, weights)


def _heaviest_first(atoms: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Atoms in order of weight, cut to the largest support, and which slots hold one."""
    weights, order = weights.sort(dim=-1, descending=True, stable=True)
    size = int((weights > 0).sum(-1).max()) if weights.numel() else 1
    order = order[:, :size]
    return atoms.gather(1, order[..., None].expand(*order.shape, atoms.shape[-1])), weights[:, :size] > 0


def _answer(door: Door, mean: Tensor, atoms: Tensor, weights: Tensor, gap: Tensor, given: Any) -> SparseMAP:
    """In the shapes of the call, and in its dtype (float32 for half precision)."""
    kind = kind_of(given)
    lead = (atoms.shape[1],)
    return SparseMAP(
        door.pack([f.to(kind) for f in _unflat(mean, door)]),
        door.pack([f.to(kind) for f in _unflat(atoms.transpose(0, 1), door, lead)]),
        weights.T.reshape(*lead, *door.batch).to(kind),
        gap.reshape(door.batch).to(kind),
    )
