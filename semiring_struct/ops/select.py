"""Picking the best: a tie picks one entry, never a blend."""

from __future__ import annotations

import torch
from torch import Tensor

from .logspace import NEG_INF


def max_value(x: Tensor, dim: int) -> Tensor:
    """The largest entry along `dim`; its gradient goes to the first best one, and nowhere where all are `-inf`."""
    top = x.max(dim).values  # `amax` would split the gradient on ties
    return torch.where(top == NEG_INF, NEG_INF, top)


def one_hot_argmax(x: Tensor, dim: int) -> Tensor:
    """1 at the first largest entry along `dim`, 0 elsewhere; all 0 where every entry is `-inf`."""
    top, index = x.detach().max(dim, keepdim=True)
    return torch.zeros_like(x).scatter(dim, index, (top > NEG_INF).to(x.dtype))


def top_values(x: Tensor, k: int, dim: int) -> Tensor:
    """The `k` largest entries along `dim`, descending; `-inf` where there are fewer than `k`.

    Each value's gradient goes to the one entry it was taken from; blanks carry none.
    """
    if k < 1:
        raise ValueError(f"top_values needs k of at least 1; got {k}.")
    size = x.shape[dim]
    top = x.topk(min(k, size), dim).values
    top = torch.where(top == NEG_INF, NEG_INF, top)
    if k <= size:
        return top
    shape = list(top.shape)
    shape[dim] = k - size
    return torch.cat([top, top.new_full(shape, NEG_INF)], dim)
