"""Points of the unit cube whose entries sum to a given total, when each entry answers to one shared price."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .logspace import NEG_INF, logsumexp

Response = Callable[[Tensor], Tensor]
"""The answer in [0, 1] to a score, entry by entry: not decreasing, 0 at `-inf`."""

_FLAT = 1e-12


def clipped(y: Tensor) -> Tensor:
    """`argmax_x y x - x^2 / 2` over [0, 1]."""
    return y.clamp(0.0, 1.0)


def exponential_up_to_one(y: Tensor) -> Tensor:
    """`argmax_x y x - x log x` over [0, 1], but for a shift of `y` by 1: `min(1, exp(y))`."""
    inside = y < 0
    return torch.where(inside, torch.where(inside, y, 0.0).exp(), 1.0)


def logistic(y: Tensor) -> Tensor:
    """`argmax_x y x - x log x - (1 - x) log(1 - x)` over [0, 1]."""
    return torch.sigmoid(y)


def _slope(response: Response, y: Tensor, x: Tensor) -> Tensor:
    """The derivative of the three responses, from score and answer."""
    if response is clipped:
        return ((y > 0) & (y < 1)).to(y.dtype)
    return x * (1 - x) if response is logistic else torch.where(y < 0, x, 0.0)


def capped(z: Tensor, response: Response, total: int, at_most: bool = False) -> Tensor:
    """`response(z - price)` along the last dim, with the one price at which it sums to `total`.

    With `at_most`, price 0 where that is enough. `-inf` entries get 0; a row with just `total` other entries gets 1 in
    each; one with fewer is the caller's to refuse (it gets 1 in each too).

    Shape: `(*batch, n)` -> `(*batch, n)`, in float64. Differentiable twice; where every entry is at 0 or 1 the
    gradient is 0. Cost: some seventy passes.
    Source: Paulus et al. 2020, sec. 5 (the three regularizers) [paulus2020]; Amos et al. 2019, sec. 3
    (`logistic`, its price by bisection) [amos2019].
    """
    z = z.double()
    some = z != NEG_INF
    y = torch.where(some, z, 0.0)
    price = _price(y, some, response, total)
    # Newton doubles the order to which a detached start is right: two steps make second gradients exact
    for _ in range(2):
        x = response(y - price)
        slope = torch.where(some, _slope(response, y - price, x), 0.0).sum(-1, keepdim=True)
        over = torch.where(some, x, 0.0).sum(-1, keepdim=True) - total
        moves = slope > _FLAT
        price = price + torch.where(moves, over / torch.where(moves, slope, 1.0), 0.0)
    settled = (some.sum(-1, keepdim=True) <= total) | (total == 0)
    bound = torch.where(settled, float(total > 0), response(y - price))
    if at_most:
        free = response(y)
        enough = torch.where(some, free, 0.0).sum(-1, keepdim=True) <= total
        bound = torch.where(enough, free, bound)
    return torch.where(some, bound, 0.0)


def _price(y: Tensor, some: Tensor, response: Response, total: int) -> Tensor:
    """By bisection, without a gradient."""
    y = y.detach()
    count = some.sum(-1, keepdim=True).clamp_min(1)
    low = torch.where(some, y, torch.inf).amin(-1, keepdim=True)
    high = torch.where(some, y, NEG_INF).amax(-1, keepdim=True)
    if response is logistic:
        share = (total / count).clamp(1e-9, 1 - 1e-9)
        low, high = low - share.logit(), high - share.logit()
    elif response is clipped:
        low = low - 1
    else:
        high = logsumexp(torch.where(some, y, NEG_INF), -1).unsqueeze(-1)
    low, high = (torch.where(count > total, edge, 0.0) for edge in (low, high))
    for _ in range(70):
        middle = (low + high) / 2
        above = torch.where(some, response(y - middle), 0.0).sum(-1, keepdim=True) > total
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2
