"""Allowed parts, and the probability of all structures that use no others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference import log_partition
from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import double
from semiring_struct.inference.oracles import LOG
from semiring_struct.inference.partition import kind_of, total
from semiring_struct.ops import NEG_INF, refuse_where
from semiring_struct.structures import Structure


def allow(log_potentials: Any, allowed: Any) -> Any:
    """The potentials with `-inf` for the parts that are not allowed; their gradient is 0.

    `allowed` is boolean, True = may be used, shaped like the potentials or broadcasting to them (per position, `(n, c)`
    beside an emission `(*batch, n, c)`); for potentials of several fields it is a tuple with one entry per field, None
    where all parts may be used. Raises `TypeError` for another dtype or number of fields.
    """
    if isinstance(log_potentials, Tensor):
        return _masked(log_potentials, allowed)
    if not isinstance(allowed, (tuple, list)) or len(allowed) != len(log_potentials):
        got = type(allowed).__name__
        raise TypeError(f"allow needs a tuple of {len(log_potentials)} masks, one per field, None for all; got {got}")
    fields = [_masked(f, mask) for f, mask in zip(log_potentials, allowed, strict=True)]
    return type(log_potentials)(*fields) if hasattr(log_potentials, "_fields") else type(log_potentials)(fields)


def _masked(field: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return field
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"allow needs boolean masks, True = may be used; got {got}")
    return torch.where(mask, field, NEG_INF)


def known_tags(tags: Tensor, c: int) -> Tensor:
    """Partly known tags `(*batch, n)`, -1 where unknown, as the tags allowed at each position `(*batch, n, c)`.

    Raises `ValueError` for a tag that is not in `-1..c-1`.
    """
    refuse_where((tags < -1) | (tags >= c), f"known_tags needs tags in 0..{c - 1}, or -1 where unknown")
    return (tags.unsqueeze(-1) == torch.arange(c, device=tags.device)) | (tags == -1).unsqueeze(-1)


def log_prob(structure: Structure, log_potentials: Any, allowed: Any, lengths: Any = None) -> Tensor:
    """Log-probability of the set of structures that use allowed parts only, `(*batch,)`: partial annotation.

    Log-partition of `allow(log_potentials, allowed)` less that of the potentials, so that its gradient is the
    difference of two marginals; `-inf` where the set is empty. Differentiable twice. Cost: two forward passes.

    Reference: Tsuboi et al. 2008, sec. 4 [tsuboi2008].
    """
    phi = double(log_potentials)
    within = log_partition(structure, allow(phi, allowed), lengths)
    door = open_door(structure, phi, lengths, None if lengths is None else lambda _: tuple(within.shape))
    every = total(door, LOG)
    some = within > NEG_INF
    value = torch.where(some, torch.where(some, within, 0.0) - torch.where(some, every, 0.0), NEG_INF)
    return value.to(kind_of(log_potentials))
