"""Lengths as they come (integers, prefix masks, a pair for two-sided structures) made one integer tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.ops import lengths_from_mask, refuse_where, shown


def bounds_of(
    who: str, lengths: Any, full: tuple[int, ...], batch: tuple[int, ...], device: torch.device
) -> Tensor:
    """`(B, sides)` int64 from lengths, or a tuple of them with one entry per side; None is `full`.

    Lengths are integers that broadcast to `batch`, as a tensor, an array, a list or a number; or a mask `(*batch, n)`,
    True = keep, boolean or of integers 0 and 1. An integer tensor is a mask only where it has one dim more than
    `batch`. What lies on the CPU is checked there and moved to `device`.
    """
    count = math.prod(batch)
    if lengths is None:
        return torch.tensor(full, dtype=torch.int64, device=device).expand(count, len(full))
    if not full:
        raise ValueError(f"{who} has no length; got lengths {lengths!r}")
    given = tuple(lengths) if isinstance(lengths, tuple) else (lengths,)
    if len(given) != len(full):
        needed = "one length per instance, as a list or a tensor" if len(full) == 1 else "a tuple of one per side"
        raise ValueError(f"{who} takes {len(full)} lengths, one per side: {needed}; got {len(given)}")
    columns = [_one_length(who, x, n, batch, device) for x, n in zip(given, full, strict=True)]
    return torch.stack(columns, -1)


def on_device(what: str, x: Tensor, device: torch.device) -> Tensor:
    """Integers beside potentials on `device`: moved there from the CPU, where loaders keep them; else refused."""
    return x if x.device == device else _movable(what, x, device).to(device)


def _movable(what: str, x: Tensor, device: torch.device) -> Tensor:
    if x.device != device and x.device.type != "cpu":
        raise ValueError(f"{what} are on {x.device}, log_potentials on {device}; move one of them")
    return x


def integers(what: str, given: Any) -> Tensor:
    """A tensor from what may stand for integers or booleans: a tensor, an array, a number or a (nested) list."""
    out = given
    if not isinstance(given, Tensor):
        if not isinstance(given, (int, list, np.ndarray, np.integer, np.bool_)):
            raise TypeError(f"{what} must be integers, as a tensor, an array or a list; got {type(given).__name__}")
        try:
            out = torch.as_tensor(given, device="cpu")
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{what} must be integers, in lists of one size; {error}") from None
        out = out if out.numel() else out.to(torch.int64)
    if out.is_floating_point() or out.is_complex():
        raise TypeError(f"{what} must be integers; got {out.dtype}")
    return out


def _one_length(who: str, lengths: Any, n: int, batch: tuple[int, ...], device: torch.device) -> Tensor:
    x = _movable(f"{who}: lengths", integers(f"{who}: lengths (or a boolean mask)", lengths), device)
    if x.dtype == torch.bool or (x.dim() == len(batch) + 1 and x.shape[-1] == n):
        x = lengths_from_mask(_mask(who, x, n))
    try:
        x = x.expand(batch)
    except RuntimeError:
        raise ShapeError(
            f"{who}: lengths of shape {tuple(x.shape)} do not fit batch dims {batch}; a mask has shape (*batch, {n}), "
            "and is boolean where that could be read as lengths"
        ) from None
    x = x.to(torch.int64)
    refuse_where((x < 0) | (x > n), f"{who}: lengths must lie in 0..{shown(n)}")
    return x.to(device).reshape(-1)


def _mask(who: str, mask: Tensor, n: int) -> Tensor:
    """A boolean mask; raises for integers other than 0 and 1 and for another size."""
    if not mask.dim() or mask.shape[-1] != n:
        raise ShapeError(f"{who}: a mask has shape (*batch, {n}), True = keep; got {tuple(mask.shape)}")
    if mask.dtype == torch.bool:
        return mask
    other = (mask != 0) & (mask != 1)
    refuse_where(other, f"{who}: a mask is boolean, or of integers 0 and 1; lengths have no dim of size {shown(n)}")
    return mask != 0
