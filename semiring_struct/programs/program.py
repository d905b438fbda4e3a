"""A recorded program: the affine table of one structure at one shape, with its answer, its cost and its equations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from semiring_struct.programs.affine import Affine
from semiring_struct.programs.recorder import Chart, Recorder
from semiring_struct.programs.schedule import schedule, term_of
from semiring_struct.programs.table import Block, Row, RowTerm, Window, outer


@dataclass(frozen=True)
class Cost:
    """What one instance costs: ⊗ products, alternatives entering a ⊕, cells written, bytes of fields and charts."""

    products: int
    alternatives: int
    cells: int
    bytes: int


@dataclass(frozen=True, eq=False)
class Program:
    """Statements over charts, as a table; `answer` is a row without cells of its own, read where the lengths say.

    `field_shapes[f]` is the shape of field `f` as stored (size 1 where tied); `default_lengths` holds the full length
    of each side. Buffer `f` of a window is field `f`; buffer `charts` holds all charts of an instance, flat.
    """

    name: str
    field_names: tuple[str, ...]
    field_shapes: tuple[tuple[int, ...], ...]
    chart_list: tuple[Chart, ...]
    blocks: tuple[Block, ...]
    answer: Row
    default_lengths: tuple[int, ...]
    statements: int

    @property
    def charts(self) -> int:
        return len(self.field_shapes)

    @property
    def cells(self) -> int:
        return sum(c.size for c in self.chart_list)

    @cached_property
    def writes_all(self) -> bool:
        """Whether every cell of the charts is written, those that only fill up lines aside."""
        written = sum(b.count * math.prod(row.out) for b in self.blocks for row in b.rows)
        return written == sum(math.prod(c.shape) for c in self.chart_list)

    @cached_property
    def cost(self) -> Cost:
        products = alternatives = cells = 0
        for count, row in [(b.count, r) for b in self.blocks for r in b.rows] + [(1, self.answer)]:
            out = math.prod(row.out)
            cells += count * out
            for term in row.terms:
                late = sum(outer(f, len(row.out)) for f in term.factors) if len(row.terms) == 1 else 0
                inner = len(term.factors) - late
                alternatives += count * out * term.size
                products += count * out * (max(inner - 1, 0) * term.size + (late if inner else max(late - 1, 0)))
        fields = sum(math.prod(s) for s in self.field_shapes)
        return Cost(products, alternatives, cells, 8 * (fields + self.cells))

    @cached_property
    def bound_shift(self) -> tuple[int, ...]:
        """Per side, the least length for which the answer's cells exist; a shorter instance is the empty structure."""
        least = [0] * len(self.default_lengths)
        for window in self.answer_windows:
            for side, shift, _ in window.per_length:
                least[side] = max(least[side], -shift)
        return tuple(least)

    def single_reader(self, field: int) -> Window | None:
        """The one window through which a field is read, each cell at most once, if there is such a one."""
        return self._readers[field][0]

    def reads_all(self, field: int) -> bool:
        """Whether that window reads every cell of the field."""
        return self._readers[field][1]

    def reads_once(self, field: int) -> bool:
        """Whether every cell of the field is read exactly once, and none by the answer."""
        return self._once[field]

    @cached_property
    def _once(self) -> list[bool]:
        answered = {f.buffer for f in self.answer_windows}
        out = []
        for i, (found, shape) in enumerate(zip(self._reads, self.field_shapes, strict=True)):
            reads = []
            for count, row, w in found:
                rank = len(row.out)
                # what all alternatives of a cell share is read once for the cell
                reads.append(_read(count, w, rank if len(row.terms) == 1 and outer(w, rank) else None))
            out.append(i not in answered and _covers(reads, shape))
        return out

    @cached_property
    def _readers(self) -> list[tuple[Window | None, bool]]:
        answered = {f.buffer for f in self.answer_windows}
        out: list[tuple[Window | None, bool]] = []
        for i, (found, shape) in enumerate(zip(self._reads, self.field_shapes, strict=True)):
            count, _, w = found[0] if len(found) == 1 and i not in answered else (0, None, None)
            if w is None or min((*w.strides, w.step), default=0) < 0:
                out.append((None, False))
                continue
            whole = _read(count, w)
            out.append((w, math.prod(whole.sizes) == math.prod(shape)) if whole.injective() else (None, False))
        return out

    @cached_property
    def _reads(self) -> list[list[tuple[int, Row, Window]]]:
        """Per field, the windows that read it, the answer's aside: with the turns of their block, and their row."""
        out: list[list[tuple[int, Row, Window]]] = [[] for _ in self.field_shapes]
        for block in self.blocks:
            for row in block.rows:
                for f in (f for t in row.terms for f in t.factors if f.buffer < self.charts):
                    out[f.buffer].append((block.count, row, f))
        return out

    @property
    def answer_windows(self) -> tuple[Window, ...]:
        return tuple(f for t in self.answer.terms for f in t.factors)

    def __str__(self) -> str:
        from semiring_struct.programs.printer import equations

        return equations(self)

    def __repr__(self) -> str:
        c = self.cost
        rows = sum(len(b.rows) for b in self.blocks)
        return (
            f"<program {self.name}: {self.statements} statements in {rows} rows, {self.cells} cells, "
            f"{c.products} products>"
        )


def _read(turns: int, w: Window, dims: int | None = None) -> Affine:
    """The entries that a window reads in all turns of its block: through its first `dims` dims only, if given."""
    return Affine(w.offset, (turns, *w.sizes[:dims]), (w.step, *w.strides[:dims]))


def _covers(reads: list[Affine], shape: tuple[int, ...]) -> bool:
    """Whether each cell of a buffer is among those read, exactly once."""
    cells = math.prod(shape)
    if sum(math.prod(r.sizes) for r in reads) != cells:
        return False
    seen = np.zeros(cells, dtype=bool)
    for r in reads:
        seen[r.addresses()] = True
    return bool(seen.all())


def finish(recorder: Recorder, returned: object, default_lengths: tuple[int, ...]) -> Program:
    """Close a recording: the table of its statements, and the returned expression as the answer."""
    terms = recorder.answer(returned)
    shape = recorder.expression(returned).shape
    charts = len(recorder.field_shapes)
    keep = list(range(len(shape)))
    row_terms = tuple(term_of(t, keep) for t in terms)
    target = Affine.contiguous(shape)
    answer = Row(shape, Window(charts, 0, target.sizes, target.strides), row_terms)
    program = Program(
        recorder.name,
        recorder.field_names,
        recorder.field_shapes,
        tuple(recorder.charts),
        schedule(recorder.statements, charts, [c.base for c in recorder.charts]),
        answer,
        default_lengths,
        len(recorder.statements),
    )
    recorder.check_lengths(default_lengths, program.bound_shift)
    if any(least > full for least, full in zip(program.bound_shift, default_lengths, strict=True)):
        # no instance of this shape is long enough for the answer's cells: all are the empty structure
        return replace(program, answer=Row(shape, answer.target, (RowTerm((), ()),)))
    return program
