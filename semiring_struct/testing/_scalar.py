"""A machine for programs in plain Python, one number at a time: the slow truth that executors are compared with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from semiring_struct.programs import Program, Row, RowTerm, Window
from semiring_struct.testing._compare import require

NEG_INF = float("-inf")
Sum = Callable[[Iterable[float]], float]


def log_add(values: Iterable[float]) -> float:
    """Log of summed weights, number by number."""
    values = list(values)
    top = max(values, default=NEG_INF)
    return top if top == NEG_INF else top + math.log(sum(math.exp(v - top) for v in values))


def best(values: Iterable[float]) -> float:
    """The largest, `-inf` of none."""
    return max(values, default=NEG_INF)


@dataclass
class Tally:
    """What a run did: ⊕ alternatives, ⊗ products, cells written, cells read."""

    alternatives: int = 0
    products: int = 0
    written: set[int] = field(default_factory=set)
    read: set[int] = field(default_factory=set)


@dataclass
class ScalarMachine:
    """Runs `program` on one instance's `fields` (flat lists of log-weights) with ⊕ = `add` and ⊗ = +."""

    program: Program
    fields: list[list[float]]
    add: Sum
    tally: Tally = field(default_factory=Tally)

    def run(self, lengths: tuple[int, ...]) -> float:
        """The answer for these lengths; raises AssertionError where a cell is written twice or read before written."""
        cells: dict[int, float] = {}
        for block in self.program.blocks:
            for t in range(block.count):
                for row in block.rows:
                    self.fill(row, t, cells, lengths)
        if any(n < least for n, least in zip(lengths, self.program.bound_shift, strict=True)):
            return 0.0
        row = self.program.answer
        values = [v for index in indices(row.out) for v in self.alternatives(row, index, 0, cells, lengths)]
        return self.add(values)

    def fill(self, row: Row, t: int, cells: dict[int, float], lengths: tuple[int, ...]) -> None:
        """All cells of one row at turn `t`: none of them may read another."""
        fresh: dict[int, float] = {}
        for index in indices(row.out):
            address = place(row.target, index, t, lengths)
            require(0 <= address < self.program.cells, "program", f"cell {address} of {self.program.cells} is written")
            require(address not in cells and address not in fresh, "program", f"cell {address} is written twice")
            require(address not in self.tally.read, "program", f"cell {address} is written after it was read")
            fresh[address] = self.add(self.alternatives(row, index, t, cells, lengths))
        require(not self.tally.read & fresh.keys(), "program", "a row reads cells that it writes")
        cells.update(fresh)
        self.tally.written.update(fresh)

    def alternatives(
        self, row: Row, index: tuple[int, ...], t: int, cells: dict[int, float], lengths: tuple[int, ...]
    ) -> list[float]:
        """Everything that enters the ⊕ of one cell of `row`: ⊗ of each term's factors, per place of its summed dims."""
        values = []
        for term in row.terms:
            reads = [[place(w, index + inner, t, lengths) for inner in indices(term.summed)] for w in term.factors]
            self.count(row, term, reads)
            for i in range(term.size):
                values.append(sum(self.cell(w, at[i], cells) for w, at in zip(term.factors, reads, strict=True)))
        self.tally.alternatives += len(values)
        return values

    def cell(self, window: Window, address: int, cells: dict[int, float]) -> float:
        """One factor; a chart's cell that nothing has written is ⊕-zero."""
        size = len(self.fields[window.buffer]) if window.buffer < self.program.charts else self.program.cells
        require(0 <= address < size, "program", f"buffer {window.buffer} of {size} cells is read at {address}")
        if window.buffer < self.program.charts:
            return self.fields[window.buffer][address]
        self.tally.read.add(address)
        return cells.get(address, NEG_INF)

    def count(self, row: Row, term: RowTerm, reads: list[list[int]]) -> None:
        """⊗ products of one cell: factors that stay the same over a lone term's alternatives multiply the sum once."""
        steady = sum(len(set(at)) == 1 for at in reads) if len(row.terms) == 1 else 0
        moving = len(reads) - steady
        self.tally.products += (moving - 1) * term.size + steady if moving else max(steady - 1, 0)


def indices(sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All index tuples of a grid."""
    return itertools.product(*(range(size) for size in sizes))


def place(window: Window, index: tuple[int, ...], t: int, lengths: tuple[int, ...]) -> int:
    """The flat address of one cell of a window."""
    strides = sum(i * stride for i, stride in zip(index, window.strides, strict=True))
    return window.offset + window.step * t + strides + sum(lengths[side] * s for side, _, s in window.per_length)


def reuses_cells(program: Program) -> bool:
    """Whether some derivation might use a cell twice: two factors of one product that lead to a common cell.

    Draws made as gradients choose once per cell, so they are exact only where no derivation does that.
    """
    below: dict[int, set[int]] = {}
    for block in program.blocks:
        for t, row in itertools.product(range(block.count), block.rows):
            fresh: dict[int, set[int]] = {}
            for index in indices(row.out):
                target = place(row.target, index, t, ())
                fresh[target] = {target}
                for term, inner in ((each, i) for each in row.terms for i in indices(each.summed)):
                    reads = [place(w, index + inner, t, ()) for w in term.factors if w.buffer == program.charts]
                    for a, b in itertools.combinations(reads, 2):
                        if below.get(a, set()) & below.get(b, set()):
                            return True
                    fresh[target].update(*(below.get(a, set()) for a in reads))
            below.update(fresh)
    return any(sum(f.buffer == program.charts for f in t.factors) > 1 for t in program.answer.terms)
