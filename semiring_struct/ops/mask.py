"""Lengths and prefix masks, and zeroing without nan."""

from __future__ import annotations

import torch
from torch import Tensor

from .refuse import refuse_where


def prefix_mask(lengths: Tensor, n: int) -> Tensor:
    """True at the first `lengths` of `n` positions: `(*batch,)` integers -> `(*batch, n)`."""
    return torch.arange(n, device=lengths.device) < lengths.unsqueeze(-1)


def lengths_from_mask(mask: Tensor) -> Tensor:
    """The number of leading True of each boolean row: `(*batch, n)` -> `(*batch,)` int64.

    Raises `ValueError` naming the first row in which a True follows a False.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask must be boolean, True = keep; got dtype {mask.dtype}.")
    if mask.dim() == 0:
        raise ValueError("a mask needs at least one dim, (*batch, n); got a single value.")
    lengths = mask.sum(-1)
    holed = (prefix_mask(lengths, mask.shape[-1]) != mask).any(-1)
    refuse_where(
        holed,
        "a mask must keep a prefix of each row (True ... True False ... False), and one has a hole; give lengths "
        "instead, or move the kept positions to the front",
    )
    return lengths


def masked(mask: Tensor, x: Tensor) -> Tensor:
    """`x` where `mask`, else 0, whatever stands there (inf and nan included), with gradient 0 there."""
    return torch.where(mask, x, 0)
