"""From a program's table to the integers that the kernels read, and the shape of the tiles they work on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from semiring_struct.executors.cpu.encode import Nest, Read, Sum, nests
from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.matrix import Product, Side, products
from semiring_struct.programs import Affine, Program, Row
from semiring_struct.programs.table import Block

WIDEST = 64  # cells of a chain, which are worked on all at once
SIDE = 32  # of the tiles that products run in
PADDING = 16  # for how many multiplications of a product's tiles an alternative may stand
TILE = 1024  # lanes times alternatives worked on at once: eight per thread of four warps


@dataclass(frozen=True)
class Code:
    """The integers of a program; tiles `(cells, alternatives)` of its rows and `(lanes, tied)` of its pulls."""

    words: np.ndarray
    tile: tuple[int, int]
    pull_tile: tuple[int, int]
    full: bool  # whether every cell of the charts is written
    chain: int  # the side of the tile that chains run in, 0 where there are none
    product: int  # the same of products

    @property
    def room(self) -> int:
        """Cells of the largest row."""
        return int(self.words[at.ROOM])

    @property
    def adjoints(self) -> int:
        """Adjoints of the charts, and of the sides of the largest product."""
        return int(self.words[at.ADJOINTS])


@lru_cache(maxsize=256)
def encode(program: Program) -> Code:
    """The code of a program, built once."""
    return _Encoder(program).code()


def shape_of_tiles(loops: Iterable[tuple[int, int, int]]) -> tuple[int, int]:
    """The powers of two that run `(times, long, wide)` loops in the fewest tiles of `TILE`; the squarest of equals."""
    found = list(loops)

    def tiles(high: int) -> int:
        return sum(times * -(-a // high) * -(-b // (TILE // high)) for times, a, b in found)

    heights = [1 << i for i in range(TILE.bit_length())]
    high = min(heights, key=lambda h: (tiles(h), abs(math.log2(h * h / TILE))))
    return high, TILE // high


def _six(cells: tuple[int, ...], summed: tuple[int, ...], blank: int) -> list[int]:
    """Numbers of up to three loops over cells and three over summed dims, filled up in front."""
    half = at.DIMS // 2
    return [*([blank] * (half - len(cells))), *cells, *([blank] * (half - len(summed))), *summed]


def _places(sizes: list[int]) -> list[int]:
    """Strides that number the entries of contiguous loops."""
    return [math.prod(sizes[d + 1 :]) for d in range(len(sizes))]


def ways(sizes: list[int], strides: list[int]) -> list[list[int]]:
    """Lane, tied and serial sizes of a window: lanes never share a cell, so that sums need no atomic operation."""
    tied = [n if s == 0 else 1 for n, s in zip(sizes, strides, strict=True)]
    lanes = [1 if s == 0 else n for n, s in zip(sizes, strides, strict=True)]
    serial = [1] * len(sizes)
    while not Affine(0, tuple(lanes), tuple(strides)).injective():
        d = min((d for d, n in enumerate(lanes) if n > 1), key=lambda d: lanes[d])
        serial[d], lanes[d] = lanes[d], 1
    return [lanes, tied, serial]


def chained(block: Block, program: Program) -> tuple[Read, Read] | None:
    """The vector and the matrix of a loop whose every turn multiplies the cells of the turn before by a matrix.

    No field may be read twice, and no two lanes may add to one cell of it.
    """
    if block.count < 2 or len(block.rows) != 1:
        return None
    found = nests(block.rows[0], False)
    nest, charts = found[0], program.charts
    vectors = [r for r in nest.reads if r.window.buffer == charts]
    others = [r for r in nest.reads if r.window.buffer != charts]
    square = [s.sizes for s in nest.sums] == [nest.sizes] and len(nest.sizes) == 1 and math.prod(nest.sizes) <= WIDEST
    if len(found) > 1 or not square or len(vectors) != 1 or len(others) != 1:
        return None
    (vector,), (matrix,), to = vectors, others, nest.target
    ahead = to.offset - vector.offset == to.window.step == vector.window.step
    carried = ahead and not any(vector.cells) and vector.summed == to.cells
    apart = Affine(0, nest.sizes * 2, matrix.cells + matrix.summed).injective() and all(any(r.cells) for r in nest.late)
    fields = [r.window.buffer for r in [matrix, *nest.late]]
    if not carried or not apart or charts in fields or len(set(fields)) < len(fields):
        return None
    return vector, matrix


def _fits(product: Product) -> bool:
    """Whether a product has at most three loops of each kind, and its tiles are not mostly padding."""
    both, half = len(product.both), at.DIMS // 2
    loops = max(both + len(product.rows), both + len(product.columns), len(product.summed))
    padded = math.prod(-(-n // SIDE) * SIDE for n in (product.p, product.q, product.k))
    return loops <= half and padded <= PADDING * product.p * product.q * product.k


class _Encoder:
    """Sections one after the other; what refers to another section is moved there once all are known."""

    def __init__(self, program: Program):
        self.program = program
        self.starts = list(itertools.accumulate(map(math.prod, program.field_shapes), initial=0))
        self.rows: list[list[int]] = []
        self.terms: list[list[int]] = []
        self.factors: list[list[int]] = []
        self.lengths: list[list[int]] = []
        self.pulls: list[list[int]] = []
        self.loops: list[tuple[int, int, int]] = []
        self.pulled: list[tuple[int, int, int]] = []
        self.products: list[list[int]] = []
        self.chain, self.sheets = 0, 0
        self.as_product = {row: found for row, (found, _) in products(program).items() if _fits(found)}

    def code(self) -> Code:
        blocks = []
        for block in self.program.blocks:
            as_products = [self._product(row, block) for row in block.rows]
            first = len(self.rows)
            start = len(self.factors)
            for row, product in zip(block.rows, as_products, strict=True):
                self._row(row, block.count, product)
            blocks.append([block.count, first, len(self.rows), *self._chain(block, start)])
        first = len(self.rows)
        self._row(self.program.answer, 1, -1, answer=True)
        blocks.append([1, first, len(self.rows), -1, -1])
        full = self.program.writes_all
        tiles = shape_of_tiles(self.loops), shape_of_tiles(self.pulled)
        return Code(self._laid_down(blocks), *tiles, full, self.chain, SIDE if self.products else 0)

    def _laid_down(self, blocks: list[list[int]]) -> np.ndarray:
        program = self.program
        sections = [blocks, self.rows, self.terms, self.factors, self.lengths, self.pulls, self.products]
        widths = [at.BLOCK, at.ROW, at.TERM, at.FACTOR, at.LENGTH, at.PULL, at.PRODUCT]
        ends = [width * len(section) for width, section in zip(widths, sections, strict=True)]
        starts = list(itertools.accumulate(ends, initial=at.HEAD))
        refers = [
            [(at.FIRST_ROW, 1), (at.END_ROW, 1), (at.VECTOR, 3), (at.MOVE, 3)],
            [
                (at.FIRST_TERM, 2), (at.END_TERM, 2), (at.FIRST_LATE, 3), (at.END_LATE, 3), (at.FIRST_PULL, 5),
                (at.END_PULL, 5), (at.AS_PRODUCT, 6),
            ],
            [(at.FIRST_FACTOR, 3), (at.END_FACTOR, 3)],
            [(at.FIRST_LENGTH, 4), (at.END_LENGTH, 4)],
            [],
            [(at.OF_ROW, 1), (at.OF_TERM, 2), (at.TO_FACTOR, 3)],
            [(at.LEFT, 1), (at.RIGHT, 1), (at.MADE, 1), (at.FIRST_OF_PULLS, 5), (at.END_OF_PULLS, 5)],
        ]  # fmt: skip
        for section, columns in zip(sections, refers, strict=True):
            for line in section:
                for column, to in columns:
                    line[column] = starts[to] + widths[to] * line[column] if line[column] >= 0 else -1
        room = max(row[at.COUNT] for row in self.rows)
        head = [
            starts[0], starts[0] + at.BLOCK * (len(blocks) - 1), starts[0] + at.BLOCK * (len(blocks) - 1), starts[-1],
            len(program.bound_shift), self.starts[-1], program.cells, math.prod(program.answer.out), room,
            program.cells + self.sheets,
        ]  # fmt: skip
        body = itertools.chain(*itertools.chain(*sections))
        return np.array([*head, *body, *program.bound_shift], dtype=np.int64)

    def _chain(self, block: Block, start: int) -> tuple[int, int]:
        """The factors of a chain's vector and matrix, those of its rows numbered from `start` on; -1 for none."""
        found = chained(block, self.program)
        if found is None:
            return -1, -1
        count = math.prod(block.rows[0].out)
        self.chain = max(self.chain, 16, 1 << (count - 1).bit_length())
        first = nests(block.rows[0], False)[0].reads.index(found[0])
        return start + first, start + 1 - first

    def _product(self, row: Row, block: Block) -> int:
        """The number of a row's product, behind rows and pulls of its own; -1 where it is none."""
        if row not in self.as_product or chained(block, self.program) is not None:
            return -1
        x, turns, first = self.as_product[row], block.count, len(self.pulls)
        rows, columns = x.both + x.rows, x.both + x.columns
        made = self._made(x, row, turns)
        left = self._side(x.left, rows, x.summed, 0, turns)
        right = self._side(x.right, columns, x.summed, math.prod(rows) * x.k, turns)
        self.sheets = max(self.sheets, (math.prod(rows) + math.prod(columns)) * x.k)
        self.products.append([left, right, made, first, len(self.pulls), math.prod(x.both), x.p, x.q, x.k])
        return len(self.products) - 1

    def _made(self, x: Product, row: Row, turns: int) -> int:
        """The cells of a product: rows of its matrices by columns."""
        rows, first, first_pull = x.both + x.rows, len(self.factors), len(self.pulls)
        for w, (both, down, across) in x.late:
            self._factor(rows, x.columns, Read(w, w.offset, both + down, across), -1, turns)
        both, down, across = x.target
        to = [row.target.offset, row.target.step, *_six(both + down, across, 0)]
        ends = [0, 0, first, len(self.factors), first_pull, len(self.pulls)]
        return self._line(_six(rows, x.columns, 1), to, ends, (0, 0, -1))

    def _side(
        self, sides: tuple[Side, ...], cells: tuple[int, ...], summed: tuple[int, ...], start: int, turns: int
    ) -> int:
        """One side of a product: a row with a cell for every alternative, behind the charts' adjoints."""
        first, first_pull, sizes = len(self.factors), len(self.pulls), _six(cells, summed, 1)
        for s in sides:
            self._factor(cells, summed, Read(s.window, s.window.offset, s.both + s.own, s.summed), -1, turns)
        term = [math.prod(summed), *_six((), summed, 1), 0, first, len(self.factors), *[0] * at.DIMS]
        self.terms.append(term)
        to = [self.program.cells + start, 0, *_places(sizes)]
        ends = [len(self.terms) - 1, len(self.terms), 0, 0, first_pull, len(self.pulls)]
        return self._line(sizes, to, ends, (0, 0, -1))

    def _line(self, sizes: list[int], to: list[int], ends: list[int], rest: tuple[int, int, int]) -> int:
        """A row of three loops over cells, and three more where a product owns it; `rest` are its last columns."""
        cells = sizes[: at.DIMS // 2]
        self.rows.append([math.prod(cells), *sizes, *to, *ends, *_places(cells), 0, 0, 0, *rest])
        return len(self.rows) - 1

    def _row(self, row: Row, turns: int, product: int, answer: bool = False) -> None:
        for nest in nests(row, answer):
            self._nest(nest, turns, product, answer)

    def _nest(self, nest: Nest, turns: int, product: int, answer: bool) -> None:
        cells = _six(nest.sizes, (), 1)
        count, first_term, first_pull, start = math.prod(cells), len(self.terms), len(self.pulls), 0
        noise = self.program.cells if answer else 0
        for s in nest.sums:
            self._sum(nest, s, start, turns)
            start += s.size
            self.loops.append((turns, count, s.size))
        first_late = len(self.factors)
        for r in nest.late:
            self._factor(nest.sizes, (), r, -1, turns)
        to = [nest.target.offset, nest.target.window.step, *_six(nest.target.cells, (), 0)]
        ends = [first_term, len(self.terms), first_late, len(self.factors), first_pull, len(self.pulls)]
        self._line(cells, to, ends, (start, noise, product))

    def _sum(self, nest: Nest, s: Sum, start: int, turns: int) -> None:
        first, sizes = len(self.factors), _six((), s.sizes, 1)
        for r in s.reads:
            self._factor(nest.sizes, s.sizes, r, len(self.terms), turns)
        order = [0, 0, 0, *_places(sizes[at.DIMS // 2 :])]
        self.terms.append([s.size, *sizes, start, first, len(self.factors), *order])

    def _factor(self, cells: tuple[int, ...], summed: tuple[int, ...], r: Read, term: int, turns: int) -> None:
        """A factor of the row that comes next, and its pull."""
        first, w = len(self.lengths), r.window
        self.lengths += [[side, stride] for side, _, stride in w.per_length]
        charted = w.buffer == self.program.charts
        offset = r.offset if charted else r.offset + self.starts[w.buffer]
        strides = _six(r.cells, r.summed, 0)
        three = ways(_six(cells, summed, 1), strides)
        lanes, tied, serial = (math.prod(sizes) for sizes in three)
        self.pulls.append([len(self.rows), term, len(self.factors), lanes, tied, serial, *itertools.chain(*three)])
        self.factors.append([int(charted), offset, w.step, first, len(self.lengths), *strides])
        if tied > 1:
            self.pulled.append((turns * serial, lanes, tied))
