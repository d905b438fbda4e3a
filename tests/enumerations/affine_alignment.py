"""Alignments with affine gaps: the paths of plain alignments, each gap's first symbol told from the others."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from tests.enumerations.alignment import grid_paths, tie

Path = list[tuple[str, int, int]]


def local_paths(n: int, m: int) -> list[Path]:
    """The empty path, and every path between two places of the grid that begins and ends with a match."""
    paths: list[Path] = [[]]
    for i, j, a, b in product(range(n), range(m), range(1, n + 1), range(1, m + 1)):
        if a > i and b > j:
            whole = [
                [(kind, i + row, j + column) for kind, row, column in path] for path in grid_paths(0, 0, a - i, b - j)
            ]
            paths += [path for path in whole if path[0][0] == path[-1][0] == "match"]
    return paths


def affine_events(
    n: int,
    m: int,
    *,
    local: bool = False,
    lengths: tuple[int, int] | None = None,
    tied: bool = False,
) -> tuple[Tensor, ...]:
    """Every alignment of the first `lengths` symbols of two sequences of sizes `n` and `m`, global or local.

    Returns match `(s, n, m)`, delete_open and delete_extend `(s, n, m+1)`, insert_open and insert_extend
    `(s, n+1, m)`; with `tied` all but the matches are counted, `(s, 1, 1)`.
    """
    rows, columns = (n, m) if lengths is None else lengths
    paths = local_paths(rows, columns) if local else grid_paths(0, 0, rows, columns)
    sizes = {"match": (n, m), "delete": (n, m + 1), "insert": (n + 1, m)}
    names = ("match", "delete open", "delete extend", "insert open", "insert extend")
    events = {name: torch.zeros(len(paths), *sizes[name.split()[0]], dtype=torch.float64) for name in names}
    for row, path in enumerate(paths):
        before = None
        for kind, i, j in path:
            name = kind if kind == "match" else f"{kind} extend" if kind == before else f"{kind} open"
            events[name][row, i, j] = 1
            before = kind
    return tuple(tie(e, (1, 1)) if tied and name != "match" else e for name, e in events.items())
