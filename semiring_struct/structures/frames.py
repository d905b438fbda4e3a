"""Strings of frames and the targets that they collapse to: what labels and messages of `CTC` need.

A target is the first of `targets (*batch, l)`, as many as `counts` says, which broadcasts to the batch dims.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import pad

from semiring_struct.ops import shown
from semiring_struct.structures.labels import Fault


def frame_faults(
    labels: Tensor, kept: Tensor, sizes: dict[str, int], targets: Tensor, counts: Tensor, blank: int
) -> tuple[Fault, ...]:
    """Where `labels (batch, t)`, as far as `kept`, are no symbols, or do not give the target."""
    v = sizes["v"]
    targets, counts = (x.to(labels.device) for x in _rows(targets, counts))
    new = kept & (labels != blank) & (labels != pad(labels[:, :-1], (1, 0), value=blank))
    wanted = pad(targets, (0, 1)).gather(1, (new.cumsum(1) - 1).clamp(0, targets.shape[1]))
    other = (new & (labels != wanted)).any(1) | (new.sum(1) != counts)
    return (
        (kept & ((labels < 0) | (labels >= v)), f"CTC symbols must lie in 0..{shown(v - 1)}"),
        (other, "CTC labels must give the target once repeats are merged and blanks dropped"),
    )


def too_few_frames(targets: Tensor, counts: Tensor, instance: int, frames: int) -> str | None:
    """What to say of an instance whose target takes more frames than there are; None where it does not."""
    targets, counts = _rows(targets, counts)
    count = int(counts[instance])
    repeats = int((targets[instance, 1:count] == targets[instance, : max(count - 1, 0)]).sum())
    if count + repeats <= frames:
        return None
    symbols = f"{count} symbol{'s' * (count != 1)}"
    blanks = f", and {repeats} for a blank between equal neighbours" if repeats else ""
    needed = f"a target of {symbols} needs {count + repeats} frames, one per symbol{blanks}"
    return f"{needed}, and there are {frames}; leave the instance out, or give longer input"


def _rows(targets: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Both with one batch dim."""
    lead = targets.shape[:-1]
    return targets.reshape(math.prod(lead), targets.shape[-1]), counts.expand(lead).flatten()
