"""Global alignments: every monotone path of matches, deletions and insertions through the grid of two sequences."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = {"match": (1, 1), "delete": (1, 0), "insert": (0, 1)}


def grid_paths(i: int, j: int, n: int, m: int) -> list[list[tuple[str, int, int]]]:
    """Every path from `(i, j)` to `(n, m)` as (kind of step, row and column it starts from)."""
    if (i, j) == (n, m):
        return [[]]
    return [
        [(kind, i, j), *rest]
        for kind, (down, right) in STEPS.items()
        if i + down <= n and j + right <= m
        for rest in grid_paths(i + down, j + right, n, m)
    ]


def tie(event: Tensor, shape: tuple[int, int]) -> Tensor:
    """Counts over the dims where `shape` has size 1."""
    for dim, size in zip((-2, -1), shape, strict=True):
        if size == 1:
            event = event.sum(dim, keepdim=True)
    return event


def alignment_events(
    n: int,
    m: int,
    *,
    lengths: tuple[int, int] | None = None,
    shapes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Every alignment of the first `lengths` symbols of two sequences of sizes `n` and `m`.

    Returns match `(s, n, m)`, delete `(s, n, m + 1)` and insert `(s, n + 1, m)` events; `shapes` may put size 1 for
    dims that are tied, where the events are then counts.
    """
    sizes = {"match": (n, m), "delete": (n, m + 1), "insert": (n + 1, m)}
    paths = grid_paths(0, 0, *((n, m) if lengths is None else lengths))
    events = {kind: torch.zeros(len(paths), *size, dtype=torch.float64) for kind, size in sizes.items()}
    for row, path in enumerate(paths):
        for kind, i, j in path:
            events[kind][row, i, j] = 1
    wanted = tuple(sizes.values()) if shapes is None else shapes
    match, delete, insert = (tie(event, shape) for event, shape in zip(events.values(), wanted, strict=True))
    return match, delete, insert
