"""Graphical models: every assignment of values to variables, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor


def assignments(equation: str, sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """Every assignment, as a value for each letter."""
    letters = sorted(set(equation) - {","})
    return [
        dict(zip(letters, values, strict=True)) for values in itertools.product(*(range(sizes[x]) for x in letters))
    ]


def factor_graph_events(equation: str, sizes: Mapping[str, int], *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """One table per factor, 1 at the values that its variables take; `shapes`, if given, say what is tied (size 1)."""
    found, tables = assignments(equation, sizes), []
    factors = equation.split(",")
    for factor, shape in zip(factors, shapes or [tuple(sizes[x] for x in f) for f in factors], strict=True):
        table = torch.zeros(len(found), *shape, dtype=torch.float64)
        for row, values in enumerate(found):
            table[(row, *(0 if size == 1 else values[x] for x, size in zip(factor, shape, strict=True)))] += 1
        tables.append(table)
    return tuple(tables)
