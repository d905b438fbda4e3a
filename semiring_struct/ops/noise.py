"""Noise from an explicit generator; the global one is touched only when none is given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .logspace import NEG_INF, log1mexp

# half the step of the lattice that torch.rand draws from: the middle of the cell that it rounds to 0
_HALF_STEP = {torch.float32: 2.0**-25, torch.float64: 2.0**-54}
# the odd constants of SplitMix64, as the int64 with the same bits
_GOLDEN, _MIX_1, _MIX_2 = (x - (1 << 64) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


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
    return draw.clamp(min=_HALF_STEP[dtype])


def new_seed(generator: torch.Generator | None = None, device: torch.device | str | None = None) -> Tensor:
    """A seed for `uniform_at`, `(1,)` int64: all that one call takes from a generator, however much noise it needs."""
    return torch.randint(torch.iinfo(torch.int64).max, (1,), generator=generator, device=device)


def uniform_at(seed: Tensor, index: Tensor) -> Tensor:
    """The uniforms on (0, 1), float64, at the places `index` (int64) of the sequence that `seed` begins.

    SplitMix64: place `i` is a mix of the bits of `seed + i * golden` that needs no other place, so that a thousand
    walks may ask for their noise in any order, on any machine, and never hold it. Shape: as `index`.
    Source: Steele, Lea & Flood 2014, sec. 4 and figure 17 [steele2014].
    """
    z = seed + (index + 1) * _GOLDEN
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        z = (z ^ _shifted(z, shift)) * factor
    # 51 bits: the product of any of these with a total, rounded, stays below that total
    return (_shifted(z ^ _shifted(z, 31), 13).double() + 0.5) * 2.0**-51


def gumbel_at(seed: Tensor, index: Tensor) -> Tensor:
    """Standard Gumbel variables, float64, from `uniform_at` of the same arguments."""
    return -(-uniform_at(seed, index).log()).log()


def _shifted(z: Tensor, bits: int) -> Tensor:
    """`z >> bits` with zeros moving in, which torch does for unsigned numbers only."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


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
    v = low - torch.where(simple, 0.0, perturbed) + log1mexp(gap)
    moved = low - v.relu() - v.abs().neg().exp().log1p()
    return torch.where(blank, NEG_INF, torch.where(simple, maximum, moved))
