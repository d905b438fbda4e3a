"""Picking the best (a tie picks one entry, never a blend), and what picked entries add up to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import ordered
from .logspace import NEG_INF
from .memory import zeros


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


def counted(picked: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """How often each of `size` entries was picked, `(paths, size)`: `picked (paths, uses)` are entries, -1 for none."""
    kind = torch.int64 if ordered.unordered(picked) else dtype  # which order integers are added in does not show
    out = zeros((picked.shape[0], size), kind, picked.device)
    return out.scatter_add_(1, picked.clamp(min=0), (picked >= 0).to(kind)).to(dtype) if size else out.to(dtype)


def tally(picked: Sequence[Tensor], codes: Sequence[tuple[Tensor, Tensor] | None], size: int) -> Tensor:
    """Slots `(paths, size)` int64 in which every picked entry has written: -1, or the sum of what was written.

    `picked[f] (paths, uses)` are entries of field `f`, -1 for none. Entry `e` writes `codes[f][1][e, q]` into slot
    `codes[f][0][e, q]` for each `q`, unless that slot is -1; a field whose code is None writes nothing.
    """
    paths, device = picked[0].shape[0], picked[0].device
    out = torch.zeros((paths, size + 1), dtype=torch.int64, device=device)
    for used, code in zip(picked, codes, strict=True):
        if code is None or not len(code[0]):
            continue
        for slots, values in zip(code[0].unbind(1), code[1].unbind(1), strict=True):
            at = torch.where(slots < 0, size, slots).to(device)[used]
            out = out.scatter_add(1, torch.where(used < 0, size, at), (values + 1).to(device)[used])
    return out[:, :size] - 1
