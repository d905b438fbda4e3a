"""Noise from an explicit generator; the global one is touched only when none is given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .logspace import NEG_INF

# half the step of the lattice that torch.rand draws from: the middle of the cell that it rounds to 0
_HALF_STEP = {torch.float32: 2.0**-25, torch.float64: 2.0**-54}


def uniform(
    shape: Sequence[int],
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Independent uniforms on the open interval (0, 1). Raises `TypeError` unless `dtype` is float32 or float64."""
    if dtype not in _HALF_STEP:
        raise TypeError(f"noise is drawn in float32 or float64; got {dtype}. Draw in float32 and convert.")
    draw = torch.rand(tuple(shape), generator=generator, dtype=dtype, device=device)
    return draw.clamp_(min=_HALF_STEP[dtype])


def exponential(
    shape: Sequence[int],
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Independent Exp(1) variables, finite and above 0."""
    # drawn in float64: the smallest of many float32 uniforms would tie on their coarse lattice
    draw = uniform(shape, generator=generator, dtype=torch.float64, device=device)
    return draw.log_().neg_().to(dtype)


def gumbel(
    shape: Sequence[int],
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Independent standard Gumbel variables (mean 0.5772...), finite: minus the log of an Exp(1)."""
    draw = exponential(shape, generator=generator, dtype=torch.float64, device=device)
    return draw.log_().neg_().to(dtype)


def _log1mexp(x: Tensor) -> Tensor:
    """`log(1 - exp(x))` for `x < 0`, accurate at both ends."""
    near = x > -0.6931471805599453  # log 1/2: where the two forms are equally good
    by_expm1 = torch.where(near, x, -1.0).expm1().neg().log()
    return torch.where(near, by_expm1, torch.where(near, -1.0, x).exp().neg().log1p())


def gumbel_with_maximum(perturbed: Tensor, maximum: Tensor, dim: int = -1) -> Tensor:
    """Independent Gumbels along `dim`, made over so that their largest is `maximum`, keeping order.

    If `perturbed` holds location + Gumbel noise, the result is a draw of the same law given that maximum. The largest
    entry becomes `maximum` itself; entries of `-inf` stay.

    Shape: `(..., k, ...)` and the same without `dim` -> `(..., k, ...)`.
    Source: Kool, van Hoof & Welling 2019, appendix B.3 [kool2019beams].
    """
    maximum = maximum.unsqueeze(dim)
    top, index = perturbed.detach().max(dim, keepdim=True)
    best = torch.zeros_like(perturbed, dtype=torch.bool).scatter(dim, index, top > NEG_INF)
    top = perturbed.gather(dim, index)
    blank = (perturbed == NEG_INF) | (maximum == NEG_INF)
    simple = best | blank | (perturbed == top)
    # stand-ins keep the unused branch finite, so that its gradient is 0 and not nan
    gap = torch.where(simple, -1.0, perturbed - torch.where(top == NEG_INF, 0.0, top))
    low = torch.where(blank, 0.0, maximum)
    v = low - torch.where(simple, 0.0, perturbed) + _log1mexp(gap)
    moved = low - v.relu() - v.abs().neg().exp().log1p()
    return torch.where(blank, NEG_INF, torch.where(simple, maximum, moved))
