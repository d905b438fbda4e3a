"""Kinds of structures that no program describes: those with a partition function, and those with a solver only."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from semiring_struct.structures.base import Structure
from semiring_struct.structures.natives import Fields


class LogPartition(Structure):
    """A structure given by its log-partition function, such as a matrix-tree determinant.

    From `partition`, differentiable twice, follow log_partition, marginals, entropies, expectations, variances and
    counts. What finds single structures (argmax, topk, sample ...) is offered where a native method for it is.
    """

    @abstractmethod
    def partition(self, fields: Fields, lengths: Tensor) -> Tensor:
        """Log of the summed weights of all structures, `(B,)` float64, differentiable twice; `-inf` where none is."""


class Solver(Structure):
    """A structure given by an algorithm that finds one best: argmax, max_score and contains follow.

    So does whatever needs no more than decoding: perturbed and surrogate gradients, SparseMAP.
    """

    @abstractmethod
    def best(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """One best structure: `(feasible (B,) bool, *used)`, see `Natives.best`."""
