"""Lengths as they come (integers, prefix masks, a pair for two-sided structures) made one integer tensor."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.ops import lengths_from_mask, refuse_where


def bounds_of(
    who: str, lengths: Any, full: tuple[int, ...], batch: tuple[int, ...], device: torch.device
) -> Tensor:
    """`(B, sides)` int64 from integers, prefix masks, or a tuple of them with one entry per side; None is `full`."""
    count = math.prod(batch)
    if lengths is None:
        return torch.tensor(full, dtype=torch.int64, device=device).expand(count, len(full))
    if not full:
        raise ValueError(f"{who} has no length; got lengths {lengths!r}")
    given = tuple(lengths) if isinstance(lengths, tuple) else (lengths,)
    if len(given) != len(full):
        raise ValueError(f"{who} takes {len(full)} lengths, one per side; got {len(given)}")
    columns = [_one_length(who, x, n, batch, device) for x, n in zip(given, full, strict=True)]
    return torch.stack(columns, -1)


def _one_length(who: str, lengths: Any, n: int, batch: tuple[int, ...], device: torch.device) -> Tensor:
    if isinstance(lengths, int | list):
        lengths = torch.as_tensor(lengths, device=device)
    if not isinstance(lengths, Tensor):
        got = type(lengths).__name__
        raise TypeError(f"{who}: lengths must be an integer tensor {batch} or a boolean mask; got {got}")
    if lengths.dtype == torch.bool:
        if not lengths.dim() or lengths.shape[-1] != n:
            raise ShapeError(f"{who}: a mask has shape (*batch, {n}), True = keep; got {tuple(lengths.shape)}")
        lengths = lengths_from_mask(lengths)
    if lengths.is_floating_point() or lengths.is_complex():
        raise TypeError(f"{who}: lengths must be integers or a boolean mask; got {lengths.dtype}")
    if lengths.device != device:
        raise ValueError(f"{who}: lengths are on {lengths.device}, log_potentials on {device}; move one of them")
    try:
        lengths = lengths.expand(batch)
    except RuntimeError:
        raise ShapeError(f"{who}: lengths of shape {tuple(lengths.shape)} do not fit batch dims {batch}") from None
    refuse_where((lengths < 0) | (lengths > n), f"{who}: lengths must lie in 0..{n}")
    return lengths.reshape(-1).to(torch.int64)
