"""Reductions of the last dim by segments: entry `k` belongs to segment `index[k]`, or to none where that is -1.

Shape: `x (*batch, k)` and `index (*batch, k)` integers in -1..size-1 -> `(*batch, size)`. Every one of them gives the
same bits in every run; one segment alone is reduced without an index.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .logspace import _finite, _log_or_neg_inf, logsumexp
from .ordered import sum_at


def segment_logsumexp(x: Tensor, index: Tensor, size: int) -> Tensor:
    """`logsumexp` over each segment, `-inf` for an empty one; its gradients are 0 where all is `-inf`."""
    held = torch.where(index >= 0, x, -torch.inf)
    if size == 1:
        return logsumexp(held, -1).unsqueeze(-1)
    at = index.clamp(min=0)
    top = _finite(segment_max(held.detach(), index, size))
    return _log_or_neg_inf(sum_at((held - top.gather(-1, at)).exp(), at, size), top)


def segment_max(x: Tensor, index: Tensor, size: int) -> Tensor:
    """The largest entry of each segment, `-inf` for an empty one. Without gradients."""
    held = torch.where(index >= 0, x.detach(), -torch.inf)
    if size == 1:
        return held.amax(-1, keepdim=True)
    blank = held.new_full((*held.shape[:-1], size), -torch.inf)
    return blank.scatter_reduce(-1, index.clamp(min=0), held, "amax")


def segment_argmin(x: Tensor, index: Tensor, size: int) -> Tensor:
    """The position of the smallest entry of each segment, the first of tied ones; -1 where none is below `inf`."""
    held = torch.where(index >= 0, x.detach(), torch.inf)
    if size == 1:
        low, place = held.min(-1, keepdim=True)
        return torch.where(low < torch.inf, place, -1)
    at, k = index.clamp(min=0), x.shape[-1]
    low = -segment_max(-held, index, size)
    best = (held == low.gather(-1, at)) & (held < torch.inf)
    places = torch.where(best, torch.arange(k, device=x.device), k)
    first = places.new_full((*places.shape[:-1], size), k).scatter_reduce(-1, at, places, "amin")
    return torch.where(first < k, first, -1)
