"""From a program's table to arrays of integers: dims merged, loops ordered, and a layout chosen for every row."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from semiring_struct.executors.cpu import columns as at
from semiring_struct.executors.cpu import reuse
from semiring_struct.executors.matrix import Product, Side, merged, products
from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Row, Window, outer

TILE = 4096  # alternatives worked on at once: they stay in the first cache
SHORT_TILE = 256  # the same by lanes, where each is one per lane and wide
FULL = 32  # cells of a step that keep vectors busy
FEWEST = 16  # cells of a tile whose cells lie side by side, however many alternatives they have


@dataclass(frozen=True)
class Read:
    """A window over a row's loops: one stride per loop over cells, one per summed dim."""

    window: Window
    offset: int
    cells: tuple[int, ...]
    summed: tuple[int, ...]


@dataclass(frozen=True)
class Sum:
    """A term with at most three summed dims."""

    reads: tuple[Read, ...]
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.sizes)


@dataclass(frozen=True)
class Nest:
    """A row with at most three loops over its cells."""

    target: Read
    sizes: tuple[int, ...]
    sums: tuple[Sum, ...]
    late: tuple[Read, ...]

    @property
    def reads(self) -> list[Read]:
        return [r for s in self.sums for r in s.reads]

    @property
    def alternatives(self) -> int:
        """Of each cell."""
        return sum(s.size for s in self.sums)


@lru_cache(maxsize=256)
def encode(program: Program, lanes: int = 1) -> np.ndarray:
    """The code of a program, int64, built once.

    With `lanes`, entries of charts and fields are that many numbers apart, one per instance of a group, and all fields
    of a group lie one after the other in one buffer.
    """
    return _Encoder(program, lanes).code()


def _split(
    sizes: tuple[int, ...], strides: list[tuple[int, ...]], offsets: list[int]
) -> list[tuple[tuple[int, ...], list[tuple[int, ...]], list[int]]]:
    """Nests of at most three dims: what leads beyond them is spelled out."""
    lead = max(len(sizes) - at.LOOPS, 0)
    pieces = []
    for index in itertools.product(*(range(n) for n in sizes[:lead])):
        moved = [o + sum(i * s for i, s in zip(index, st[:lead], strict=True)) for o, st in zip(offsets, strides)]
        pieces.append((sizes[lead:], [st[lead:] for st in strides], moved))
    return pieces


class _Encoder:
    """Sections one after the other; what refers to another section is moved there once all are known."""

    def __init__(self, program: Program, lanes: int):
        self.program, self.lanes = program, lanes
        sizes = [math.prod(shape) if lanes > 1 else 0 for shape in program.field_shapes]
        self.tile = TILE if lanes == 1 else SHORT_TILE
        self.starts = [*itertools.accumulate(sizes, initial=0)][:-1] + [0]  # the charts' buffer comes last
        self.rows: list[list[int]] = []
        self.terms: list[list[int]] = []
        self.factors: list[list[int]] = []
        self.lengths: list[list[int]] = []
        self.products: list[list[int]] = []
        self.largest, self.most, self.widest = 1, 1, 1
        self.left, self.right, self.shifts, self.choices = 0, 0, 0, 0
        self.slots: dict[tuple, list[int]] = {}
        self.as_product = products(program)

    def code(self) -> np.ndarray:
        blocks = []
        for block in self.program.blocks:
            first = len(self.rows)
            for row in block.rows:
                self._row(row, block.count)
            blocks.append([block.count, first, len(self.rows)])
        first = len(self.rows)
        self._row(self.program.answer, 1, answer=True)
        blocks.append([1, first, len(self.rows)])
        return self._laid_down(blocks)

    def _laid_down(self, blocks: list[list[int]]) -> np.ndarray:
        program, least = self.program, list(self.program.bound_shift)
        sections = [blocks, self.rows, self.terms, self.factors, self.lengths, self.products]
        widths = [at.BLOCK, at.ROW, at.TERM, at.FACTOR, at.LENGTH, at.PRODUCT]
        lengths = [width * len(section) for width, section in zip(widths, sections, strict=True)]
        starts = list(itertools.accumulate(lengths, initial=at.HEAD + len(least)))
        refers = [
            [(at.FIRST_ROW, 1), (at.END_ROW, 1)],
            [(at.FIRST_TERM, 2), (at.END_TERM, 2), (at.FIRST_LATE, 3), (at.END_LATE, 3), (at.AS_PRODUCT, 5),
             (at.AS_MOVE, 3)],
            [(at.FIRST_FACTOR, 3), (at.END_FACTOR, 3)],
            [(at.FIRST_LENGTH, 4), (at.END_LENGTH, 4)],
            [],
            [(c, 3) for c in range(at.FIRST_LEFT, at.END_WAIT + 1)],
        ]
        for section, columns in zip(sections, refers, strict=True):
            for line in section:
                for column, to in columns:
                    line[column] = starts[to] + widths[to] * line[column] if line[column] >= 0 else 0
        head = [
            program.charts, program.cells, int(program.writes_all), self.largest, self.most, self.widest,
            starts[0], starts[1], len(least), at.HEAD, starts[5], starts[6], self.left, self.right, self.shifts,
            len(self.slots), self.choices,
        ]  # fmt: skip
        return np.array([*head, *least, *itertools.chain(*itertools.chain(*sections))], dtype=np.int64)

    def _row(self, row: Row, turns: int, answer: bool = False) -> None:
        found = nests(row, answer)
        product = -1
        if row in self.as_product and len(found) == 1:
            product = len(self.products)
            self._product(*self.as_product[row])
        for nest in found:
            self._nest(nest, turns, answer, product)

    def _product(self, product: Product, fixed: bool) -> None:
        place = product.place() if fixed else (len(self.products),)
        if place not in self.slots:
            self.slots[place] = [len(self.slots), self.right, self.shifts]
            self.right += product.k * product.q
            self.shifts += product.k
        self.left = max(self.left, product.p * product.k)
        self.widest = max(self.widest, product.p * product.q)
        self.largest = max(self.largest, product.p * product.q, product.p * product.k, product.k * product.q)
        sizes = [(1,) * (2 - len(x)) + x for x in (product.both, product.rows, product.columns)]
        to = [(0,) * (2 - len(x)) + tuple(self.lanes * s for s in x) for x in product.target]
        bounds = []
        for sides in (product.left, product.right):
            bounds.append(len(self.factors))
            for side in sides:
                self._side(side)
            bounds.append(len(self.factors))
        bounds.append(len(self.factors))
        for w, (both, rows, columns) in product.late:
            self._factor_of(w, w.offset, _two(both) + _two(rows)[:1], _two(columns) + (0,), _two(rows)[1])
        bounds.append(len(self.factors))
        summed = (1,) * (3 - len(product.summed)) + product.summed
        self.products.append(
            [*itertools.chain(*sizes), *itertools.chain(*to), *summed, *bounds, int(fixed), *self.slots[place]]
        )

    def _side(self, side: Side) -> None:
        own = _two(side.own)
        self._factor_of(side.window, side.window.offset, _two(side.both) + own[:1], _three(side.summed), own[1])

    def _nest(self, nest: Nest, turns: int, answer: bool, product: int) -> None:
        k = nest.alternatives
        chooses = answer or len(nest.sums) != 1 or k != 1
        headed = not answer and _headed(nest, self.program.charts)
        wide = not headed and any(r.window.buffer == self.program.charts for r in nest.reads)
        nest, across = _laid_out(nest)
        n0, n1, nj = (1,) * (at.LOOPS - len(nest.sizes)) + nest.sizes
        tile = min(nj, max(FEWEST if across else 1, self.tile // max(k, 1))) if chooses else nj
        self.largest, self.most = max(self.largest, tile * k), max(self.most, k)
        self.widest = max(self.widest, tile)
        first_term, start = len(self.terms), 0
        for s in nest.sums:
            first = len(self.factors)
            for r in s.reads:
                self._factor(r)
            sizes = (1,) * (at.LOOPS - len(s.sizes)) + s.sizes
            self.terms.append([first, len(self.factors), *sizes, start])
            start += s.size
        move = len(self.factors) - 1 if headed and across and _moves(nest, self.program.charts) else -1
        end_term, first_late = len(self.terms), len(self.factors)
        for r in nest.late:
            self._factor(r)
        apart = 1 if answer else self.lanes
        to = [apart * x for x in (nest.target.offset, nest.target.window.step, *_three(nest.target.cells))]
        self.rows.append([
            int(chooses), int(across), int(wide), n0, n1, nj, max(tile, 1), *to, first_term, end_term, first_late,
            len(self.factors), k, int(headed), int(answer), product, move, self.choices,
        ])  # fmt: skip
        if chooses and not answer and product < 0 and (self.lanes > 1 or move < 0):
            self.choices += turns * math.prod(nest.sizes) * k

    def _factor(self, r: Read) -> None:
        self._factor_of(r.window, r.offset, _three(r.cells), _three(r.summed), 0)

    def _factor_of(
        self, w: Window, offset: int, cells: tuple[int, ...], summed: tuple[int, ...], own: int
    ) -> None:  # fmt: skip
        first = len(self.lengths)
        self.lengths += [[side, self.lanes * stride] for side, _, stride in w.per_length]
        sole = w.buffer < self.program.charts and reuse.sole(self.program, w, self.lanes)
        places = [self.lanes * x for x in (offset + self.starts[w.buffer], w.step, *cells, *summed)]
        self.factors.append([w.buffer, *places, int(sole), first, len(self.lengths), self.lanes * own])


def _two(strides: tuple[int, ...]) -> tuple[int, ...]:
    return (0,) * (2 - len(strides)) + strides


def _three(strides: tuple[int, ...]) -> tuple[int, ...]:
    return (0,) * (at.LOOPS - len(strides)) + strides


def _one_term(nest: Nest) -> bool:
    """Whether all terms were one before its dims were spelled out."""
    return len({tuple(r.window for r in s.reads) for s in nest.sums}) == 1


def nests(row: Row, answer: bool) -> list[Nest]:
    """A row with its dims merged, as several where it has more than three."""
    rank, single = len(row.out), len(row.terms) == 1 and not answer
    windows = [row.target, *(f for t in row.terms for f in t.factors)]
    cells, strides = merged(row.out, [w.strides[:rank] for w in windows])
    nests = []
    for sizes, moved, offsets in _split(cells, strides, [w.offset for w in windows]):
        i, sums, late = 1, [], []
        for term in row.terms:
            mine = range(i, i + len(term.factors))
            i += len(term.factors)
            if single:
                late = [Read(windows[j], offsets[j], moved[j], ()) for j in mine if outer(windows[j], rank)]
            inner = [j for j in mine if not (single and outer(windows[j], rank))]
            over, summed = merged(term.summed, [windows[j].strides[rank:] for j in inner])
            for piece, kept, starts in _split(over, summed, [offsets[j] for j in inner]):
                reads = zip(inner, starts, kept, strict=True)
                sums.append(Sum(tuple(Read(windows[j], o, moved[j], s) for j, o, s in reads), piece))
        nests.append(Nest(Read(row.target, offsets[0], moved[0], ()), sizes, tuple(sums), tuple(late)))
    return nests


def _headed(nest: Nest, charts: int) -> bool:
    """Whether all cells share what they read of the charts."""
    charted = [r for r in nest.reads if r.window.buffer == charts]
    return bool(charted) and not any(any(r.cells) for r in charted) and _one_term(nest)


def _moves(nest: Nest, charts: int) -> bool:
    """Whether the last factor is the only one from a field, and its cells lie side by side."""
    fields = [r for r in nest.reads if r.window.buffer != charts]
    plain = len(nest.sums) == 1 and len(nest.sums[0].sizes) == 1 and len(fields) == 1
    return plain and bool(fields[0].cells) and fields[0].cells[-1] == 1


@lru_cache(maxsize=256)
def side_by_side(program: Program, soft: bool) -> bool:
    """Whether instances had better be worked on side by side: most rows do not fill vectors by themselves.

    What does are steps of a chain with many labels that read each potential once: to gather these takes as long as to
    use them. Steps that share their potentials are products where sums are `soft`; maxima of these want more labels.
    """
    full = 0
    for block in program.blocks:
        for row in block.rows:
            for nest in nests(row, False):
                laid, across = _laid_out(nest)
                moves = across and _headed(nest, program.charts) and _moves(laid, program.charts)
                shared = moves and laid.reads[-1].window.step == 0
                if moves and laid.sizes[-1] >= (2 * FULL if shared else FULL) and not (soft and shared):
                    full += block.count * math.prod(nest.sizes) * nest.alternatives
    return 2 * full <= program.cost.alternatives


def _laid_out(nest: Nest) -> tuple[Nest, bool]:
    """The nest with its best innermost loop over cells, and whether that loop runs inside the one over alternatives."""
    if not nest.sizes:
        return nest, False
    ranks = range(len(nest.sizes))
    longest = max((s.sizes[-1] for s in nest.sums if s.sizes), default=1)
    along = longest > 1 and all(not r.summed or abs(r.summed[-1]) <= 1 for r in nest.reads)
    smooth = [d for d in ranks if all(abs(r.cells[d]) <= 1 for r in nest.reads)]
    best = max(smooth or ranks, key=lambda d: (nest.sizes[d], d))
    if bool(smooth) == along:
        across = nest.sizes[best] >= longest
    else:
        across = bool(smooth)
    order = [d for d in ranks if d != best] + [best]

    def turned(r: Read) -> Read:
        return Read(r.window, r.offset, tuple(r.cells[d] for d in order), r.summed)

    sums = tuple(Sum(tuple(turned(r) for r in s.reads), s.sizes) for s in nest.sums)
    late = tuple(turned(r) for r in nest.late)
    return Nest(turned(nest.target), tuple(nest.sizes[d] for d in order), sums, late), across
