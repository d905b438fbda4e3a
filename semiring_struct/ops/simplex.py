"""Maps onto the probability simplex, and the smooth maxima they are the gradients of.

Each finds its support without gradients and then writes the answer as a closed form on that support, so first and
second gradients, forward mode and vmap need no code of their own. `-inf` entries get 0; where every entry is `-inf`
the answer is all 0 with gradient 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .logspace import NEG_INF, logsumexp, softmax


def sparsemax(x: Tensor, dim: int) -> Tensor:
    """The point of the simplex nearest to `x` along `dim`.

    Cost: a sort along `dim`. Source: Martins & Astudillo 2016, algorithm 1 [martins2016].
    """
    z, empty = _centred(x, dim)
    ranked, rank = _ranked(z, dim)
    mass = ranked.cumsum(dim)
    size = (1 + rank * ranked > mass).sum(dim, keepdim=True).clamp_min(1)  # 0 only for nan or +inf, which give nan
    support = z > (mass.gather(dim, size - 1) - 1) / size
    count = support.sum(dim, keepdim=True)
    tau = (torch.where(support, z, 0.0).sum(dim, keepdim=True) - 1) / count
    return _settled(torch.where(support, (z - tau).clamp_min(0.0), 0.0), z, empty)


def entmax(x: Tensor, alpha: float, dim: int) -> Tensor:
    """`argmax_p <p, x> + (1 - sum p^alpha) / (alpha (alpha - 1))` over the simplex along `dim`.

    `alpha` 1 is softmax, 2 is sparsemax; above 1 the answer is sparse. Raises `ValueError` for `alpha` below 1.
    Cost: a sort for `alpha` 1.5 and 2, some fifty passes for others.
    Source: Peters, Niculae & Martins 2019, algorithms 1 and 2 [peters2019].
    """
    if not 1 <= alpha < float("inf"):
        raise ValueError(f"entmax needs a finite alpha of at least 1 (1 is softmax, 2 is sparsemax); got {alpha}.")
    if alpha == 1:
        return softmax(x, dim)
    if alpha == 2:
        return sparsemax(x, dim)
    return _entmax_sorted(x, dim) if alpha == 1.5 else _entmax_bisected(x, alpha, dim)


def tsallis_max(x: Tensor, alpha: float, dim: int) -> Tensor:
    """The value that `entmax` attains, `max_p <p, x> + (1 - sum p^alpha) / (alpha (alpha - 1))`: a smooth maximum.

    A single alternative has its own value, adding a constant to `x` adds it to the value, and the gradient is
    `entmax(x, alpha, dim)`. It is `-inf`, with gradient 0, where every entry is.
    """
    if alpha == 1:
        return logsumexp(x, dim)
    p = entmax(x, alpha, dim)
    used = p != 0  # nan counts as used
    linear = torch.where(used, p * torch.where(used, x, 0.0), 0.0).sum(dim)
    power = torch.where(used, torch.where(used, p, 1.0) ** alpha, 0.0).sum(dim)
    value = linear + (1 - power) / (alpha * (alpha - 1))
    return torch.where(used.any(dim), value, NEG_INF)


def _centred(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """`x` less its maximum, 0 in all-`-inf` rows, and which rows those are (kept dim)."""
    top = x.detach().amax(dim, keepdim=True)
    empty = top == NEG_INF
    return torch.where(empty, 0.0, x - torch.where(empty, 0.0, top)), empty


def _settled(p: Tensor, z: Tensor, empty: Tensor) -> Tensor:
    """`p` with all-`-inf` rows set to 0, and nan (or `+inf`) in a row left to be seen."""
    return torch.where(z.isnan(), z, torch.where(empty, 0.0, p))


def _ranked(z: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Entries sorted descending, cut off at -1 (no entry so low is ever in a support), and the ranks 1, 2, ..."""
    ranked = z.detach().clamp_min(-1.0).sort(dim, descending=True).values
    rank = torch.arange(1, z.shape[dim] + 1, device=z.device, dtype=z.dtype)
    return ranked, rank.view(-1, *[1] * (-dim - 1 if dim < 0 else z.dim() - dim - 1))


def _entmax_sorted(x: Tensor, dim: int) -> Tensor:
    """Entmax for alpha 1.5, where the threshold of a known support solves a quadratic."""
    z, empty = _centred(x, dim)
    z = z / 2
    ranked, rank = _ranked(z, dim)
    mean = ranked.cumsum(dim) / rank
    spread = (ranked * ranked).cumsum(dim) - rank * mean * mean
    tau = mean - ((1 - spread) / rank).clamp_min(0.0).sqrt()
    size = (tau <= ranked).sum(dim, keepdim=True).clamp_min(1)  # 0 only for nan or +inf, which give nan
    support = z > tau.gather(dim, size - 1)
    count = support.sum(dim, keepdim=True)
    centre = torch.where(support, z, 0.0).sum(dim, keepdim=True) / count
    spread = torch.where(support, z - centre, 0.0).square().sum(dim, keepdim=True)
    tau = centre - ((1 - spread) / count).sqrt()
    return _settled(torch.where(support, z - tau, 0.0).square(), z, empty)


def _entmax_bisected(x: Tensor, alpha: float, dim: int) -> Tensor:
    """Entmax for any alpha above 1: bisection for the threshold, then two Newton steps that carry the gradient.

    The threshold is written as `p = (1 + (alpha - 1)(x - c))^(1 / (alpha - 1))`, which stays accurate as alpha nears 1.
    """
    z, empty = _centred(x, dim)
    q = alpha - 1
    fixed = z.detach()
    low = torch.zeros_like(fixed.amax(dim, keepdim=True))
    high = low - math.expm1(-q * math.log(z.shape[dim])) / q
    for _ in range(28 if x.dtype == torch.float32 else 56):
        middle = (low + high) / 2
        mass = ((q * (fixed - middle)).clamp_min(-1.0).log1p() / q).exp().sum(dim, keepdim=True)
        low, high = torch.where(mass > 1, middle, low), torch.where(mass > 1, high, middle)
    support = q * (fixed - low) > -1
    # Newton doubles the order to which a detached start is right: two steps make second gradients exact
    c = low
    for _ in range(2):
        log_p = _log_power(z, c, q, support)
        mass = torch.where(support, log_p.exp(), 0.0).sum(dim, keepdim=True)
        slope = torch.where(support, (log_p * (2 - alpha)).exp(), 0.0).sum(dim, keepdim=True)
        c = c + (mass - 1) / slope
    p = torch.where(support, _log_power(z, c, q, support).exp(), 0.0)
    return _settled(p / p.sum(dim, keepdim=True), z, empty)


def _log_power(z: Tensor, c: Tensor, q: float, support: Tensor) -> Tensor:
    """Log of `(1 + q (z - c))^(1/q)` on the support, a finite stand-in off it."""
    base = torch.where(support, q * (z - c), 0.0)
    return base.clamp_min(torch.finfo(z.dtype).eps - 1).log1p() / q
