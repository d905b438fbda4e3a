"""The recorder `p` handed to `inside`: makes charts, takes statements, refuses what could not be run backwards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from semiring_struct.errors import ProgramError
from semiring_struct.programs.affine import Affine, Length
from semiring_struct.programs.einsum import contract
from semiring_struct.programs.expression import Expression, Factor, Term, View
from semiring_struct.programs.naming import assigned_name

APART = 64  # cells; eight bytes each, eight instances side by side: as many as there are places for them in a cache


@dataclass(frozen=True)
class Chart:
    """A table of cells inside the one flat buffer of all charts; `base` is its first cell."""

    name: str
    base: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.layout)

    @property
    def layout(self) -> tuple[int, ...]:
        """Its shape with cells that nobody uses at the end of each line.

        Columns and diagonals step by a line, and by one cell less or more. No such step is a multiple of APART: its
        cells would compete for the same few places of a cache.
        """
        lines, line = self.shape[:-1], self.shape[-1] if self.shape else 1
        while lines and line > APART and any((line + d) % APART == 0 for d in (-1, 0, 1)):
            line += 1
        return (*lines, line) if self.shape else ()


@dataclass(frozen=True)
class Statement:
    """`target = ⊕ of terms`; `level` is one more than that of the latest statement it reads from."""

    target: Affine
    terms: tuple[Term, ...]
    level: int


@dataclass
class _Book:
    """What is known of each cell while recording."""

    written: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    read: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    level: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def grow(self, size: int) -> None:
        more = max(size, len(self.written))
        self.written = np.concatenate([self.written, np.zeros(more, dtype=bool)])
        self.read = np.concatenate([self.read, np.zeros(more, dtype=bool)])
        self.level = np.concatenate([self.level, np.zeros(more, dtype=np.int64)])


class Lengths:
    """`p.lengths[i]`: the instance's own length on side `i`."""

    def __init__(self, sides: int):
        self.sides = sides

    def __getitem__(self, side: int) -> Length:
        if not 0 <= side < self.sides:
            named = "`sides` names their letters" if self.sides else "its `sides` is empty"
            raise ProgramError(f"p.lengths[{side}]: this structure has {self.sides} length(s); {named}")
        return Length(side)

    def __len__(self) -> int:
        return self.sides

    def __iter__(self) -> Iterator[Length]:
        return (Length(side) for side in range(self.sides))


class Recorder:
    """Records one `inside` for one shape. A cell is written at most once, and before it is read.

    A cell never written reads as ⊕-zero. `one` and `zero` are the semiring's units; `length` (`lengths[i]` for
    two-sided structures) is the instance's own length and may index only where the answer is read.
    """

    def __init__(self, name: str, field_names: tuple[str, ...], field_shapes: tuple[tuple[int, ...], ...], sides: int):
        self.name, self.field_names, self.field_shapes = name, field_names, field_shapes
        self.charts: list[Chart] = []
        self.statements: list[Statement] = []
        self.cells = 0
        self.lengths = Lengths(sides)
        self._book = _Book()
        self._temporaries = 0
        self._length_indices: dict[tuple[str, int, int, int], int] = {}

    @property
    def length(self) -> Length:
        return self.lengths[0]

    @property
    def one(self) -> Expression:
        return Expression(self, (Term((), ()),), ())

    @property
    def zero(self) -> Expression:
        return Expression(self, (), ())

    def chart(self, *sizes: int) -> View:
        """A new table of cells, each ⊕-zero until it is written."""
        if any(not isinstance(s, int) or s < 0 for s in sizes):
            raise ProgramError(f"p.chart needs non-negative int sizes; got {sizes}")
        return self._chart(assigned_name() or f"chart{len(self.charts)}", sizes)

    def einsum(self, equation: str, *operands: object) -> Expression:
        """`p.einsum("ab,bc->ac", x, y)`: contracted pairwise, in the order that opt_einsum finds."""
        return contract(self, equation, [self.expression(x) for x in operands])

    def inputs(self) -> list[View]:
        """All fields, whole."""
        return [self.input(i, Affine.contiguous(shape)) for i, shape in enumerate(self.field_shapes)]

    def input(self, index: int, affine: Affine) -> View:
        """A field as an affine view."""
        return View(self, Factor(index, affine))

    def expression(self, value: object) -> Expression:
        if isinstance(value, Expression):
            if value.recorder is not self:
                raise ProgramError("an expression of another program was used in this one")
            return value
        if value is None:
            raise ProgramError("`inside` returned nothing, or None stands for a view; return the answer's view or sum")
        raise ProgramError(
            f"a program combines views of its charts and fields, p.one and p.zero; got {type(value).__name__} {value!r}"
            ". Add constants to the log-potentials in `prepare`, ahead of the program; start sums as in "
            "sum(views, p.zero)"
        )

    def temporary(self, expression: Expression) -> View:
        """Give a sum its own cells, so that a product reads it instead of copying its alternatives."""
        if expression.home is not None:
            return expression.home
        self._temporaries += 1
        view = self._chart(f"t{self._temporaries}", expression.shape)
        self.assign(view, expression)
        return view

    def assign(self, target: View, value: Expression) -> None:
        """Record `target = value`; the same expression assigned again becomes a copy of its first cells."""
        affine = target.factor.affine
        if target.factor.buffer != len(self.field_shapes):
            raise ProgramError(f"{self.name_of(target.factor)} is a field; only charts can be written")
        if affine.per_length:
            raise ProgramError(f"{self.name_of(target.factor)}: p.length may index only where the answer is read")
        if value.home is not None and value.home.shape == target.shape:
            value = value.home
        terms = self._read(value.expand(*target.shape).terms, target)
        level = 1 + max((self._level(t) for t in terms), default=0)
        self._write(target, level)
        if terms and 0 not in target.shape:
            self.statements.append(Statement(affine, terms, level))
        if value.home is None and not isinstance(value, View) and value.shape == target.shape:
            value.home = target

    def answer(self, value: object) -> tuple[Term, ...]:
        """The terms that `inside` returned; here, and only here, a length may index."""
        return self._read(self.expression(value).terms, None)

    def note_lengths(self, view: Expression, picked: list[tuple[int, Length]]) -> None:
        """Remember dims that lengths index, until `check_lengths` knows how long instances are."""
        for d, length in picked:
            name = self.name_of(view.factor) if isinstance(view, View) else "an expression"
            shown = f"{name}, of shape {view.shape} here,"
            self._length_indices[shown, d, length.side, length.shift] = view.shape[d]

    def check_lengths(self, full: tuple[int, ...], least: tuple[int, ...]) -> None:
        """Raise `ProgramError` where an index by a length leaves its view, for a length `least .. full` of that side.

        A shorter instance is the empty structure, for which nothing is read.
        """
        for (view, d, side, shift), size in self._length_indices.items():
            longest = full[side]
            if max(least[side], -shift) <= longest and longest + shift >= size:
                name = "p.length" if len(full) == 1 else f"p.lengths[{side}]"
                shown = name if not shift else f"{name} {'+' if shift > 0 else '-'} {abs(shift)}"
                raise ProgramError(
                    f"{self.name}: {view} is indexed by {shown} in dim {d}, whose size is {size}; an instance of "
                    f"length {longest} would read at {longest + shift}. The last of n cells is "
                    f"{name} - 1, and a chart that {name} indexes needs n + 1 cells"
                )

    def name_of(self, factor: Factor) -> str:
        if factor.buffer < len(self.field_names):
            return self.field_names[factor.buffer]
        at = factor.affine
        return self._chart_at(at.offset + sum(max(-shift, 0) * stride for _, shift, stride in at.per_length)).name

    def _chart_at(self, offset: int) -> Chart:
        return next(c for c in reversed(self.charts) if c.base <= max(offset, 0))

    def _chart(self, name: str, sizes: tuple[int, ...]) -> View:
        taken = {c.name for c in self.charts} | set(self.field_names)
        while name in taken:
            name += "'"
        chart = Chart(name, self.cells, tuple(sizes))
        self.charts.append(chart)
        self.cells += chart.size
        if self.cells > len(self._book.written):
            self._book.grow(self.cells - len(self._book.written))
        strides = Affine.contiguous(chart.layout).strides
        return View(self, Factor(len(self.field_shapes), Affine(chart.base, chart.shape, strides)))

    def _read(self, terms: tuple[Term, ...], target: View | None) -> tuple[Term, ...]:
        """Mark the chart cells read; drop terms that are ⊕-zero (nothing to sum, or only unwritten cells)."""
        kept = []
        for term in terms:
            alive = 0 not in term.summed
            for factor in term.factors:
                if factor.affine.per_length:
                    if target is not None:
                        raise ProgramError(
                            f"{self.name_of(factor)} is indexed by p.length in a statement; "
                            "a length may index only where the answer is read"
                        )
                    continue
                if factor.buffer != len(self.field_shapes):
                    continue
                factor.affine.window(self._book.read)[...] = True
                alive = alive and bool(factor.affine.window(self._book.written).any())
            if alive:
                kept.append(term)
        return tuple(kept)

    def _chart_factors(self, term: Term) -> list[Factor]:
        return [f for f in term.factors if f.buffer == len(self.field_shapes)]

    def _level(self, term: Term) -> int:
        return max((int(f.affine.window(self._book.level).max()) for f in self._chart_factors(term)), default=0)

    def _write(self, target: View, level: int) -> None:
        affine = target.factor.affine
        if 0 in affine.sizes:
            return
        written, read = affine.window(self._book.written), affine.window(self._book.read)
        if written.any() or not affine.injective():
            raise ProgramError(f"{self._cell(target, written)} is written twice; a cell is written at most once")
        if read.any():
            raise ProgramError(
                f"{self._cell(target, read)} is read before it is written (an unwritten cell reads as ⊕-zero, for good)"
            )
        written[...] = True
        affine.window(self._book.level)[...] = level

    def _cell(self, target: View, bad: np.ndarray) -> str:
        chart = self._chart_at(target.factor.affine.offset)
        where = np.argwhere(bad)
        first = target.factor.affine.addresses()[tuple(where[0])] if len(where) else target.factor.affine.offset
        index = np.unravel_index(int(first) - chart.base, chart.layout) if chart.shape else ()
        return f"{chart.name}[{', '.join(str(int(i)) for i in index)}]"
