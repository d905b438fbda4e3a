"""Surrogates that ask for a second best structure at moved potentials, and subtract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference import argmax
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.finite import checked
from semiring_struct.ops import SumOfGamma, Utility
from semiring_struct.structures import Structure
from semiring_struct.surrogates.stated import check_step, difference, moved, stated


def blackbox(structure: Structure, log_potentials: Any, step: float = 1.0, lengths: Any = None) -> Any:
    """One best event; backwards, the difference quotient of best events along the gradient that arrives.

    Forward: `z(phi) = argmax(phi)`. Backward: `(z(phi) - z(phi - step * g)) / step`, the gradient of a piecewise affine
    interpolation of the cost. (Written for costs `w = -phi` to be minimised, this is the original's side of the step.)
    Bias: yes.  Needs: argmax, once more per backward pass.  Does not need: marginals, samples.
    Source: Vlastelica et al. 2020, sec. 3, algorithm 1 [vlastelica2020]; Niculae et al. 2023, eq. 4.3, which steps to
    the other side [niculae2023].
    """
    check_step(step, "blackbox")
    door = open_door(structure, log_potentials, lengths)
    best = argmax(structure, log_potentials, lengths=lengths)

    def pullback(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        again = argmax(structure, moved(door, step, grads), lengths=lengths)
        return [d / step for d in difference(door.unpack(best, "best"), door.unpack(again, "best"))]

    return stated(door, best, pullback)


_SUM_OF_GAMMA = SumOfGamma()


def imle(
    structure: Structure, log_potentials: Any, step: float = 1.0, noise: Any = _SUM_OF_GAMMA, lengths: Any = None, *,
    generator: torch.Generator | None = None,
) -> Any:  # fmt: skip
    """A perturb-and-MAP draw; backwards, how the draw moves with the gradient that arrives, under the same noise.

    Forward: `z(phi + e)`, `z = argmax`. Backward: `z(phi + e) - z(phi + e - step * g)` with the same `e`, not divided
    by the step. `noise`: a law of utilities, a tensor, or a tuple of tensors like the potentials (zeros give `blackbox`
    times its step). Half precision is decoded in float32.
    Bias: yes.  Needs: argmax, once more per backward pass.  Does not need: marginals.
    Source: Niepert, Minervini & Franceschi 2021, sec. 3 [niepert2021]; Niculae et al. 2023, eq. 5.7 [niculae2023].
    """
    check_step(step, "imle")
    beside = None if isinstance(noise, Utility) else lambda alone: alone.lead(noise, "imle: noise")
    door = checked(open_door(structure, log_potentials, lengths, beside))
    moving = door.pack(_noisy(structure, door, noise, generator, lengths))
    best = argmax(structure, moving, lengths=lengths)
    around = open_door(structure, moving, lengths)

    def pullback(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        again = argmax(structure, moved(around, step, grads), lengths=lengths)
        return difference(door.unpack(best, "best"), door.unpack(again, "best"))

    return stated(door, best, pullback)


def _noisy(
    structure: Structure, door: Door, noise: Any, generator: torch.Generator | None, lengths: Any
) -> Sequence[Tensor]:
    """Potentials plus noise that is held in the backward pass."""
    if not isinstance(noise, Utility):
        given = door.event(noise, "imle: noise")
        return [f + e.to(f.dtype) for e, f in zip(given, door.fields, strict=True)]
    fields = [f.detach() for f in door.fields]
    best = door.unpack(argmax(structure, door.pack(fields), lengths=lengths), "best")
    counts = [b.sum(list(range(len(door.batch), b.dim()))) for b in best]
    used = sum(counts[1:], counts[0])
    laws = [noise.fitted(used.reshape(*used.shape, *[1] * (f.dim() - len(door.batch)))) for f in fields]
    return [law.draw(f, generator=generator) for law, f in zip(laws, fields, strict=True)]
