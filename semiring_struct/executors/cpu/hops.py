"""Draws that read one cell at a time: all paths of a group take the same step at once, in loops that wait for nothing.

Chains, segments, alignments: an alternative reads at most one cell, so that a path is at one place and has no queue.
"""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu.cells import COLUMNS, COUNT, FIRST
from semiring_struct.executors.cpu.native import STEP, ahead, either, entry, exact, inlined, mixed, place_in, pointer
from semiring_struct.executors.cpu.paths import ALIVE, DEAD, UNKNOWN, bench_of, instance_of, weigh
from semiring_struct.executors.cpu.steps import CODE, mark, opened, search

FEW = 4  # rows that are written side by side: those of more compete for the same places in the cache


@exact
def _aim(bench, count, step):
    """The random marks of a step."""
    for k in range(count):
        bench.goals[k] = mark(mixed(bench.places[k] + np.uint64(step) * STEP), bench.like)


@exact
def _learn(table, own, bench, count):
    """Weigh the cells that were never met before."""
    for k in range(count):
        cell = np.int64(bench.queue[k])
        if bench.known[cell] == UNKNOWN:
            bench.known[cell] = weigh(table, own, cell, bench, ahead(bench.marks, table.dense[cell]))


@exact
def _pick(table, bench, count):
    """Each path's alternative."""
    for k in range(count):
        cell = np.int64(bench.queue[k])
        head, marks = ahead(table.head, cell * COLUMNS), ahead(bench.marks, table.dense[cell])
        bench.picked[k] = np.int64(head[FIRST]) + search(marks, np.int64(head[COUNT]), bench.goals[k])


@inlined
def _terms(table, bases, bench, k):
    """Where the term of a path's alternative starts, and how far the alternative moves from there."""
    a, cell = np.int64(bench.picked[k]), np.int64(bench.queue[k])
    t = np.int64(table.term[a]) if table.terms > 1 else 0
    return ahead(bases, (cell * table.terms + t) * table.slots), ahead(table.move, a * table.slots)


@exact
def _write(table, bases, bench, count, q):
    """What the entries in slot `q` say."""
    code = ahead(bench.codes, CODE * np.int64(table.buffers[q]))
    first, pairs, none = code[0], code[1], code[2]
    for i in range(pairs):
        written = ahead(pointer(first, np.int32(0)), 2 * i)
        for k in range(count):
            base, move = _terms(table, bases, bench, k)
            at = either(base[q] >= 0, np.int64(base[q]) + np.int64(move[q]), none)
            pair = ahead(written, 2 * pairs * at)
            bench.labels[np.int64(pair[0]) * bench.group + bench.filled[k]] += pair[1]


@exact
def _move(table, bases, bench, count):
    """Go on to the cells that are read, -1 where none is; whether all paths read one."""
    every = table.chart_slots > 0
    for k in range(count):
        base, move = _terms(table, bases, bench, k)
        start = np.int64(base[0])
        if start >= 0 and table.chart_slots:
            bench.queue[k] = table.alias[start + np.int64(move[0])]
        else:
            bench.queue[k], every = -1, False
    return every


@exact
def _thin(bench, count):
    """Drop the paths that have ended; how many are left, and these are the first then."""
    left = 0
    for k in range(count):
        cell, place, j = bench.queue[k], bench.places[k], bench.filled[k]
        bench.queue[left], bench.places[left], bench.filled[left] = cell, place, j
        left += cell >= 0
    return left


@exact
def _begin(bench, own, batch, first, count, alive, longest, seed, answer):
    """No labels so far, and all paths of a group at the answer."""
    for i in range(bench.width * bench.group):
        bench.labels[i] = -1
    for j in range(count):
        path = (first + j) * batch + own.number
        bench.feasible[path] = alive
        bench.queue[j], bench.filled[j] = answer, j
        bench.places[j] = place_in(seed, path * longest)


@exact
def _finish(bench, own, batch, first, count):
    """Hand in the labels of a group, a few paths at a time."""
    for start in range(0, count, FEW):
        out = ahead(bench.all_labels, ((first + start) * batch + own.number) * bench.width)
        for i in range(bench.width):
            ours = ahead(bench.labels, i * bench.group + start)
            if start + FEW <= count:
                for j in range(FEW):
                    out[j * batch * bench.width + i] = ours[j]
            else:
                for j in range(count - start):
                    out[j * batch * bench.width + i] = ours[j]


@exact
def _steps(table, own, bench, count):
    """All steps of the paths of a group."""
    # at the first all paths are at the answer, whose terms are the instance's own
    step, bases = 0, ahead(own.root, -table.cells * table.terms * table.slots)
    while count:
        _aim(bench, count, step)
        _learn(table, own, bench, count)
        _pick(table, bench, count)
        for i in range(table.chart_slots, bench.count):
            _write(table, bases, bench, count, np.int64(bench.slots[i]))
        if not _move(table, bases, bench, count):
            count = _thin(bench, count)
        step, bases = step + 1, table.base


@entry
def hop_draws(cells, source, record, work, like, seed, samples, pieces, start, end):
    """Draws as labels, shared out as those of `walk_draws`; the choices of all cells are kept."""
    table, bench, batch = opened(cells), bench_of(record, work, like), source.batch
    empty = pointer(source.empty, np.uint8(0))
    for task in range(start, end):
        b, piece = task // pieces, task % pieces
        own = instance_of(source, table, b)
        for cell in range(table.cells + 1):
            bench.known[cell] = UNKNOWN
        answer, state = table.cells, UNKNOWN
        if not empty[b]:
            state = weigh(table, own, answer, bench, ahead(bench.marks, table.dense[answer]))
            bench.known[answer] = state
        first, last = samples * piece // pieces, samples * (piece + 1) // pieces
        while first < last:
            count = min(bench.group, last - first)
            _begin(bench, own, batch, first, count, state != DEAD, table.longest, seed, answer)
            # what is read with a chance above zero is alive, so that only the answer can be dead
            _steps(table, own, bench, count if state == ALIVE else 0)
            _finish(bench, own, batch, first, count)
            first += count
