"""Perturbed maxima: structures averaged over noise on their potentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference import argmax, score
from semiring_struct.inference.beside import open_with_event
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.fields import as_lengths
from semiring_struct.inference.finite import checked
from semiring_struct.ops import NEG_INF, Gumbel, Utility, stated
from semiring_struct.structures import Structure

_GUMBEL = Gumbel()


def perturbed(
    structure: Structure, log_potentials: Any, noise: Utility = _GUMBEL, samples: int = 1, lengths: Any = None, *,
    generator: torch.Generator | None = None,
) -> Any:  # fmt: skip
    """The mean of best structures under noise, `1/M sum_m argmax(U_m)`, shaped like the potentials.

    `U` are utilities drawn around the potentials by the law `noise`, e.g. `phi + scale G` for `Gumbel(scale)`: its
    scale is the temperature. An unbiased estimate of `E[argmax(U)]`, which is smooth in the potentials; backwards, an
    unbiased estimate of its vector-Jacobian product by the same noise, `1/M sum_m <z_m, g> score(U_m)`.
    Bias: none for the smoothed problem; the variance of the gradient falls as 1/M.  Needs: argmax, `samples` times (one
    batched call).  Does not need: marginals, a differentiable solver.  Raises `ValueError` for `samples` below 1.
    Source: Berthet et al. 2020, sec. 2 and 3.1, proposition 3.1 [berthet2020].
    """
    door, events, drawn = _decoded(structure, log_potentials, noise, samples, lengths, generator)
    dims = door.structure.event_dims

    def pullback(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        terms = [(z * g).flatten(-d).sum(-1) for z, g, d in zip(events, grads, dims, strict=True)]
        weight = sum(terms[1:], terms[0])
        scores = [_score(noise, f.detach(), u.detach()) for f, u in zip(door.fields, drawn, strict=True)]
        return [(weight.reshape(*weight.shape, *[1] * d) * s).mean(0) for s, d in zip(scores, dims, strict=True)]

    return door.pack(stated([z.mean(0) for z in events], door.fields, pullback))


def perturbed_loss(
    structure: Structure, log_potentials: Any, target: Any, noise: Utility = _GUMBEL, samples: int = 1,
    lengths: Any = None, *, generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """The Fenchel-Young loss of the perturbed maximum, `E[max_z <z, U>] - <target, phi>`, `(*batch,)`.

    Up to the constant of the target's regularizer, which has no closed form. `target` is an event. Its gradient is
    `perturbed - target` for noise that is added, estimated by the same `samples` draws.
    Bias: none.  Needs: argmax.  Does not need: marginals, the score of the noise.
    Source: Berthet et al. 2020, sec. 4 [berthet2020].
    """
    given = open_with_event(structure, log_potentials, lengths, target, "perturbed_loss: target")
    door, events, drawn = _decoded(structure, given.pack(given.fields), noise, samples, lengths, generator)
    top = score(structure, door.pack(drawn), door.pack(events)).mean(0)
    return top - score(structure, door.pack(door.fields), target)


def _decoded(
    structure: Structure, log_potentials: Any, noise: Utility, samples: int, lengths: Any,
    generator: torch.Generator | None,
) -> tuple[Door, tuple[Tensor, ...], list[Tensor]]:  # fmt: skip
    """Best events `(samples, *batch, ...)` of utilities, and the utilities, differentiable in the potentials."""
    if not isinstance(noise, Utility):
        raise TypeError(f"perturbed needs noise such as Gumbel(scale); got {noise!r}. A number of draws is samples=")
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 1:
        raise ValueError(f"perturbed needs an integer samples >= 1; got {samples!r}")
    door = checked(open_door(structure, log_potentials, lengths))
    drawn = [noise.draw(f.expand(samples, *f.shape), generator=generator) for f in door.fields]
    bounds = as_lengths(side.reshape(door.batch).expand(samples, *door.batch) for side in door.lengths.unbind(-1))
    events = argmax(structure, door.pack(drawn), lengths=bounds)
    return door, door.unpack(events, "events"), drawn


def _score(noise: Utility, theta: Tensor, utilities: Tensor) -> Tensor:
    """The score of finite entries, 0 for forbidden ones."""
    free = theta > NEG_INF
    return torch.where(free, noise.score(torch.where(free, theta, 0.0), torch.where(free, utilities, 0.0)), 0.0)
