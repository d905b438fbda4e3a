"""Straight-through estimators: the best structure forwards, a simpler map's gradient backwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference import argmax, marginals
from semiring_struct.inference.door import open_door
from semiring_struct.ops import NEG_INF, exponential, gumbel, logaddexp, logsumexp, one_hot_argmax, softmax
from semiring_struct.structures import Structure
from semiring_struct.surrogates.stated import stated


def straight_through(structure: Structure, log_potentials: Any, lengths: Any = None) -> Any:
    """One best event; the gradient passes as if the event were the log-potentials themselves.

    Forward: `argmax(phi)`, like the potentials. Backward: `g`, unscaled, whatever the potentials.
    Bias: yes, and it may point uphill.  Needs: argmax.  Does not need: marginals, samples, a second call of the cost.
    Source: Niculae et al. 2023, sec. 4.1, eq. 4.1 [niculae2023]; Bengio, Léonard & Courville 2013 [bengio2013].
    """
    door = open_door(structure, log_potentials, lengths)
    best = argmax(structure, log_potentials, lengths=lengths)
    return stated(door, best, lambda grads: grads)


def marginals_straight_through(structure: Structure, log_potentials: Any, lengths: Any = None) -> Any:
    """One best event; the gradient is that of the marginals at the same potentials.

    Forward: `argmax(phi)`. Backward: the covariance of the event times `g`, i.e. the gradient of `<marginals(phi), g>`.
    Bias: yes.  Needs: argmax, differentiable marginals.  Does not need: samples.
    Source: Niculae et al. 2023, sec. 4.2 (the softmax variant, for any structure) [niculae2023].
    """
    best = argmax(structure, log_potentials, lengths=lengths)
    return _on_top(best, marginals(structure, log_potentials, lengths))


def gumbel_straight_through(
    structure: Structure, log_potentials: Any, temperature: float = 1.0, lengths: Any = None, *,
    generator: torch.Generator | None = None,
) -> Any:  # fmt: skip
    """A perturb-and-MAP draw; the gradient is that of the marginals of the perturbed potentials.

    Forward: `argmax(phi + G)`, `G` standard Gumbel noise on every part (for one-hot structures an exact draw).
    Backward: the gradient of `<marginals((phi + G) / temperature), g>` with the noise held, so it carries `1 /
    temperature`.
    Bias: yes, smaller as the temperature falls, while the variance grows.  Needs: argmax, differentiable marginals.
    Does not need: a differentiable cost outside the vertices.  Raises `ValueError` for a temperature not above 0.
    Source: Jang, Gu & Poole 2017, sec. 2.2 [jang2017]; Paulus et al. 2020, sec. 4-5 [paulus2020].
    """
    _check_temperature(temperature, "gumbel_straight_through")
    door = open_door(structure, log_potentials, lengths)
    noisy = [f + gumbel(f.shape, generator=generator, dtype=f.dtype, device=f.device) for f in door.fields]
    best = argmax(structure, door.pack(noisy), lengths=lengths)
    return _on_top(best, marginals(structure, door.pack([f / temperature for f in noisy]), lengths))


def gumbel_rao_blackwell(
    log_potentials: Tensor, draws: int, temperature: float = 1.0, dim: int = -1, *,
    generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Straight-through Gumbel-softmax of one-hot choices along `dim`, its gradient averaged over the noise behind them.

    Forward: an exact one-hot draw. Backward: the gradient of the mean, over `draws` perturbations given that draw, of
    `<softmax((phi + G) / temperature), g>`. The same mean as with one perturbation, and a variance no larger.
    Bias: as `gumbel_straight_through`.  Needs: choices whose noise can be drawn given the choice, which one-hot ones
    are.  Does not need: more calls of the cost.  Raises `ValueError` for `draws` below 1 or a temperature not above 0.
    Shape: `(..., k, ...)` -> the same. Cost: `draws` softmaxes.
    Source: Paulus, Maddison & Krause 2021, sec. 3 [paulus2021].
    """
    _check_temperature(temperature, "gumbel_rao_blackwell")
    if draws < 1:
        raise ValueError(f"gumbel_rao_blackwell needs 1 or more draws; got {draws}")
    phi = log_potentials.movedim(dim, -1)
    fixed = phi.detach()
    first = gumbel(fixed.shape, generator=generator, dtype=fixed.dtype, device=fixed.device)
    choice = one_hot_argmax(fixed + first, -1)
    noise = _noise_given(choice, fixed, draws, generator)
    soft = softmax((phi + noise) / temperature, -1).mean(0)
    return _on_top(choice, soft).movedim(-1, dim)


def _noise_given(choice: Tensor, phi: Tensor, draws: int, generator: torch.Generator | None) -> Tensor:
    """Gumbel noise `(draws, ..., k)` under which `choice` is the best of `phi` plus noise, drawn from that law.

    The best value is Gumbel around log Z, and the others are Gumbels truncated there [maddison2014].
    """
    like = {"dtype": phi.dtype, "device": phi.device}
    top = logsumexp(phi, -1)[..., None] + gumbel((draws, *phi.shape[:-1], 1), generator=generator, **like)
    spacing = exponential((draws, *phi.shape), generator=generator, **like).log() - phi
    below = -logaddexp(-top, spacing)
    return torch.where(phi == NEG_INF, 0.0, torch.where(choice > 0, top, below) - phi)


def _on_top(best: Any, soft: Any) -> Any:
    """The value of `best` with the gradient of `soft`."""
    if isinstance(best, Tensor):
        return best + (soft - soft.detach())
    fields = [_on_top(b, s) for b, s in zip(best, soft, strict=True)]
    return type(best)(*fields) if hasattr(best, "_fields") else type(best)(fields)


def _check_temperature(temperature: float, who: str) -> None:
    if not 0 < temperature < float("inf"):
        raise ValueError(f"{who} needs a finite temperature above 0; got {temperature}")
