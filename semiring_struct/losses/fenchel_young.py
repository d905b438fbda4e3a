"""Fenchel-Young losses: one loss for every way of making a maximum smooth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from semiring_struct.inference import evaluate
from semiring_struct.inference.decode import event_score
from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import fields_of
from semiring_struct.inference.projection import project
from semiring_struct.losses.target import with_target
from semiring_struct.semirings import Semiring
from semiring_struct.structures import Structure


class Maximum(ABC):
    """A regularised maximum over structures, `max_mu <mu, phi> - Omega(mu)`, and its `Omega` at a structure."""

    @abstractmethod
    def value(self, structure: Structure, log_potentials: Any, lengths: Any) -> Tensor:
        """The maximum `(*batch,)`, differentiable; its gradient is the maximiser."""

    @abstractmethod
    def regularizer(self, structure: Structure, log_potentials: Any, event: Any) -> Tensor:
        """`Omega(event)`, broadcasting to `(*batch,)`, for the event of one structure."""


@final
@dataclass(frozen=True)
class SemiringMaximum(Maximum):
    """The total under a semiring whose ⊕ is a smooth maximum; its regularizer is 0 at every structure."""

    semiring: Semiring

    def value(self, structure: Structure, log_potentials: Any, lengths: Any) -> Tensor:
        """`evaluate(structure, semiring, log_potentials)`."""
        return evaluate(structure, self.semiring, log_potentials, lengths)

    def regularizer(self, structure: Structure, log_potentials: Any, event: Any) -> Tensor:
        """0."""
        return torch.zeros((), device=fields_of(log_potentials)[0].device)


@final
@dataclass(frozen=True)
class EuclideanMaximum(Maximum):
    """`max_mu <mu, phi> - |mu|^2 / 2` over the convex hull of the events, attained at SparseMAP [niculae2018]."""

    def value(self, structure: Structure, log_potentials: Any, lengths: Any) -> Tensor:
        """By projection; the envelope theorem makes the projected point the gradient."""
        door = open_door(structure, log_potentials, lengths)
        near = project(structure, door.pack([f.detach() for f in door.fields]), lengths)
        mean = [m.detach() for m in door.unpack(near.mean, "projection")]
        return event_score(door, door.pack(mean), "projection") - _half_square(door.events, mean)

    def regularizer(self, structure: Structure, log_potentials: Any, event: Any) -> Tensor:
        """Half the squared length of the event."""
        door = open_door(structure, log_potentials)
        return _half_square(door.events, door.event(event, "fenchel_young: target"))


def _half_square(events: Sequence[tuple[int, ...]], fields: Sequence[Tensor]) -> Tensor:
    terms = [f.square().sum(list(range(-len(event), 0))) / 2 for f, event in zip(fields, events, strict=True)]
    return sum(terms[1:], terms[0])


@final
@dataclass(frozen=True)
class FenchelYoung:
    """`loss(structure, log_potentials, target, lengths=None)` for one maximum; see `fenchel_young`."""

    max: Maximum

    def __call__(self, structure: Structure, log_potentials: Any, target: Any, lengths: Any = None) -> Tensor:
        """`max(phi) + Omega(target) - <target, phi>`, `(*batch,)`."""
        door, event = with_target(structure, log_potentials, target, lengths, "fenchel_young")
        phi = door.pack(door.fields)
        level = self.max.regularizer(structure, phi, event)
        return self.max.value(structure, phi, lengths) + level - event_score(door, event, "fenchel_young: target")


def fenchel_young(max: Semiring | Maximum) -> FenchelYoung:
    """The loss `max_Omega(phi) + Omega(target) - <target, phi>` that belongs to a smooth maximum.

    `max`: a semiring (`LogSemiring()` gives `nll`, `MaxSemiring()` the perceptron, `SparsemaxSemiring()` and the like
    the smoothed programs) or a `Maximum` (`EuclideanMaximum()` gives the SparseMAP loss). The returned loss takes
    `(structure, log_potentials, target, lengths=None)`, gives `(*batch,)`, is at least 0 and convex in the potentials
    where the maximum is, and has gradient `mean - target`.
    Bias: none.  Needs: the maximum's oracle (a program, or argmax for the Euclidean one).
    Source: Blondel, Martins & Niculae 2020, sec. 3, definition 2 [blondel2020].
    """
    if isinstance(max, Semiring):
        return FenchelYoung(SemiringMaximum(max))
    if isinstance(max, Maximum):
        return FenchelYoung(max)
    raise TypeError(f"fenchel_young needs a semiring or a Maximum; got {type(max).__name__}")
