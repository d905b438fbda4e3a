"""The k best derivations in compiled code: every cell ranks its own, and finds the next when it is asked for it.

What follows on a derivation reads the next in rank of one of the cells that it reads [huang2005, alg. 3]. Losses
against a cell's best are what is ranked: in charts of maxima the loss of a choice is local, and losses add up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from semiring_struct.executors.cpu.cells import COLUMNS, COUNT, Cells
from semiring_struct.executors.cpu.native import ahead, exact, inlined, pointer
from semiring_struct.executors.cpu.paths import ALIVE, UNKNOWN, begin, bench_of, finish, ink_of, instance_of
from semiring_struct.executors.cpu.steps import follow, opened, scores
from semiring_struct.kernels.entry import entry

# columns of `cells`: the best derivation, the first of a heap of those that wait for a rank, the last alternative in
# order that has joined them (NONE once all have), and how many are to join next
BEST, WAITING, LATEST, BATCH, STATE = range(5)
# columns of `derivations`, before the derivations that it reads: a cell, the alternative, the rank, the next in rank
# (NONE if nobody has asked, LAST if there is none), and the place in a pairing heap
CELL, PICK, RANK, NEXT, CHILD, SIBLING, HEADER = range(7)
LOSS, OWN, LOSSES = range(3)  # of a derivation, and of its alternative alone
NONE, LAST = -1, -2
FIRST_BATCH = 2  # alternatives of a cell: few cells are asked for more


class Ranking(NamedTuple):
    """One thread's own, as addresses, `reads` being the most cells that an alternative reads.

    `cells (cells + 1, STATE)`; `derivations (room, HEADER + reads)`, where those of the cells read stand in the order
    of reading, NONE for the best; `losses (room, LOSSES)` float64; `stack (longest + 1, 2)`, `queue (longest + 1,)`,
    `read (reads,)`, `batch (most,)`; `used (1,)`, how much of the room is taken; all int32 but for the losses.
    `scores (k * batch,)` float64 are what is handed in.
    """

    cells: int
    derivations: int
    losses: int
    stack: int
    queue: int
    read: int
    batch: int
    used: int
    scores: int
    reads: int


class Ranks(NamedTuple):
    """`Ranking` with pointers in place of addresses."""

    cells: Any
    derivations: Any
    losses: Any
    stack: Any
    queue: Any
    read: Any
    batch: Any
    used: Any
    scores: Any
    reads: int


def room(cells: Cells, most: int, k: int) -> int:
    """How many derivations the cells of the k best may rank or keep waiting."""
    ranked = (k - 1) * cells.longest
    known = min(k * cells.longest, cells.cells + 1)
    alone = min(known * most, (FIRST_BATCH + 2) * known + 2 * ranked)  # no cell has twice as many waiting as were taken
    return alone + ranked * cells.chart_slots


@exact
def _ranks_of(ranking):
    i, x = np.int32(0), 0.0
    return Ranks(
        pointer(ranking.cells, i), pointer(ranking.derivations, i), pointer(ranking.losses, x),
        pointer(ranking.stack, i), pointer(ranking.queue, i), pointer(ranking.read, i), pointer(ranking.batch, i),
        pointer(ranking.used, i), pointer(ranking.scores, x), ranking.reads,
    )  # fmt: skip


@inlined
def _derivation(r, d):
    return ahead(r.derivations, np.int64(d) * (HEADER + r.reads))


@inlined
def _losses(r, d):
    return ahead(r.losses, np.int64(d) * LOSSES)


@inlined
def _before(x, a, b):
    """Whether alternative `a` comes before `b`: that of the smaller loss, of tied ones the first."""
    return x[a] < x[b] or (x[a] == x[b] and a < b)


@exact
def _sink(batch, n, x, at):
    """Let a number of a heap sink, in which those that come last are on top."""
    while 2 * at + 1 < n:
        below = 2 * at + 1
        if below + 1 < n and _before(x, batch[below], batch[below + 1]):
            below += 1
        if not _before(x, batch[at], batch[below]):
            break
        batch[at], batch[below] = batch[below], batch[at]
        at = below


@exact
def _select(batch, size, x, n, latest):
    """The first `size` in order after `latest` of `n` alternatives of losses `x`, the last on top; their number."""
    count = 0
    for i in range(n):
        if x[i] == np.inf or (count == size and not _before(x, i, batch[0])):
            continue
        if latest != NONE and not _before(x, latest, i):
            continue
        if count < size:
            batch[count] = i
            count += 1
            if count == size:
                for at in range(size // 2, -1, -1):
                    _sink(batch, size, x, at)
        else:
            batch[0] = i
            _sink(batch, size, x, 0)
    return count


@inlined
def _rank_below(r, derivation, i):
    """The rank of what is read at place `i`."""
    below = derivation[HEADER + i]
    return 0 if below == NONE else np.int64(_derivation(r, below)[RANK])


@exact
def _precedes(r, a, b):
    """Whether derivation `a` of a cell ranks before `b`; of tied ones the first alternative, then the ranks read."""
    x, y = _losses(r, a)[LOSS], _losses(r, b)[LOSS]
    if x != y:
        return x < y
    one, other = _derivation(r, a), _derivation(r, b)
    if one[PICK] != other[PICK]:
        return one[PICK] < other[PICK]
    for i in range(r.reads):
        x, y = _rank_below(r, one, i), _rank_below(r, other, i)
        if x != y:
            return x < y
    return False


@exact
def _melded(r, a, b):
    """Two pairing heaps as one; either may be NONE."""
    if a == NONE or b == NONE:
        return b if a == NONE else a
    if _precedes(r, b, a):
        a, b = b, a
    top, below = _derivation(r, a), _derivation(r, b)
    below[SIBLING], top[CHILD] = top[CHILD], b
    return a


@exact
def _take(r, state):
    """The first of those that wait, NONE if there are none."""
    first = np.int64(state[WAITING])
    if first == NONE:
        return first
    rest, pairs = np.int64(_derivation(r, first)[CHILD]), np.int64(NONE)
    while rest != NONE:
        one = rest
        other = np.int64(_derivation(r, one)[SIBLING])
        rest = other if other == NONE else np.int64(_derivation(r, other)[SIBLING])
        pair = _melded(r, one, other)
        _derivation(r, pair)[SIBLING] = pairs
        pairs = pair
    waiting = np.int64(NONE)
    while pairs != NONE:
        after = np.int64(_derivation(r, pairs)[SIBLING])
        waiting = _melded(r, waiting, pairs)
        pairs = after
    state[WAITING] = waiting
    return first


@exact
def _new(r, cell, pick, own):
    """A derivation that reads the best of what its alternative reads."""
    d = np.int64(r.used[0])
    r.used[0] += 1
    made, losses = _derivation(r, d), _losses(r, d)
    made[CELL], made[PICK], made[RANK], made[NEXT], made[CHILD], made[SIBLING] = cell, pick, 0, NONE, NONE, NONE
    losses[LOSS] = losses[OWN] = own
    for i in range(r.reads):
        made[HEADER + i] = NONE
    return d


@exact
def _with(r, d, place, below):
    """Derivation `d` but for what it reads at one place."""
    old = _derivation(r, d)
    new = _new(r, old[CELL], old[PICK], _losses(r, d)[OWN])
    made, loss = _derivation(r, new), _losses(r, d)[OWN]
    for i in range(r.reads):
        made[HEADER + i] = below if i == place else old[HEADER + i]
        if made[HEADER + i] != NONE:
            loss += _losses(r, made[HEADER + i])[LOSS]
    _losses(r, new)[LOSS] = loss
    return new


@exact
def _widen(table, own, bench, r, cell):
    """Let the next alternatives of a cell join those that wait."""
    state, x = ahead(r.cells, cell * STATE), bench.x
    top, n, size = scores(x, table, own, cell, bench.like), _alternatives(table, cell), np.int64(state[BATCH])
    for i in range(n):
        x[i] = top - x[i]
    count = _select(r.batch, size, x, n, np.int64(state[LATEST]))
    for j in range(count):
        pick = np.int64(r.batch[j])
        state[WAITING] = _melded(r, np.int64(state[WAITING]), _new(r, cell, pick, x[pick]))
    state[LATEST] = r.batch[0] if count == size else NONE
    state[BATCH] = min(2 * size, n)


@inlined
def _alternatives(table, cell):
    return np.int64(table.head[cell * COLUMNS + COUNT])


@exact
def _best(table, own, bench, r, cell):
    """The best derivation of a cell that has one."""
    state = ahead(r.cells, cell * STATE)
    if bench.known[cell] == UNKNOWN:
        bench.known[cell] = ALIVE
        state[WAITING], state[LATEST], state[BATCH] = NONE, NONE, min(FIRST_BATCH, _alternatives(table, cell))
        _widen(table, own, bench, r, cell)
        state[BEST] = _take(r, state)
    return np.int64(state[BEST])


@exact
def _read(table, own, bench, r, d):
    """The cells that a derivation reads, into `read`; how many there are."""
    made = _derivation(r, d)
    ink = ink_of(bench, 0, 0, table.chart_slots)
    return follow(table, own, np.int64(made[CELL]), np.int64(made[PICK]), r.read, 1, 0, ink, 0)


@exact
def _first_place(r, d):
    """Where those that follow from a derivation differ from it: here or later, so that none follows from two."""
    made = _derivation(r, d)
    for i in range(r.reads - 1, 0, -1):
        if made[HEADER + i] != NONE:
            return i
    return 0


@exact
def _rank(table, own, bench, r, d):
    """Give the next rank of a cell, after its derivation `d`, to the first of those that wait."""
    made = _derivation(r, d)
    state = ahead(r.cells, np.int64(made[CELL]) * STATE)
    if made[PICK] == state[LATEST]:
        _widen(table, own, bench, r, np.int64(made[CELL]))
    after = _take(r, state)
    made[NEXT] = LAST if after == NONE else after
    if after != NONE:
        _derivation(r, after)[RANK] = made[RANK] + 1


@exact
def _advance(table, own, bench, r, d):
    """The next in rank after a derivation, LAST if there is none; cells further down are asked first."""
    depth = 0
    r.stack[0], r.stack[1] = d, _first_place(r, d)
    while depth >= 0:
        top = ahead(r.stack, 2 * depth)
        one, i = np.int64(top[0]), np.int64(top[1])
        made, count, below = _derivation(r, one), _read(table, own, bench, r, one), np.int64(NONE)
        while i < count:
            below = np.int64(made[HEADER + i])
            if below == NONE:
                below = _best(table, own, bench, r, np.int64(r.read[i]))
            after = np.int64(_derivation(r, below)[NEXT])
            if after == NONE:
                break
            if after != LAST:
                state = ahead(r.cells, np.int64(made[CELL]) * STATE)
                state[WAITING] = _melded(r, np.int64(state[WAITING]), _with(r, one, i, after))
            i += 1
        if i < count:
            top[1], top[2], top[3] = i, below, _first_place(r, below)
            depth += 1
        else:
            _rank(table, own, bench, r, one)
            depth -= 1
    return np.int64(_derivation(r, d)[NEXT])


@exact
def _write_down(table, own, bench, r, d, ink):
    """The steps of a derivation, as a walk takes them."""
    step, filled, queue = 0, 0, bench.queue
    while step <= filled:
        if step:
            d = np.int64(r.queue[step - 1])
            if d == NONE:
                d = _best(table, own, bench, r, np.int64(queue[step - 1]))
        made, before = _derivation(r, d), filled
        filled = follow(table, own, np.int64(made[CELL]), np.int64(made[PICK]), queue, 1, filled, ink, step)
        for i in range(filled - before):
            r.queue[before + i] = made[HEADER + i]
        step += 1


@exact
def _forget(bench, r):
    """Leave no cell known."""
    for d in range(r.used[0]):
        bench.known[np.int64(_derivation(r, d)[CELL])] = UNKNOWN
    r.used[0] = 0


@entry
def walk_k_best(cells, source, record, work, ranking, like, k, start, end):
    """The k best derivations of instances `start .. end - 1`, path `i * batch + b` the i-th of instance `b`."""
    table, bench, r = opened(cells), bench_of(record, work, like), _ranks_of(ranking)
    empty = pointer(source.empty, np.uint8(0))
    for b in range(start, end):
        own, top = instance_of(source, table, b), 0.0
        d = np.int64(NONE)  # the derivation without parts
        if not empty[b]:
            top = scores(bench.x, table, own, table.cells, like)
            d = _best(table, own, bench, r, table.cells) if top > -np.inf else np.int64(LAST)
        for i in range(k):
            path = i * source.batch + b
            begin(bench, path, 0, table.longest)
            if i and d != LAST:
                d = _advance(table, own, bench, r, d) if d != NONE else np.int64(LAST)
            if d >= 0:
                _write_down(table, own, bench, r, d, ink_of(bench, path, 0, bench.count))
            bench.feasible[path] = d != LAST
            r.scores[path] = -np.inf if d == LAST else top - (_losses(r, d)[LOSS] if d != NONE else 0.0)
            finish(bench, path, 0)
        _forget(bench, r)
