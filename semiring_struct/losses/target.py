"""Targets of losses: events, or labels that stand for them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from semiring_struct.inference import score
from semiring_struct.structures import Structure


def event_of(structure: Structure, log_potentials: Any, target: Any, lengths: Any) -> Any:
    """The target as an event; integer tensors are labels, and what stands past a length is ignored."""
    labels = isinstance(target, Tensor) and not target.is_floating_point() and not target.dtype.is_complex
    if not labels or (target.dtype.itemsize == 1 and str(target.dtype) == "torch.bool"):
        return target
    return structure.from_labels(target, log_potentials, lengths)


def score_of(structure: Structure, log_potentials: Any, target: Any, lengths: Any) -> Tensor:
    """`<target, log_potentials>` `(*batch,)`, differentiable in the potentials."""
    return score(structure, log_potentials, event_of(structure, log_potentials, target, lengths))
