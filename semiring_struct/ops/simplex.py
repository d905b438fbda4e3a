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
from .ordered import running_sum
from .refuse import refuse_where


def sparsemax(x: Tensor, dim: int) -> Tensor:
    """The point of the simplex nearest to `x` along `dim`.

    Bias: a soft choice; sparse, and the argmax as `x` is scaled up. Needs: the scores of all options.
    Cost: a sort along `dim`. Source: Martins & Astudillo 2016, algorithm 1 [martins2016].
    """
    if not x.shape[dim]:
        return x
    z, empty = _centred(x, dim)
    ranked, rank = _ranked(z, dim)
    mass = running_sum(ranked, dim)
    size = (1 + rank * ranked > mass).sum(dim, keepdim=True).clamp_min(1)  # 0 only for nan or +inf, which give nan
    support = z > (mass.gather(dim, size - 1) - 1) / size
    count = support.sum(dim, keepdim=True)
    tau = (torch.where(support, z, 0.0).sum(dim, keepdim=True) - 1) / count
    return _settled(torch.where(support, (z - tau).clamp_min(0.0), 0.0), z, empty)


def entmax(x: Tensor, alpha: float | Tensor, dim: int) -> Tensor:
    """`argmax_p <p, x> + (1 - sum p^alpha) / (alpha (alpha - 1))` over the simplex along `dim`.

    `alpha` 1 is softmax, 2 is sparsemax; above 1 the answer is sparse. As a tensor, of size 1 along `dim` and
    broadcasting to `x` elsewhere, it is learnt: the answer is differentiable in it too, at 1 from above.
    Bias: a soft choice, and the argmax as `x` is scaled up. Needs: the scores of all options.
    Raises `ValueError` for `alpha` below 1. Cost: a sort for the numbers 1.5 and 2, some fifty passes for others.
    Source: Peters, Niculae & Martins 2019, algorithms 1 and 2 [peters2019]; Correia, Niculae & Martins 2019, sec. 3
    [correia2019].
    """
    message = "entmax needs a finite alpha of at least 1 (1 is softmax, 2 is sparsemax)"
    if isinstance(alpha, Tensor):
        refuse_where(~((alpha >= 1) & (alpha < torch.inf)), message)
        return _entmax_bisected(x, _one_per_row(x, alpha, dim), dim)
    if not 1 <= alpha < float("inf"):
        raise ValueError(f"{message}; got {alpha}.")
    if alpha == 1:
        return softmax(x, dim)
    if alpha == 2:
        return sparsemax(x, dim)
    return (
        _entmax_sorted(x, dim)
        if alpha == 1.5
        else _entmax_bisected(x, torch.as_tensor(alpha, dtype=torch.float64, device=x.device), dim)
    )


def _one_per_row(x: Tensor, alpha: Tensor, dim: int) -> Tensor:
    """`alpha` with the dims of `x`; raises `ValueError` where it differs along `dim` or does not broadcast."""
    wide = alpha.reshape((1,) * (x.dim() - alpha.dim()) + tuple(alpha.shape)) if alpha.dim() <= x.dim() else alpha
    fits = wide.dim() == x.dim() and wide.shape[dim] == 1
    if not fits or any(have not in (1, want) for have, want in zip(wide.shape, x.shape, strict=True)):
        raise ValueError(
            f"entmax needs an alpha that broadcasts to x {tuple(x.shape)} with size 1 along dim {dim}; "
            f"got {tuple(alpha.shape)}."
        )
    return wide


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
    mean = running_sum(ranked, dim) / rank
    spread = running_sum(ranked * ranked, dim) - rank * mean * mean
    tau = mean - ((1 - spread) / rank).clamp_min(0.0).sqrt()
    size = (tau <= ranked).sum(dim, keepdim=True).clamp_min(1)  # 0 only for nan or +inf, which give nan
    support = z > tau.gather(dim, size - 1)
    count = support.sum(dim, keepdim=True)
    centre = torch.where(support, z, 0.0).sum(dim, keepdim=True) / count
    spread = torch.where(support, z - centre, 0.0).square().sum(dim, keepdim=True)
    tau = centre - ((1 - spread) / count).sqrt()
    return _settled(torch.where(support, z - tau, 0.0).square(), z, empty)


def _entmax_bisected(x: Tensor, alpha: Tensor, dim: int) -> Tensor:
    """Entmax for any alpha: bisection for the threshold, then two Newton steps that carry the gradient.

    The threshold is written as `p = (1 + (alpha - 1)(x - c))^(1 / (alpha - 1))`, which stays accurate as alpha nears 1.
    """
    z, empty = _centred(x, dim)
    q = (alpha - 1).to(x.device, x.dtype)
    some = z != NEG_INF
    finite = torch.where(some, z, 0.0)
    fixed, rate = finite.detach(), q.detach()
    low = torch.zeros_like(fixed.amax(dim, keepdim=True) + rate)
    high = low + math.log(max(z.shape[dim], 2))
    for _ in range(32 if x.dtype == torch.float32 else 60):
        middle = (low + high) / 2
        t = fixed - middle
        log_p = torch.where(rate == 0, t, (rate * t).clamp_min(-1.0).log1p() / rate)
        mass = torch.where(some, log_p.exp(), 0.0).sum(dim, keepdim=True)
        low, high = torch.where(mass > 1, middle, low), torch.where(mass > 1, high, middle)
    support = some & (rate * (fixed - low) > -1)
    # Newton doubles the order to which a detached start is right: two steps make second gradients exact
    c = low
    for _ in range(2):
        log_p = _log_power(finite - c, q, support)
        mass = torch.where(support, log_p.exp(), 0.0).sum(dim, keepdim=True)
        slope = torch.where(support, (log_p * (1 - q)).exp(), 0.0).sum(dim, keepdim=True)
        c = c + (mass - 1) / slope
    p = torch.where(support, _log_power(finite - c, q, support).exp(), 0.0)
    return _settled(p / p.sum(dim, keepdim=True), z, empty)


def _log_power(t: Tensor, q: Tensor, support: Tensor) -> Tensor:
    """`log(1 + q t) / q` on the support, `t` where `q` is 0; a finite stand-in off it."""
    t = torch.where(support, t, 0.0)
    u = (q * t).clamp_min(torch.finfo(t.dtype).eps - 1)
    near = u.abs() < 0.02
    small, large = torch.where(near, u, 0.0), torch.where(near, 1.0, u)
    # log(1 + u) / u by its series near 0, where the quotient's derivatives would lose their digits
    series = torch.zeros_like(small)
    for k in range(9, 0, -1):
        series = 1 / k - small * series
    return t * torch.where(near, series, large.log1p() / large)
