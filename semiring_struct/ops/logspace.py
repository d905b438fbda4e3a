"""Sums in log space that stay right, to second order, where weights are `-inf`."""

from __future__ import annotations

import torch
from torch import Tensor

NEG_INF = float("-inf")


def _finite(top: Tensor) -> Tensor:
    """`top` with 0 in place of infinities, so that subtracting it never gives inf - inf."""
    return torch.where(top.isfinite(), top, 0.0)


def _log_or_neg_inf(mass: Tensor, offset: Tensor) -> Tensor:
    """`log(mass) + offset`, a constant `-inf` (no gradient) where `mass` is 0."""
    empty = mass == 0
    return torch.where(empty, NEG_INF, torch.where(empty, 1.0, mass).log() + offset)


def logsumexp(x: Tensor, dim: int) -> Tensor:
    """`log sum exp` along `dim`; its first and second gradients are 0, not nan, where every entry is `-inf`."""
    top = _finite(x.detach().amax(dim, keepdim=True))
    return _log_or_neg_inf((x - top).exp().sum(dim), top.squeeze(dim))


def logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """`log(exp(a) + exp(b))`, broadcasting, with the same promise as `logsumexp`."""
    top = _finite(torch.maximum(a.detach(), b.detach()))
    return _log_or_neg_inf((a - top).exp() + (b - top).exp(), top)


def logcumsumexp(x: Tensor) -> Tensor:
    """`logsumexp` of the first 1, 2, ... entries of the last dim, with the same promise. Cost: `O(n log n)`."""
    step = 1
    while step < x.shape[-1]:  # each entry holds the sum of the last `step` entries up to it, which doubles
        x = torch.cat([x[..., :step], logaddexp(x[..., step:], x[..., :-step])], -1)
        step *= 2
    return x


def log1mexp(x: Tensor) -> Tensor:
    """`log(1 - exp(x))` for `x <= 0`, accurate at both ends; `-inf` at 0."""
    near = x > -0.6931471805599453  # log 1/2: where the two forms are equally good
    by_expm1 = torch.where(near, x, -1.0).expm1().neg().log()
    return torch.where(near, by_expm1, torch.where(near, -1.0, x).exp().neg().log1p())


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """`x - logsumexp(x)` along `dim`; an entry of `-inf` stays `-inf` and carries no gradient."""
    total = logsumexp(x, dim).unsqueeze(dim)
    forbidden = x == NEG_INF
    # where the entry is allowed the total is finite, so no -inf - -inf is ever formed
    return torch.where(forbidden, NEG_INF, torch.where(forbidden, 0.0, x) - torch.where(forbidden, 0.0, total))


def softmax(x: Tensor, dim: int) -> Tensor:
    """`exp(x)` normalised along `dim`; all 0, with gradient 0, where every entry is `-inf`."""
    top = _finite(x.detach().amax(dim, keepdim=True))
    part = (x - top).exp()
    mass = part.sum(dim, keepdim=True)
    return part / torch.where(mass == 0, 1.0, mass)


def score(event: Tensor, log_potentials: Tensor, event_dim: int) -> Tensor:
    """`<event, log_potentials>` over the last `event_dim` dims, where 0 times an infinity or NaN is 0.

    Shape: `(*batch, *event)` twice, broadcasting -> `(*batch)`. It is `-inf` only where a forbidden part is used.
    """
    apart = ~log_potentials.detach().isfinite()
    part = event * torch.where(apart, 0.0, log_potentials)  # mask before multiplying, or backward is nan
    part = torch.where(apart & (event != 0), log_potentials.detach(), part)
    return part.sum(tuple(range(-event_dim, 0))) if event_dim else part
