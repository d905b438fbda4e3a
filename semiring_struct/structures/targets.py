"""Targets of alignments as they come: a padded batch, one target for all, or all of them one after the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask, refuse_where, shown
from semiring_struct.structures.lengths import integers


def targets_of(who: str, targets: Tensor, lengths: Any) -> tuple[Tensor, Tensor]:
    """Targets `(*batch, l)`, and how many of each count `(*batch)`, in batch dims that broadcast.

    Targets `(*batch, l)` are padded; `(l)` with lengths of no dims, or none, is one target. With lengths `(b)`, targets
    of one dim are those of `torch.nn.functional.ctc_loss`: `b` targets one after the other, as long as the lengths say.
    Raises `TypeError` and `ValueError` for anything else.
    """
    whole = isinstance(targets, Tensor) and not targets.is_floating_point() and targets.dtype != torch.bool
    if not whole or not targets.dim():
        raise TypeError(f"{who} takes targets as an integer tensor (*batch, l); got {targets!r}")
    full = targets.shape[-1]
    if lengths is None:
        return targets, targets.new_full(targets.shape[:-1], full)
    counts = integers(f"{who}: target_lengths", list(lengths) if isinstance(lengths, tuple) else lengths)
    if counts.dtype == torch.bool:
        raise TypeError(f"{who}: target_lengths must be integers; got {counts.dtype}")
    refuse_where((counts < 0) | (counts > full), f"{who}: target_lengths must lie in 0..{shown(full)}")
    if targets.dim() > 1 or counts.dim() == 0:
        return targets, counts
    if counts.dim() > 1 or int(counts.sum()) != full:
        raise ValueError(
            f"{who}: targets of one dim with target_lengths {tuple(counts.shape)} are all targets one after the other, "
            f"whose lengths (b) add up to {full}; these add up to {int(counts.sum())}. One target for all instances "
            "takes target_lengths of no dims, or None; targets of different lengths may also be padded: (b, l)"
        )
    counts = counts.to(targets.device, torch.int64)
    within = torch.arange(int(counts.max()) if len(counts) else 0, device=targets.device)
    place = (counts.cumsum(0) - counts)[:, None] + within
    kept = prefix_mask(counts, len(within))
    return torch.where(kept, targets[torch.where(kept, place, 0)] if full else 0, 0).to(targets.dtype), counts
