"""Which memory is written while something else stands there: decided here, and obeyed by all passes.

The rule is liveness: a place may be written after the last reader of what it holds. A backward pass goes through the
tiles of a program in the reverse of their order; a tile reads all that it needs before it writes anything. So what a
single tile reads is dead as soon as that tile writes, and its place may take what the tile writes:

- by lanes, an entry's slope takes the place of the entry (`over_entries`);
- instance by instance, where both passes are run, chances stand where slopes will (`over_slopes`): the reader that
  wrote them is the only one to read them, and the only one to write these slopes;
- slopes that one reader writes, all of them, lie in memory that has not been cleared (`uncleared`);
- buffers of a few instances serve the next ones, and scratch the next call, once passes over the ones before are done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from semiring_struct.executors.matrix import products
from semiring_struct.ops import memory
from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Window

_allowed = [True]


def allowed() -> bool:
    """Whether a place may be written twice; see `without`."""
    return _allowed[0]


@contextmanager
def without() -> Iterator[None]:
    """Meanwhile, every place holds one thing only. For tests: results are to be the same, bit by bit."""
    kept, memory.KEPT = memory.KEPT, 0
    _allowed[0] = False
    memory.release()
    try:
        yield
    finally:
        memory.KEPT, _allowed[0] = kept, True


def over_entries(program: Program) -> tuple[bool, ...]:
    """By lanes, of each field whether slopes take the place of its entries."""
    return tuple(allowed() and once for once in read_once(program))


@lru_cache(maxsize=256)
def read_once(program: Program) -> tuple[bool, ...]:
    """Of each field whether every entry is read exactly once, by a tile: its slope is written, not added.

    The answer is read by lengths, not by tiles, and sides of products are read anew by every row that uses them.
    """
    held = {w.buffer for row in products(program) for w in row.windows}
    return tuple(program.reads_once(i) and i not in held for i in range(program.charts))


def sole(program: Program, window: Window, lanes: int) -> bool:
    """Whether slopes of a field are written by the reader `window`, and not added to what others have written."""
    return read_once(program)[window.buffer] if lanes > 1 else program.single_reader(window.buffer) is window


def uncleared(program: Program, visits_all: bool) -> tuple[bool, ...]:
    """Instance by instance, of each field whether slopes need no clearing: one reader writes all of them.

    Not where a pass visits only cells that were chosen.
    """
    fields = range(program.charts)
    whole = (program.single_reader(i) is not None and program.reads_all(i) for i in fields)
    return tuple(allowed() and visits_all and w for w in whole)


def over_slopes() -> bool:
    """Whether chances of a field's only reader stand where its slopes will."""
    return allowed()


def instances(few: int, batch: int) -> int:
    """How many instances have buffers of their own: `few`, if these may serve the next ones."""
    return few if allowed() else max(few, batch)


def groups(count: int) -> int:
    """By lanes, of how many groups the buffers serve one after the other."""
    return max(count, 1) if allowed() else 1
