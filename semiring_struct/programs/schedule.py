"""From statements to the affine table: independent statements become one row, repeated rows become a loop."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from semiring_struct.programs.affine import Affine
from semiring_struct.programs.expression import Term
from semiring_struct.programs.recorder import Statement
from semiring_struct.programs.table import Block, Row, RowTerm, Window

LONGEST_BODY = 8  # rows in the body of a loop that the roller looks for
FEWEST_TURNS = 3  # a shorter repetition stays unrolled


def schedule(statements: Sequence[Statement], charts: int, bases: Sequence[int]) -> tuple[Block, ...]:
    """Order by level, merge what is independent and evenly spaced, then roll what repeats.

    Statements of one level read only earlier levels, so any evenly spaced run of them with equal shapes is one row
    with one more dim: this turns a double loop into wavefronts. `charts` is the number of the buffer of all charts,
    `bases` the first cell of each chart (a row stays within one).
    """
    by_level: dict[tuple[int, int], list[Row]] = {}
    for s in statements:
        by_level.setdefault((s.level, bisect_right(bases, s.target.offset)), []).append(row_of(s, charts))
    rows: list[Row] = []
    for level in sorted(by_level):
        rows.extend(_merge(by_level[level]))
    return tuple(_roll([_forwards(r) for r in rows]))


def row_of(statement: Statement, charts: int) -> Row:
    """One statement as a row, dims of size 1 dropped."""
    keep = [d for d, size in enumerate(statement.target.sizes) if size != 1]
    target = _window(charts, statement.target, keep)
    return Row(target.sizes, target, tuple(term_of(t, keep) for t in statement.terms))


def term_of(term: Term, keep: list[int]) -> RowTerm:
    """One term over the kept visible dims, summed dims of size 1 dropped, chart factors first."""
    rank = len(term.visible)
    summed = [rank + d for d, size in enumerate(term.summed) if size != 1]
    factors = tuple(_window(f.buffer, f.affine, keep + summed) for f in term.factors)
    return RowTerm(tuple(sorted(factors, key=lambda f: -f.buffer)), tuple(term.summed[d - rank] for d in summed))


def _window(buffer: int, a: Affine, keep: list[int]) -> Window:
    return Window(
        buffer, a.offset, tuple(a.sizes[d] for d in keep), tuple(a.strides[d] for d in keep), 0, a.per_length
    )


def signature(row: Row) -> tuple:
    """Everything about a row but where its windows start."""
    target = (row.target.sizes, row.target.strides)
    return target, tuple((t.summed, tuple((f.buffer, f.sizes, f.strides) for f in t.factors)) for t in row.terms)


def _offsets(row: Row) -> tuple[int, ...]:
    return tuple(w.offset for w in row.windows)


def _difference(a: Row, b: Row) -> tuple[int, ...]:
    return tuple(y - x for x, y in zip(_offsets(a), _offsets(b), strict=True))


def _merge(rows: list[Row]) -> list[Row]:
    """Evenly spaced rows of one level become one row; again, until a grid of any number of dims has become one."""
    while True:
        runs: dict[tuple, list[list[Row]]] = {}
        order: list[list[Row]] = []
        for row in rows:
            mine = runs.setdefault(signature(row), [])
            last = mine[-1] if mine else None
            if last and (len(last) == 1 or _difference(last[-1], row) == _difference(last[0], last[1])):
                last.append(row)
            else:
                mine.append([row])
                order.append(mine[-1])
        if len(order) == len(rows):
            return rows
        rows = [_stack(run) for run in order]


def _stack(run: list[Row]) -> Row:
    if len(run) == 1:
        return run[0]
    steps = iter(_difference(run[0], run[1]))
    count = len(run)

    def widen(w: Window) -> Window:
        return Window(w.buffer, w.offset, (count, *w.sizes), (next(steps), *w.strides), 0, w.per_length)

    first = run[0]
    target = widen(first.target)
    terms = tuple(RowTerm(tuple(widen(f) for f in t.factors), t.summed) for t in first.terms)
    return Row((count, *first.out), target, terms)


def _forwards(row: Row) -> Row:
    """Turn around every dim along which all windows run backwards; the order of a dim has no meaning."""
    rank = len(row.out)
    target, terms = row.target, list(row.terms)
    for d in range(rank):
        if all(w.strides[d] <= 0 for w in row.windows):
            target = _turn(target, d)
            terms = [RowTerm(tuple(_turn(f, d) for f in t.factors), t.summed) for t in terms]
    for i, term in enumerate(terms):
        for d in range(rank, rank + len(term.summed)):
            if all(f.strides[d] <= 0 for f in terms[i].factors):
                terms[i] = RowTerm(tuple(_turn(f, d) for f in terms[i].factors), term.summed)
    return Row(row.out, target, tuple(terms))


def _turn(w: Window, d: int) -> Window:
    strides = (*w.strides[:d], -w.strides[d], *w.strides[d + 1 :])
    return Window(w.buffer, w.offset + w.strides[d] * (w.sizes[d] - 1), w.sizes, strides, w.step, w.per_length)


def _roll(rows: list[Row]) -> list[Block]:
    """Find, from the left, the body whose repetition covers most rows, and keep it once."""
    names: dict[tuple, int] = {}
    kinds = [names.setdefault(signature(r), len(names)) for r in rows]
    blocks, i = [], 0
    while i < len(rows):
        body, turns = 1, 1
        for p in range(1, LONGEST_BODY + 1):
            n = _turns(rows, kinds, i, p)
            if n >= FEWEST_TURNS and n * p > body * turns:
                body, turns = p, n
        if turns == 1:
            blocks.append(Block(1, (rows[i],)))
        else:
            blocks.append(Block(turns, tuple(_stepping(rows[i + q], rows[i + body + q]) for q in range(body))))
        i += body * turns
    return blocks


def _turns(rows: list[Row], kinds: list[int], i: int, p: int) -> int:
    if i + 2 * p > len(rows) or kinds[i : i + p] != kinds[i + p : i + 2 * p]:
        return 1
    steps = [_difference(rows[i + q], rows[i + p + q]) for q in range(p)]
    n = 2
    while i + (n + 1) * p <= len(rows):
        at = i + n * p
        if kinds[at : at + p] != kinds[i : i + p]:
            break
        if any(_difference(rows[at - p + q], rows[at + q]) != steps[q] for q in range(p)):
            break
        n += 1
    return n


def _stepping(row: Row, following: Row) -> Row:
    steps = iter(_difference(row, following))

    def step(w: Window) -> Window:
        return Window(w.buffer, w.offset, w.sizes, w.strides, next(steps), w.per_length)

    target = step(row.target)
    return Row(row.out, target, tuple(RowTerm(tuple(step(f) for f in t.factors), t.summed) for t in row.terms))

