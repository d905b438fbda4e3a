"""The affine table: what machines run. A few rows of integers per program, however long its loops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from semiring_struct.programs.affine import Affine


@dataclass(frozen=True, eq=False)
class Window:
    """Cells `offset + step * t + sum_d index_d * strides_d` of a buffer; `t` counts the turns of the row's loop."""

    buffer: int
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    step: int = 0
    per_length: tuple[tuple[int, int, int], ...] = ()

    def at(self, t: int) -> Affine:
        return Affine(self.offset + self.step * t, self.sizes, self.strides, self.per_length)

    @cached_property
    def injective(self) -> bool:
        """Whether no cell is named twice, dims of stride 0 aside (those are summed before a write)."""
        live = [(s, t) for s, t in zip(self.sizes, self.strides, strict=True) if t != 0]
        return Affine(0, tuple(s for s, _ in live), tuple(t for _, t in live)).injective()


@dataclass(frozen=True, eq=False)
class RowTerm:
    """⊗ of windows over `(*out, *summed)`; `size` alternatives per cell."""

    factors: tuple[Window, ...]
    summed: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.summed)


@dataclass(frozen=True, eq=False)
class Row:
    """`target = ⊕ over terms and summed dims`, for every cell of `out` at once (none of them reads another)."""

    out: tuple[int, ...]
    target: Window
    terms: tuple[RowTerm, ...]

    @property
    def alternatives(self) -> int:
        """Alternatives per cell."""
        return sum(t.size for t in self.terms)

    @property
    def windows(self) -> tuple[Window, ...]:
        return (self.target, *(f for t in self.terms for f in t.factors))


@dataclass(frozen=True, eq=False)
class Block:
    """`count` turns of a loop over `rows`, one after the other; `count == 1` for a row on its own."""

    count: int
    rows: tuple[Row, ...]


def outer(window: Window, rank: int) -> bool:
    """Whether a factor is the same for every alternative of a cell (so it multiplies after the sum)."""
    return all(stride == 0 for stride in window.strides[rank:])
