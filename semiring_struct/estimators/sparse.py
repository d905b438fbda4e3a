"""Expectations under a sparse distribution over the same events: exact, with few calls of the cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semiring_struct.estimators.cost import Cost, evaluate
from semiring_struct.estimators.exact import weighted
from semiring_struct.estimators.oracles import Listed, at, best, listed, need
from semiring_struct.inference.projection import project
from semiring_struct.ops import NEG_INF, sparsemax


class SparseKind(ABC):
    """How a distribution's scores are made a sparse distribution."""

    @abstractmethod
    def support(self, distribution: Any) -> tuple[Any, Tensor]:
        """Events `(s, *batch, ...)` and their weights `(s, *batch)`, differentiable, many of them 0."""


@dataclass(frozen=True)
class Sparsemax(SparseKind):
    """Sparsemax over all events, listed. Needs: `enumerate_events` or `enumerate_support` [martins2016]."""

    def support(self, distribution: Any) -> tuple[Any, Tensor]:
        return _projected(listed(distribution, "Sparsemax"))


@dataclass(frozen=True)
class TopKSparsemax(SparseKind):
    """Sparsemax over the `k` best events; that over all, if fewer than `k` get weight. Needs: `topk`.

    Source: Correia et al. 2020, sec. 4.1 [correia2020].
    """

    k: int

    def support(self, distribution: Any) -> tuple[Any, Tensor]:
        return _projected(best(distribution, self.k, "TopKSparsemax"))


@dataclass(frozen=True)
class SparseMAP(SparseKind):
    """The events that average to the projection of the log-potentials on their convex hull, with their weights.

    The settings are those of `ss.relaxations.sparsemap`. Which events average to the projection is often not unique,
    and the expectation then depends on which were found. Needs: `argmax`.
    Source: Correia et al. 2020, sec. 4.2 [correia2020].
    """

    curvature: Any = 1.0
    iterations: int = 1000
    tolerance: float = 1e-9

    def support(self, distribution: Any) -> tuple[Any, Tensor]:
        structure = need(distribution, "structure", "SparseMAP")
        found = project(
            structure, distribution.log_potentials, distribution.lengths, curvature=self.curvature,
            iterations=self.iterations, tolerance=self.tolerance,
        )  # fmt: skip
        return found.events, found.weights


def sparse_expectation(distribution: Any, cost: Cost, kind: SparseKind) -> Tensor:
    """`sum_z p(z) cost(z)`, `(*batch,)`, with its exact gradient, for a sparse `p` made of the distribution's scores.

    Args:
        distribution: whose log-probabilities are the scores (a constant added to all of them changes nothing).
        kind: `Sparsemax()`, `TopKSparsemax(k)` or `SparseMAP()`.

    Bias: none and no variance, for the expectation under `p`; but `p` is another distribution than the one given.
    Needs: what `kind` says. Does not need: a differentiable cost, nor draws. Calls: one, of as many events as the
    largest support in the batch has. Source: Correia et al. 2020, sec. 3-4 [correia2020].
    """
    events, weights = kind.support(distribution)
    events, weights = _largest_first(events, weights)
    return weighted(weights, evaluate(cost, events, distribution, "sparse_expectation")).sum(0)


def _projected(found: Listed) -> tuple[Any, Tensor]:
    scores = torch.where(found.valid, found.log_probs, NEG_INF)
    return found.events, sparsemax(scores, 0)


def _largest_first(events: Any, weights: Tensor) -> tuple[Any, Tensor]:
    """Only as many events as the largest support needs; an instance with fewer repeats its best one at weight 0."""
    order = weights.detach().sort(stable=True, dim=0, descending=True).indices
    size = max(int((weights > 0).sum(0).max()), 1) if weights.numel() else len(weights)
    index = order[:size]
    kept = weights.gather(0, index)
    return at(events, torch.where(kept > 0, index, order[:1])), kept
