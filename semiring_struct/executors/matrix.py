"""Rows that are products of matrices, recognised in the table.

The factors of such a row fall into two groups so that every loop over cells, but for those of both groups, belongs to
one of them: `value[o, p, q] = ⊕_k a[o, p, k] ⊗ b[o, k, q]`. Its exponentials are those of `a` and of `b`, not of their
product; and where `b` is read from fields alone, at the same place every time, not even those of `b`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Row, Window, outer

SAVING = 4  # the least number of products per exponential for which the detour pays


@dataclass(frozen=True)
class Side:
    """One window over a product's loops: those of both sides, of its own side, and the summed ones."""

    window: Window
    both: tuple[int, ...]
    own: tuple[int, ...]
    summed: tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """Sizes and strides of a row as a product; `late` and `target` have strides over `both`, `rows` and `columns`."""

    both: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    summed: tuple[int, ...]
    left: tuple[Side, ...]
    right: tuple[Side, ...]
    late: tuple[tuple[Window, tuple[tuple[int, ...], ...]], ...]
    target: tuple[tuple[int, ...], ...]

    @property
    def k(self) -> int:
        return math.prod(self.summed)

    @property
    def p(self) -> int:
        return math.prod(self.rows)

    @property
    def q(self) -> int:
        return math.prod(self.columns)

    def place(self) -> tuple:
        """What is the same for two right sides that hold the same numbers."""
        right = tuple((s.window.buffer, s.window.offset, s.own, s.summed) for s in self.right)
        return self.columns, self.summed, right


def merged(sizes: tuple[int, ...], strides: list[tuple[int, ...]]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Dims of size 1 dropped, and neighbours made one where every window runs through both at one stride."""
    keep = [d for d, size in enumerate(sizes) if size != 1]
    out: list[int] = []
    columns: list[list[int]] = []
    for d in keep:
        column = [s[d] for s in strides]
        if out and all(a == b * sizes[d] for a, b in zip(columns[-1], column, strict=True)):
            out[-1] *= sizes[d]
            columns[-1] = column
        else:
            out.append(sizes[d])
            columns.append(column)
    return tuple(out), [tuple(c[i] for c in columns) for i in range(len(strides))]


def products(program: Program) -> dict[Row, tuple[Product, bool]]:
    """The rows that are worth it, and whether their right side stays as it is during a run."""
    found: list[tuple[Row, int, list[Product]]] = []
    uses: dict[tuple, int] = {}
    for block in program.blocks:
        for row in block.rows:
            options = _options(row)
            for option in options:
                if _fixed(option, program):
                    uses[option.place()] = uses.get(option.place(), 0) + block.count
            found.append((row, block.count, options))
    out: dict[Row, tuple[Product, bool]] = {}
    for row, _, options in found:
        best, most = None, float(SAVING)
        for option in options:
            fixed = _fixed(option, program) and uses[option.place()] > 1
            work = option.p * option.q * option.k
            saving = work / (option.p * option.k + (0 if fixed else option.q * option.k))
            if saving > most:
                best, most = (option, fixed), saving
        if best is not None:
            out[row] = best
    return out


def _fixed(product: Product, program: Program) -> bool:
    return not any(product.both) and all(
        s.window.buffer < program.charts and s.window.step == 0 for s in product.right
    )


def _options(row: Row) -> list[Product]:
    """Every way to split the factors of a row in two."""
    if len(row.terms) != 1:
        return []
    rank, term = len(row.out), row.terms[0]
    inner = [f for f in term.factors if not outer(f, rank)]
    if not 2 <= len(inner) <= 4 or not term.summed:
        return []
    splits = (set(s) for size in range(1, len(inner)) for s in itertools.combinations(range(len(inner)), size))
    options = (_split(row, [f for i, f in enumerate(inner) if i in s], [f for i, f in enumerate(inner) if i not in s])
               for s in splits)  # fmt: skip
    return [option for option in options if option is not None]


def _split(row: Row, left: list[Window], right: list[Window]) -> Product | None:
    rank, summed = len(row.out), row.terms[0].summed
    late = [f for f in row.terms[0].factors if outer(f, rank)]
    both, rows, columns = [], [], []
    for d in range(rank):
        a, b = any(f.strides[d] for f in left), any(f.strides[d] for f in right)
        (both if a == b else rows if a else columns).append(d)

    def part(dims: list[int], windows: list[Window]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        sizes, strides = merged(tuple(row.out[d] for d in dims), [tuple(w.strides[d] for d in dims) for w in windows])
        return sizes, strides

    rest = [row.target, *late]
    n_both, s_both = part(both, [*rest, *left, *right])
    n_rows, s_rows = part(rows, [*rest, *left])
    n_columns, s_columns = part(columns, [*rest, *right])
    n_summed, s_summed = merged(summed, [w.strides[rank:] for w in [*left, *right]])
    if len(n_both) > 2 or len(n_rows) > 2 or len(n_columns) > 2 or len(n_summed) > 3:
        return None
    skip = len(rest)
    sides = [
        Side(w, s_both[skip + i], s_rows[skip + i] if i < len(left) else s_columns[skip + i - len(left)], s_summed[i])
        for i, w in enumerate([*left, *right])
    ]
    at = [(s_both[i], s_rows[i], s_columns[i]) for i in range(skip)]
    lates = tuple(zip(late, at[1:], strict=True))
    return Product(
        n_both, n_rows, n_columns, n_summed, tuple(sides[: len(left)]), tuple(sides[len(left) :]), lates, at[0]
    )
