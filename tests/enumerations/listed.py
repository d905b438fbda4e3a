"""Any finite set of structures given by its list of events: a program for methods to be tried on."""

from __future__ import annotations

import itertools
from typing import Any, final

import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.programs import Expression, Recorder


@final
class Listed(ss.DynamicProgram):
    """One of the rows of `events (count, d)`; potentials `(d,)`."""

    event_dim = 1
    sides = ()
    field_dim = 1

    def __init__(self, events: Tensor) -> None:
        self.events = events

    def prepare(self, log_potentials: Any) -> Tensor:
        """The score of every row."""
        return log_potentials @ self.events.to(log_potentials.dtype).mT

    def inside(self, p: Recorder, scores: Expression) -> Expression:  # type: ignore[override]
        return scores.sum(-1)


def trees_of_k4() -> Tensor:
    """The 16 spanning trees of four vertices, `(16, 6)`; edges 01, 02, 03, 12, 13, 23."""
    edges = list(itertools.combinations(range(4), 2))
    rows = []
    for chosen in itertools.combinations(range(6), 3):
        reached = {0}
        for _ in range(3):
            reached |= {v for e in chosen for v in edges[e] if reached & set(edges[e])}
        if len(reached) == 4:
            rows.append([float(e in chosen) for e in range(6)])
    return torch.tensor(rows, dtype=torch.float64)


def one_hots(k: int) -> Tensor:
    """`(k, k)`."""
    return torch.eye(k, dtype=torch.float64)


def subsets(n: int, k: int) -> Tensor:
    """The k-hot vectors of length n."""
    rows = [[float(i in chosen) for i in range(n)] for chosen in itertools.combinations(range(n), k)]
    return torch.tensor(rows, dtype=torch.float64)
