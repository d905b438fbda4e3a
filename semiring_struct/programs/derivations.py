"""The table cell by cell: what a machine needs to walk single derivations from the answer down to the fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from semiring_struct.programs.affine import Affine
from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Row, RowTerm, Window

NONE = -1


@dataclass(frozen=True)
class Derivations:
    """Every cell's alternatives. Cell numbers are addresses in the chart buffer; the answer has number `cells`.

    A term's factors sit in slots: `slots[q]` is the buffer of slot `q`, chart slots first. Alternative `a` of cell `x`
    reads, in slot `q`, address `base[x, term[a], q] + move[a, q]` (NONE in `base` where the term leaves it empty).
    The alternatives of cell `x` are `first[x] .. first[x] + count[x] - 1`. `alias[x]` is the cell that `x` copies: a
    walk that is led to `x` visits that cell instead.
    `dense[x]` is where the alternatives of `x` start when those of all cells are laid out one after the other, row by
    row of the table, and `width` is their number. No derivation visits more than `longest` cells, answer included.
    """

    cells: int
    slots: tuple[int, ...]
    chart_slots: int
    first: np.ndarray
    count: np.ndarray
    base: np.ndarray
    term: np.ndarray
    move: np.ndarray
    alias: np.ndarray
    dense: np.ndarray
    width: int
    longest: int

    @property
    def most(self) -> int:
        """The largest number of alternatives of any cell."""
        return int(self.count.max(initial=1))


@lru_cache(maxsize=256)
def derivations(program: Program) -> Derivations:
    """The table of a program, built once: `O(cells)` memory, one pass over the alternatives for `longest`."""
    rows = [(b.count, r) for b in program.blocks for r in b.rows]
    every = [*(r for _, r in rows), program.answer]
    slots, charts = _slots(program, every)
    terms = max((len(r.terms) for r in every), default=1)
    n = program.cells
    first, count, dense = (np.zeros(n + 1, dtype=np.int64) for _ in range(3))
    base = np.full((n + 1, max(terms, 1), max(len(slots), 1)), NONE, dtype=np.int64)
    alias = np.arange(n + 1)
    term, move, width = [], [], 0
    for turns, row in [*rows, (1, program.answer)]:
        answer = row is program.answer
        cells = np.array([n]) if answer else _grid(row.target, turns, len(row.out)).ravel()
        first[cells], count[cells] = sum(map(len, term)), row.alternatives
        dense[cells] = width + np.arange(len(cells)) * row.alternatives
        width += len(cells) * row.alternatives
        for i, t in enumerate(row.terms):
            places = place(t, slots)
            for q, f in places.items():
                base[cells, i, q] = f.offset if answer else _grid(f, turns, len(row.out)).ravel()
            term.append(np.full(t.size, i))
            move.append(_moves(t, places, len(row.out), len(slots)))
        if not answer and _copies(row, program.charts):
            alias[cells] = _grid(row.terms[0].factors[0], turns, len(row.out)).ravel()
    while (alias != alias[alias]).any():  # copies of copies
        alias = alias[alias]
    flat_term = np.concatenate(term) if term else np.zeros(1, dtype=np.int64)
    flat_move = np.concatenate(move) if move else np.zeros((1, len(slots)), dtype=np.int64)
    return Derivations(
        n, slots, charts, first, count, base, flat_term, flat_move, alias, dense, width, _longest(program, alias)
    )


def _slots(program: Program, rows: list[Row]) -> tuple[tuple[int, ...], int]:
    most: dict[int, int] = {}
    for row in rows:
        for t in row.terms:
            buffers = [f.buffer for f in t.factors]
            for b in set(buffers):
                most[b] = max(most.get(b, 0), buffers.count(b))
    charts = most.pop(program.charts, 0)
    fields = [b for b in sorted(most) for _ in range(most[b])]
    return (*([program.charts] * charts), *fields), charts


def place(term: RowTerm, slots: tuple[int, ...]) -> dict[int, Window]:
    """Which factor sits in which slot."""
    places: dict[int, Window] = {}
    for f in term.factors:
        places[next(q for q, b in enumerate(slots) if b == f.buffer and q not in places)] = f
    return places


def _grid(w: Window, turns: int, rank: int) -> np.ndarray:
    """Addresses over `(turns, *out)`, summed dims at 0."""
    return Affine(w.offset, (turns, *w.sizes[:rank]), (w.step, *w.strides[:rank])).addresses()


def _moves(term: RowTerm, places: dict[int, Window], rank: int, slots: int) -> np.ndarray:
    out = np.zeros((term.size, slots), dtype=np.int64)
    for q, f in places.items():
        out[:, q] = Affine(0, term.summed, f.strides[rank:]).addresses().ravel()
    return out


def _copies(row: Row, charts: int) -> bool:
    only = row.terms[0].factors if len(row.terms) == 1 and not row.terms[0].summed else ()
    return len(only) == 1 and only[0].buffer == charts


def _longest(program: Program, alias: np.ndarray) -> int:
    """The number of cells that a walk visits in the largest derivation: the program, run on counts under (max, +)."""
    size = np.full(program.cells, -np.inf)
    for block in program.blocks:
        for t in range(block.count):
            for row in block.rows:
                best = np.full(row.out, -np.inf)
                for term in row.terms:
                    total = np.zeros((*row.out, *term.summed))
                    for f in term.factors:
                        if f.buffer == program.charts:
                            total = total + size[alias[f.at(t).addresses()]]
                    best = np.maximum(best, total.reshape(*row.out, -1).max(-1))
                row.target.at(t).window(size)[...] = 1 + best
    return 1 + _answer_size(program, size[alias[:-1]])


def _answer_size(program: Program, size: np.ndarray) -> int:
    """The largest over all lengths that an instance may have."""
    most = 0.0
    for term in program.answer.terms:
        total = np.zeros((1,) * len(program.default_lengths) + (math.prod((*program.answer.out, *term.summed)),))
        for f in term.factors:
            if f.buffer != program.charts:
                continue
            at = f.at(0).addresses().ravel()
            for side, _, stride in f.per_length:
                shape = [1] * (len(program.default_lengths) + 1)
                shape[side] = -1
                at = at + (np.arange(program.default_lengths[side] + 1) * stride).reshape(shape)
            total = total + np.where(at >= 0, size[np.clip(at, 0, len(size) - 1)], -np.inf)
        most = max(most, float(total.max(initial=-np.inf)))
    return int(most) if math.isfinite(most) else 0
