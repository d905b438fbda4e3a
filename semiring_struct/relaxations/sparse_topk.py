"""Sparsemax over whole structures, by way of the k best."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from semiring_struct.inference import topk
from semiring_struct.inference.decode import event_score
from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import double, map_fields
from semiring_struct.inference.infeasible import refuse_infeasible
from semiring_struct.inference.partition import kind_of
from semiring_struct.ops import NEG_INF, known_all, sparsemax
from semiring_struct.structures import Structure
from semiring_struct.types import Potentials, storable


@storable
class SparseTopK(NamedTuple):
    """A sparse distribution over structures, most probable first.

    `events (k, *batch, ...)` and their probabilities `weights (k, *batch)`; `certificate (*batch,)`: True where this is
    known to be the sparsemax over all structures.
    """

    events: Potentials
    weights: Tensor
    certificate: Tensor


def topk_sparsemax(structure: Structure, log_potentials: Any, k: int, lengths: Any = None) -> SparseTopK:
    """The sparsemax of the scores of the `k` best structures, all others having probability 0.

    If one of the `k` gets none, then no other structure would: the answer is the sparsemax over all of them, and the
    certificate is True. It is False where all `k` have weight, although the answer may be exact there too. Blanks,
    where there are fewer than `k` structures, have weight 0.

    Bias: none where certified, otherwise that of leaving structures out. Needs: `topk`. Does not need: a partition
    function, a differentiable cost (an expectation is a sum over the support).

    `weights` are differentiable in the potentials, through the scores of the events. Raises `InfeasibleError` where an
    instance has no structure. Cost: `topk`, and a sort of `k` scores.
    Source: Correia et al. 2020, sec. 4.1 [correia2020].
    """
    door = open_door(structure, double(log_potentials), lengths)
    best = topk(structure, door.pack(door.fields), k, lengths)
    if not known_all(best.valid[0]):
        refuse_infeasible(door, best.valid[0])
    scores = torch.where(best.valid, event_score(door, best.events, "topk_sparsemax: events"), NEG_INF)
    weights = sparsemax(scores, 0)
    kind = kind_of(log_potentials)
    return SparseTopK(map_fields(lambda e: e.to(kind), best.events), weights.to(kind), (weights == 0).any(0))
