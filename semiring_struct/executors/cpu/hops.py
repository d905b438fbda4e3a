"""Draws that read one cell at a time: all paths of a group take the same step at once, in loops that wait for nothing.

Chains, segments, alignments: an alternative reads at most one cell, so that a path is at one place and has no queue. It
notes the lines that say what it wrote, and these are read when it has ended.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from semiring_struct.executors.cpu.cells import COLUMNS, COUNT, DENSE, FIRST
from semiring_struct.executors.cpu.edges import PAIR, say
from semiring_struct.executors.cpu.marks import weigh_cells
from semiring_struct.executors.cpu.native import STEP, ahead, either, exact, mixed, place_in, pointer, stream
from semiring_struct.executors.cpu.steps import mark, opened, search
from semiring_struct.kernels.entry import entry

FEW = 8  # paths whose labels are read side by side


class Ways(NamedTuple):
    """Where choices lead and what they say, as addresses; see `edges`."""

    following: int
    lines: int
    count: int
    pairs: int
    by_choice: int


class Crowd(NamedTuple):
    """One thread's own, as addresses: the code and the state that cells are weighed with, and a group of paths.

    `marks` are the choices of all cells, `begins (choices, pairs, 2)` what those of the answer say. Of the paths that
    have not ended, `who` are they, `now` their cells and `goals` their random marks. `trail (longest, pitch)` are the
    lines of all paths, `ends (group,)` how many each has; `labels` are `(FEW, width + 1)`.
    """

    code: int
    state: int
    marks: int
    begins: int
    who: int
    now: int
    goals: int
    trail: int
    ends: int
    labels: int
    group: int
    pitch: int


class Ground(NamedTuple):
    """`Ways` and `Crowd` with pointers in place of addresses."""

    following: Any
    lines: Any
    marks: Any
    begins: Any
    who: Any
    now: Any
    goals: Any
    trail: Any
    ends: Any
    labels: Any
    count: int
    pairs: int
    by_choice: int
    pitch: int


@exact
def _ground(ways, crowd, like):
    i, one = np.int32(0), mark(np.uint64(0), like)
    return Ground(
        pointer(ways.following, i), pointer(ways.lines, i), pointer(crowd.marks, one), pointer(crowd.begins, i),
        pointer(crowd.who, i), pointer(crowd.now, i), pointer(crowd.goals, one), pointer(crowd.trail, i),
        pointer(crowd.ends, i), pointer(crowd.labels, 0), ways.count, ways.pairs, ways.by_choice, crowd.pitch,
    )  # fmt: skip


@exact
def _aim(goals, who, count, place, apart, like):
    """The random marks of a step; places of neighbouring paths are `apart`."""
    for i in range(count):
        goals[i] = mark(mixed(place + np.uint64(who[i]) * apart), like)


@exact
def _begin(table, ground, root, count):
    """The choices of the answer, whose alternatives are the instance's own."""
    head = ahead(table.head, table.cells * COLUMNS)
    first, n, marks = np.int64(head[FIRST]), np.int64(head[COUNT]), ahead(ground.marks, np.int64(head[DENSE]))
    for i in range(count):
        pick = search(marks, n, ground.goals[i])
        a = first + pick
        t = np.int64(table.term[a]) if table.terms > 1 else 0
        start, to = np.int64(root[t * table.slots]), np.int32(-1)
        if start >= 0 and table.chart_slots:
            to = table.alias[start + np.int64(table.move[a * table.slots])]
        ground.trail[i], ground.now[i] = pick, to


@exact
def _walk(table, ground, line, count):
    """One choice of every path."""
    for i in range(count):
        cell = np.int64(ground.now[i])
        head = ahead(table.head, cell * COLUMNS)
        at = np.int64(head[DENSE])
        choice = at + search(ahead(ground.marks, at), np.int64(head[COUNT]), ground.goals[i])
        line[np.int64(ground.who[i])] = either(ground.by_choice != 0, choice, cell)
        ground.now[i] = ground.following[choice]


@exact
def _all(now, count):
    """Whether all paths go on."""
    least = np.int32(0)
    for i in range(count):
        least = min(least, now[i])
    return least >= 0


@exact
def _thin(ground, count, step):
    """Drop the paths that have ended; how many are left, and these are the first then."""
    left = 0
    for i in range(count):
        cell, path = ground.now[i], ground.who[i]
        ground.now[left], ground.who[left], ground.ends[np.int64(path)] = cell, path, step
        left += cell >= 0
    return left


@exact
def _steps(table, ground, root, count, place, apart, like):
    """All steps of the paths of a group."""
    for i in range(count):
        ground.who[i] = i
    step = 0
    while count:
        _aim(ground.goals, ground.who, count, place + np.uint64(step) * STEP, apart, like)
        if step:
            _walk(table, ground, ahead(ground.trail, step * ground.pitch), count)
        else:
            _begin(table, ground, root, count)
        step += 1
        if not _all(ground.now, count):
            count = _thin(ground, count, step)


@exact
def _read(ground, p, labels, apart, column, paths, start, end):
    """Add what pair `p` of the lines at steps `start .. end - 1` says, for neighbouring paths."""
    lines = ahead(ground.lines, PAIR * ground.count * p)
    for step in range(start, end):
        trail = ahead(ground.trail, step * ground.pitch + column)
        for j in range(paths):
            said = ahead(lines, PAIR * np.int64(trail[j]))
            labels[j * apart + np.int64(said[0])] += np.int64(said[1])


@exact
def _labels(ground, apart, column, count):
    """The labels of a few neighbouring paths: what their first choices say, then what all others do."""
    labels, trail, ends = ground.labels, ahead(ground.trail, column), ahead(ground.ends, column)
    together = np.int64(ends[0]) if count == FEW else 1
    for j in range(count):
        together = min(together, np.int64(ends[j]))
    for p in range(ground.pairs):
        for j in range(count):
            said = ahead(ground.begins, PAIR * (np.int64(trail[j]) * ground.pairs + p))
            labels[j * apart + np.int64(said[0])] += np.int64(said[1])
        _read(ground, p, labels, apart, column, FEW, 1, together)
        for j in range(count):
            _read(ground, p, ahead(labels, j * apart), apart, column + j, 1, together, np.int64(ends[j]))


@exact
def _hand_in(ground, out, apart, width, count, alive):
    """The labels of a group, a few paths at a time."""
    for start in range(0, count, FEW):
        few = min(FEW, count - start)
        for i in range(few * (width + 1)):
            ground.labels[i] = -1
        if alive:
            _labels(ground, width + 1, start, few)
        for j in range(few):
            theirs, ours = ahead(out, (start + j) * apart), ahead(ground.labels, j * (width + 1))
            for i in range(width):
                stream(theirs, i, ours[i])


@exact
def _begins(table, ground, record, root):
    """What the choices of the answer say."""
    head, size = ahead(table.head, table.cells * COLUMNS), PAIR * ground.pairs
    for i in range(np.int64(head[COUNT])):
        say(ahead(ground.begins, size * i), PAIR, ground.pairs, table, record, root, np.int64(head[FIRST]) + i)


@entry
def hop_draws(cells, ways, source, record, crowd, like, seed, samples, pieces, start, end):
    """Draws as labels, shared out as those of `walk_draws`; the choices of all cells are weighed beforehand."""
    table, ground, batch, width = opened(cells), _ground(ways, crowd, like), source.batch, record.width
    empty, feasible = pointer(source.empty, np.uint8(0)), pointer(record.feasible, np.uint8(0))
    code, state, labels = pointer(crowd.code, 0), pointer(crowd.state, 0), pointer(record.labels, 0)
    for task in range(start, end):
        b, piece = task // pieces, task % pieces
        root = ahead(pointer(source.root, np.int32(0)), b * table.terms * table.slots)
        alive = weigh_cells(ground.marks, table.head, code, state, b, start // pieces, like)
        if alive:
            _begins(table, ground, record, root)
        first, last = samples * piece // pieces, samples * (piece + 1) // pieces
        while first < last:
            count, path = min(crowd.group, last - first), first * batch + b
            if alive:
                place, apart = place_in(seed, path * table.longest), np.uint64(batch * table.longest) * STEP
                _steps(table, ground, root, count, place, apart, like)
            _hand_in(ground, ahead(labels, path * width), batch * width, width, count, alive)
            for i in range(count):
                feasible[path + i * batch] = alive or empty[b]
            first += count
