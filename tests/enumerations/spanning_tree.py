"""Spanning trees of an undirected graph: every choice of n - 1 edges that connects all vertices."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def connects(edges: tuple[tuple[int, int], ...], vertices: int) -> bool:
    """Whether every vertex is reached from the first."""
    reached = {0}
    for _ in edges:
        reached |= {v for edge in edges if reached & set(edge) for v in edge}
    return len(reached) == vertices


def spanning_tree_events(n: int, *, length: int | None = None) -> Tensor:
    """Every tree on the first `length` of `n` vertices: `(s, n, n)`, `[i, j]` with `i < j`."""
    size = n if length is None else length
    pairs = list(itertools.combinations(range(size), 2))
    trees = [t for t in itertools.combinations(pairs, max(size - 1, 0)) if connects(t, max(size, 1))]
    events = torch.zeros(len(trees), n, n, dtype=torch.float64)
    for row, tree in enumerate(trees):
        for i, j in tree:
            events[row, i, j] = 1
    return events
