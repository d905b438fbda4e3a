"""What the answers of some cases must be: by the plain machine in float64, all cases at once, or by enumeration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from tests.routes.cases import Case
from tests.structures.families import NEG_INF, fields_of

SWITCH = "SEMIRING_STRUCT_EXECUTOR"
BEST = 3


@contextmanager
def machine(name: str) -> Iterator[None]:
    """Run on the machine of this name; the empty name leaves the choice to the library."""
    before = os.environ.pop(SWITCH, None)
    if name:
        os.environ[SWITCH] = name
    try:
        yield
    finally:
        os.environ.pop(SWITCH, None)
        if before is not None:
            os.environ[SWITCH] = before


@dataclass(frozen=True)
class Truth:
    """Right answers for instances, one after the other, all in float64.

    `hessian` is the Hessian of log Z times the case's vector, `entropy_slope` the gradient of the entropy, `first` the
    event that the plain machine takes among the best ones (None by enumeration), `largest` the largest potential.
    """

    log_z: Tensor
    mean: tuple[Tensor, ...]
    hessian: tuple[Tensor, ...]
    best: Tensor
    top: Tensor
    entropy: Tensor
    entropy_slope: tuple[Tensor, ...]
    largest: Tensor
    first: tuple[Tensor, ...] | None = None

    def rows(self, chosen: slice | Tensor) -> Truth:
        """The answers for some of the instances."""
        cut = {}
        for field in fields(self):
            value = getattr(self, field.name)
            some = isinstance(value, tuple)
            cut[field.name] = tuple(v[chosen] for v in value) if some else None if value is None else value[chosen]
        return Truth(**cut)


def truths(cases: Sequence[Case]) -> list[Truth]:
    """The truth for each case; all are of one structure and size."""
    if cases[0].model.events is not None:
        return [by_enumeration(case) for case in cases]
    whole, start, out = by_the_plain_machine(cases), 0, []
    for case in cases:
        out.append(whole.rows(slice(start, start + case.count)))
        start += case.count
    return out


def by_the_plain_machine(cases: Sequence[Case]) -> Truth:
    """All instances of all cases in one batch, in float64 on the eager machine."""
    model = cases[0].model
    phi = tuple(torch.cat(f) for f in zip(*(case.whole(case.fields) for case in cases), strict=True))
    vector = tuple(torch.cat(f) for f in zip(*(case.whole(case.vector) for case in cases), strict=True))
    sides = tuple(torch.cat(s) for s in zip(*(case.bounds for case in cases), strict=True))
    structure = model.build(*(torch.cat(r) for r in zip(*(case.rows for case in cases), strict=True)))
    given: dict[str, Any] = {"lengths": sides[0] if len(sides) == 1 else sides} if sides else {}
    with machine("eager"):
        leaves = tuple(f.clone().requires_grad_() for f in phi)
        entropy = ss.entropy(structure, model.kind(*leaves), **given)
        slopes = torch.autograd.grad(entropy.sum(), leaves, allow_unused=True)
        best = ss.max_score(structure, model.kind(*phi), **given)
        return Truth(
            log_z=ss.log_partition(structure, model.kind(*phi), **given),
            mean=fields_of(ss.marginals(structure, model.kind(*phi), **given)),
            hessian=fields_of(ss.covariance_vp(structure, model.kind(*phi), model.kind(*vector), **given)),
            best=best,
            top=ss.topk(structure, model.kind(*phi), BEST, **given).scores.movedim(0, -1),
            entropy=entropy.detach(),
            entropy_slope=tuple(torch.zeros_like(f) if s is None else s for s, f in zip(slopes, phi, strict=True)),
            largest=_largest(phi),
            first=_first(structure, model, phi, given, best > NEG_INF),
        )


def _first(structure, model, phi, given, alive) -> tuple[Tensor, ...]:
    """The best events, 0 for an instance without a structure, which is given potentials of 0 in its place."""
    safe = [torch.where(alive.reshape(-1, *[1] * (f.dim() - 1)), f, 0.0) for f in phi]
    possible = ss.max_score(structure, model.kind(*safe), **given) > NEG_INF
    if not bool(possible.all()):  # some length, or too large a set: no potentials help
        return tuple(torch.full_like(f, torch.nan) for f in phi)
    events = fields_of(ss.argmax(structure, model.kind(*safe), **given))
    return tuple(torch.where(alive.reshape(-1, *[1] * (e.dim() - 1)), e, 0.0) for e in events)


def _largest(phi: tuple[Tensor, ...]) -> Tensor:
    flat = torch.cat([f.flatten(1) for f in phi], 1)
    return torch.where(flat.isfinite(), flat.abs(), 0.0).amax(1) if flat.shape[1] else flat.new_zeros(len(flat))


def by_enumeration(case: Case) -> Truth:
    """Every event of every instance is scored, one instance after the other."""
    phi, vector = case.whole(case.fields), case.whole(case.vector)
    every = [
        _of_one(case, b, [f[b] for f in phi], [v[b] for v in vector]) for b in range(case.count)
    ]
    joined = {}
    for field in fields(Truth):
        values = [getattr(one, field.name) for one in every]
        if field.name != "first":
            tuples = isinstance(values[0], tuple)
            joined[field.name] = tuple(map(torch.stack, zip(*values, strict=True))) if tuples else torch.stack(values)
    return replace(Truth(**joined), largest=_largest(phi))


def _of_one(case: Case, b: int, phi: list[Tensor], vector: list[Tensor]) -> Truth:
    events = case.model.listed(tuple(int(side[b]) for side in case.bounds))
    shapes = [tuple(f.shape) for f in phi]
    flat = torch.cat([e.flatten(1) for e in events], 1)
    parts, moves = torch.cat([f.flatten() for f in phi]), torch.cat([v.flatten() for v in vector])
    barred = parts == NEG_INF
    safe = torch.where(barred, 0.0, parts)
    scores = (flat @ safe).masked_fill(flat @ barred.double() > 0, NEG_INF)
    scores = torch.cat([scores, scores.new_full((BEST,), NEG_INF)])
    best = scores.amax()
    weights = (scores - torch.where(best > NEG_INF, best, 0.0)).exp()
    mass = weights.sum()
    chances = (weights / torch.where(mass > 0, mass, 1.0))[:-BEST]
    mean = chances @ flat
    centred = flat - mean
    hessian = (chances * (centred @ moves)) @ centred
    slope = -(chances * (centred @ safe)) @ centred

    def parted(x: Tensor) -> tuple[Tensor, ...]:
        cut = x.split([int(torch.tensor(s).prod()) for s in shapes])
        return tuple(c.reshape(s) for c, s in zip(cut, shapes, strict=True))

    return Truth(
        log_z=torch.where(mass > 0, mass.log() + best, NEG_INF), mean=parted(mean), hessian=parted(hessian), best=best,
        top=scores.sort(descending=True).values[:BEST], entropy=torch.special.entr(chances).sum(),
        entropy_slope=parted(slope), largest=best,
    )  # fmt: skip
