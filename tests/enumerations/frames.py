"""Sequences of frames: tokens held in order, strings that collapse to a target, paths that warp one axis to another."""

from __future__ import annotations

from itertools import groupby, product

import torch
from torch import Tensor


def rows_of(choices: list[tuple[int, ...]], t: int, v: int) -> Tensor:
    """One choice among `v` for each of the first frames of `t`, as events `(s, t, v)`."""
    events = torch.zeros(len(choices), t, v, dtype=torch.float64)
    for row, chosen in enumerate(choices):
        for i, j in enumerate(chosen):
            events[row, i, j] = 1
    return events


def monotonic_events(t: int, l: int, *, lengths: tuple[int, int] | None = None) -> Tensor:  # noqa: E741
    """Every way to put frames on tokens, each token on a run of one frame or more, in order: `(s, t, l)`."""
    frames, tokens = (t, l) if lengths is None else lengths
    held = [way for way in product(range(tokens), repeat=frames) if [j for j, _ in groupby(way)] == list(range(tokens))]
    return rows_of(held, t, l)


def ctc_events(t: int, v: int, target: tuple[int, ...], *, blank: int = 0, length: int | None = None) -> Tensor:
    """Every string over `v` symbols that gives `target` once repeats are merged, then blanks dropped: `(s, t, v)`."""
    strings = [
        way
        for way in product(range(v), repeat=t if length is None else length)
        if tuple(a for a, _ in groupby(way) if a != blank) == target
    ]
    return rows_of(strings, t, v)


def warping_events(n: int, m: int, *, lengths: tuple[int, int] | None = None) -> Tensor:
    """Every path from the first to the last cell of the first `lengths` rows and columns: `(s, n, m)`."""
    rows, columns = (n, m) if lengths is None else lengths
    paths: list[list[tuple[int, int]]] = [[]] if rows == columns == 0 else []
    growing = [[(0, 0)]] if rows and columns else []
    while growing:
        path = growing.pop()
        i, j = path[-1]
        if (i, j) == (rows - 1, columns - 1):
            paths.append(path)
        steps = ((i + 1, j), (i, j + 1), (i + 1, j + 1))
        growing += [[*path, (a, b)] for a, b in steps if a < rows and b < columns]
    events = torch.zeros(len(paths), n, m, dtype=torch.float64)
    for row, path in enumerate(paths):
        for i, j in path:
            events[row, i, j] = 1
    return events
