"""Surrogates that step towards a pulled-back label: where the downstream gradient would like the structure to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from semiring_struct.inference import argmax, marginals
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.projection import project
from semiring_struct.structures import Structure
from semiring_struct.surrogates.stated import check_step, difference, moved, stated


def spigot(structure: Structure, log_potentials: Any, step: float = 1.0, lengths: Any = None) -> Any:
    """One best event; backwards, from it to the projection of one gradient step: `z - proj(z - step * g)`.

    Forward: `z = argmax(phi)`. Backward: `z - proj(z - step * g)`, the projection onto the convex hull of the events,
    not divided by the step. It is the gradient of a perceptron loss whose label is the projected point.
    Bias: yes.  Needs: argmax (the projection is an active-set solve by it).  Does not need: marginals, samples.
    Source: Peng, Thomson & Smith 2018 [peng2018]; with the exact projection Niculae et al. 2023, sec. 4.2, eq. 4.2
    [niculae2023].
    """
    check_step(step, "spigot")
    door = open_door(structure, log_potentials, lengths)
    best = argmax(structure, log_potentials, lengths=lengths)
    return stated(door, best, lambda grads: _away(structure, door, best, step, grads, lengths))


def spigot_ce(structure: Structure, log_potentials: Any, step: float = 1.0, lengths: Any = None) -> Any:
    """One best event; backwards, from the marginals to their own projected step: `p - proj(p - step * g)`.

    Forward: `argmax(phi)`. Backward: `p - proj(p - step * g)` with `p` the marginals: the gradient of a CRF loss whose
    label is the projected point. `g` is what arrives, i.e. the cost's gradient at the best event; for the variant that
    takes it at `p`, evaluate the cost on `marginals` and hand its gradient on.
    Bias: yes.  Needs: argmax, marginals.  Does not need: samples, second-order marginals.
    Source: Mihaylova, Niculae & Martins 2020, sec. 4 [mihaylova2020].
    """
    check_step(step, "spigot_ce")
    door = open_door(structure, log_potentials, lengths)
    best = argmax(structure, log_potentials, lengths=lengths)

    def pullback(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        return _away(structure, door, _means(structure, door, lengths), step, grads, lengths)

    return stated(door, best, pullback)


def spigot_eg(structure: Structure, log_potentials: Any, step: float = 1.0, lengths: Any = None) -> Any:
    """One best event; backwards, an exponentiated-gradient step of the marginals: `p(phi) - p(phi - step * g)`.

    Forward: `argmax(phi)`. Backward: the difference of the two marginals, not divided by the step.
    Bias: yes; for small steps it is `step` times `marginals_straight_through`.  Needs: argmax, marginals.
    Does not need: a projection, samples, second-order marginals.
    Source: Mihaylova, Niculae & Martins 2020, sec. 4 [mihaylova2020].
    """
    check_step(step, "spigot_eg")
    door = open_door(structure, log_potentials, lengths)
    best = argmax(structure, log_potentials, lengths=lengths)

    def pullback(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        after = marginals(structure, moved(door, step, grads), lengths)
        return difference(door.unpack(_means(structure, door, lengths), "marginals"), door.unpack(after, "marginals"))

    return stated(door, best, pullback)


def _means(structure: Structure, door: Door, lengths: Any) -> Any:
    return marginals(structure, door.pack([f.detach() for f in door.fields]), lengths)


def _away(
    structure: Structure, door: Door, start: Any, step: float, grads: Sequence[Tensor], lengths: Any
) -> Sequence[Tensor]:
    """`start - proj(start - step * g)`; forbidden parts stay out of the projection."""
    points = [s - step * g for s, g in zip(door.unpack(start, "start"), grads, strict=True)]
    target = [p.masked_fill(f == -float("inf"), -float("inf")) for p, f in zip(points, door.fields, strict=True)]
    near = project(structure, door.pack(target), lengths)
    return difference(door.unpack(start, "start"), door.unpack(near.mean, "projection"))
