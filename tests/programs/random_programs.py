"""Random programs: recursions, triangular charts and plain charts whose statements are drawn by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

import semiring_struct as ss

Tree = tuple[Any, ...]


class Pair(NamedTuple):
    line: Tensor
    table: Tensor


def leaves(depth: int) -> st.SearchStrategy[Tree]:
    """Vectors of c cells made of a state, a row of the table, and an entry of the line."""
    leaf = st.sampled_from([("state",), ("row",), ("entry",), ("one",), ("reversed",)])
    if depth == 0:
        return leaf
    below = leaves(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(st.just("times"), below, below),
        st.tuples(st.just("plus"), below, below),
        st.tuples(st.just("move"), below),
        st.tuples(st.just("total"), below),
    )


def build(tree: Tree, p: Any, state: Any, row: Any, entry: Any) -> Any:
    """A tree as an expression `(c,)` of views."""
    kind, *below = tree
    if kind == "state":
        return state
    if kind == "row":
        return row
    if kind == "entry":
        return entry * state
    if kind == "one":
        return p.one * row
    if kind == "reversed":
        return state[::-1] * row
    parts = [build(b, p, state, row, entry) for b in below]
    if kind == "times":
        return parts[0] * parts[1]
    if kind == "plus":
        return parts[0] + parts[1]
    if kind == "move":  # every cell from every cell, through the outer product with the row
        return (parts[0][:, None] * row[None, :]).sum(0)
    return parts[0].sum(0) * row


@dataclass(frozen=True)
class Chain(ss.DynamicProgram):
    """A recursion along the table: each state from the one before, now and then from the one before that."""

    first: Tree
    step: Tree
    skip: Tree | None
    event_dim = (1, 2)

    def inside(self, p, line, table):
        n, c = table.shape
        alpha = p.chart(n, c)
        alpha[0] = build(self.first, p, table[0], table[0], line[0])
        for i in range(1, n):
            value = build(self.step, p, alpha[i - 1], table[i], line[i])
            if self.skip is not None and i > 1:
                value = value + build(self.skip, p, alpha[i - 2], table[i], line[i])
            alpha[i] = value
        return alpha[p.length - 1].sum(-1)


@dataclass(frozen=True)
class Triangle(ss.DynamicProgram):
    """Spans from their splits, scored at either end, with a second way to build each span."""

    both_ends: bool
    extend: bool
    event_dim = (1, 2)

    def inside(self, p, line, table):
        n = table.shape[0]
        chart = p.chart(n, n)
        for i in range(n):
            chart[i, i] = line[i]
        for width in range(1, n):
            for i in range(n - width):
                j = i + width
                value = (chart[i, i:j] * chart[i + 1 : j + 1, j]).sum(-1) * table[i, j]
                if self.both_ends:
                    value = value * line[j]
                if self.extend:
                    value = value + chart[i, j - 1] * line[j]
                chart[i, j] = value
        return chart[0, p.length - 1]


@dataclass(frozen=True)
class Layers(ss.DynamicProgram):
    """Charts one after the other, each filled at once from strided views of the one before."""

    trees: tuple[Tree, ...]
    backwards: bool
    event_dim = (1, 2)

    def inside(self, p, line, table):
        state = table[0]
        for i, tree in enumerate(self.trees):
            chart = p.chart(2, table.shape[1])
            value = build(tree, p, state, table[i % table.shape[0]], line[i % line.shape[0]])
            chart[1, :: -1 if self.backwards else 1] = value
            chart[0] = value
            state = chart[1] if i % 2 else chart[0] + chart[1]
        return state.sum()


programs = st.one_of(
    st.builds(Chain, leaves(1), leaves(2), st.none() | leaves(1)),
    st.builds(Triangle, st.booleans(), st.booleans()),
    st.builds(Layers, st.lists(leaves(2), min_size=1, max_size=3).map(tuple), st.booleans()),
)


def potentials(structure: Any, size: int, seed: int) -> Pair:
    """Two instances with a few forbidden parts: a line `(n,)` and a table `(n, c)`, square for triangles."""
    generator = torch.Generator().manual_seed(seed)
    width = size if isinstance(structure, Triangle) else 2
    fields = [torch.randn(2, *s, generator=generator, dtype=torch.float64) for s in ((size,), (size, width))]
    drop = [torch.rand(f.shape, generator=generator) < 0.1 for f in fields]
    return Pair(*(f.masked_fill(d, -torch.inf) for f, d in zip(fields, drop, strict=True)))
