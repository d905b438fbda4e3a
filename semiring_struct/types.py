"""Result types and aliases of the public contract."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

Potentials = Any
"""Log-potentials or an event: one tensor, or a (named) tuple of tensors, one per field."""

_Kind = TypeVar("_Kind", bound=type)


def storable(kind: _Kind) -> _Kind:
    """Let `torch.load(weights_only=True)` rebuild a named tuple, which holds tensors and runs no code."""
    torch.serialization.add_safe_globals([kind])
    return kind


@storable
class TopK(NamedTuple):
    """The k best: `scores (k, *batch)` descending, `events (k, *batch, ...)`, `valid (k, *batch)`.

    Where an instance has fewer than k structures the rest are blanks: score `-inf`, event 0 (labels -1), `valid` False.
    """

    scores: Tensor
    events: Potentials
    valid: Tensor


@storable
class Beam(NamedTuple):
    """What a beam search found: `log_probs (k, *batch)` descending, `events (k, *batch, ...)`, `valid (k, *batch)`.

    Where fewer than k were completed the rest are blanks: log-probability `-inf`, event 0 (labels -1), `valid` False.
    """

    log_probs: Tensor
    events: Potentials
    valid: Tensor


@storable
class DistinctSamples(NamedTuple):
    """k draws without replacement, first drawn first.

    `events (k, *batch, ...)`, `log_probs (k, *batch)` of each, `perturbed (k, *batch)` their log-probabilities plus
    Gumbel noise (descending). Where an instance has fewer than k structures the rest are blanks: event 0,
    both others `-inf`.
    """

    events: Potentials
    log_probs: Tensor
    perturbed: Tensor

    @property
    def valid(self) -> Tensor:
        """False at blanks, `(k, *batch)`."""
        return self.log_probs > -float("inf")


@storable
class SparseMAP(NamedTuple):
    """A point of a convex hull of events, as a sparse average of events.

    `mean (*batch, ...)`; `events (s, *batch, ...)` and their `weights (s, *batch)`, heaviest first, where an instance
    that needs fewer than `s` repeats its heaviest event with weight 0; `gap (*batch,)`, the duality gap: how far the
    objective may at most be from its maximum.
    """

    mean: Potentials
    events: Potentials
    weights: Tensor
    gap: Tensor
