"""Walks in compiled code: what they read and write, and draws, which share what they have weighed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from semiring_struct.executors.cpu.cells import COLUMNS, COUNT, DENSE
from semiring_struct.executors.cpu.native import ahead, exact, inlined, pointer, random_bits
from semiring_struct.executors.cpu.steps import ENTRIES, Ink, Instance, choices, follow, mark, opened, scores, search
from semiring_struct.kernels.entry import entry

UNKNOWN, DEAD, ALIVE = range(3)


class Source(NamedTuple):
    """What every walk reads, as addresses, and the number of instances.

    `root (batch, terms, slots)` int32 is `base` of the answers; `empty (batch,)` marks instances too short for the
    answer's cells; of the fields these are their own addresses and the bytes between instances; cell `x` of instance
    `b` is number `b * pitch + x * apart` of `charts` and, unless these are 0, of `picks` (see `visits.Charts`).
    """

    root: int
    empty: int
    charts: int
    picks: int
    pitch: int
    apart: int
    address: int
    stride: int
    batch: int


class Record(NamedTuple):
    """What walks leave behind, as addresses: `feasible (paths,)` and, as `how` says, one of these.

    LABELS: `labels (paths, width)`. ENTRIES: `used[q]` is the address of those of slot `q`, `(paths, longest)`, 0 for
    none. EVENTS: the same of how often each entry is used, `(paths, sizes[q])`, zeros to begin with.
    `codes[f]` are the address of what the entries of field `f` write, `(entries + 1, q, 2)` int32 pairs of a label and
    what to add to it, then q, then the number of entries. Pairs that say nothing, and those after the last entry, write
    label `width`, which nobody reads. The `count` slots worth a look are `slots`: of charts, and of fields of which
    anything is kept.
    """

    feasible: int
    labels: int
    used: int
    sizes: int
    codes: int
    slots: int
    count: int
    width: int
    how: int


class Work(NamedTuple):
    """One thread's own, as addresses: a cell's alternatives and chances, a group's queues and labels, and choices.

    Of `group` paths side by side `queue (longest + 1, group)` holds the cells that wait, `filled` how many have been
    queued, `labels` are `(group, width + 1)`. `marks` are the choices of all `known` cells if they are kept, or of one.
    """

    x: int
    chances: int
    queue: int
    filled: int
    labels: int
    marks: int
    known: int
    group: int
    keep: int


class Bench(NamedTuple):
    """`Record` and `Work` with pointers in place of addresses; `like` is a zero as narrow as the fields."""

    feasible: Any
    all_labels: Any
    used: Any
    sizes: Any
    codes: Any
    slots: Any
    x: Any
    chances: Any
    queue: Any
    filled: Any
    labels: Any
    marks: Any
    known: Any
    count: int
    width: int
    how: int
    group: int
    keep: int
    like: Any


@exact
def bench_of(record, work, like):
    """`record` and `work`, opened."""
    flag, small, one = np.uint8(0), np.int32(0), mark(np.uint64(0), like)
    return Bench(
        pointer(record.feasible, flag), pointer(record.labels, 0), pointer(record.used, 0), pointer(record.sizes, 0),
        pointer(record.codes, 0), pointer(record.slots, small), pointer(work.x, 0.0), pointer(work.chances, like),
        pointer(work.queue, small), pointer(work.filled, 0), pointer(work.labels, small), pointer(work.marks, one),
        pointer(work.known, flag), record.count, record.width, record.how, work.group, work.keep, like,
    )  # fmt: skip


@exact
def instance_of(source, table, b):
    """Instance `b` of those that a walk reads."""
    root = ahead(pointer(source.root, np.int32(0)), b * table.terms * table.slots)
    charts = ahead(pointer(source.charts, 0.0), b * source.pitch)
    return Instance(charts, source.apart, pointer(source.address, 0), pointer(source.stride, 0), root, b)


@entry
def find_roots(root_at, least_at, lengths_at, sides, width, out_at, short_at, batch):
    """Of each instance: `base` of its answer `(batch, width)` int32, and whether it is too short for one `(batch,)`."""
    root, least, lengths = pointer(root_at, 0), pointer(least_at, 0), pointer(lengths_at, 0)
    out, short = pointer(out_at, np.int32(0)), pointer(short_at, np.uint8(0))
    for b in range(batch):
        for i in range(width):
            to = root[i]
            for side in range(sides):
                to += root[(1 + side) * width + i] * lengths[b * sides + side]
            out[b * width + i] = to
        short[b] = 0
        for side in range(sides):
            short[b] |= lengths[b * sides + side] < least[side]


@exact
def begin(bench, path, j, longest):
    """Nothing used so far by a path, the `j`-th of its group."""
    bench.feasible[path] = 1
    labels = ahead(bench.labels, j * (bench.width + 1))
    for i in range(bench.width):
        labels[i] = -1
    if bench.how == ENTRIES:
        for k in range(bench.count):
            address = bench.used[bench.slots[k]]
            if address:
                used = ahead(pointer(address, 0), path * longest)
                for i in range(longest):
                    used[i] = -1


@exact
def finish(bench, path, j):
    """Hand in the labels of a path."""
    ours, out = ahead(bench.labels, j * (bench.width + 1)), ahead(bench.all_labels, path * bench.width)
    for i in range(bench.width):
        out[i] = ours[i]


@inlined
def ink_of(bench, path, j, count):
    """Where path `path`, the `j`-th of its group, is written down, as far as the first `count` slots go."""
    labels = ahead(bench.labels, j * (bench.width + 1))
    return Ink(bench.how, path, labels, bench.codes, bench.used, bench.sizes, bench.slots, count, bench.like)


@inlined
def advance(table, own, bench, path, j, cell, pick, step):
    """Follow what path `path`, the `j`-th of its group, picked; whether more cells wait than this one."""
    ink, queue = ink_of(bench, path, j, bench.count), ahead(bench.queue, j)
    bench.filled[j] = follow(table, own, cell, pick, queue, bench.group, bench.filled[j], ink, step)
    return bench.filled[j] > step


@exact
def weigh(table, own, cell, bench, marks):
    """The choices of a cell; whether there are any."""
    top = scores(bench.x, table, own, cell, bench.like)
    if top == -np.inf:
        return DEAD
    choices(marks, bench.x, bench.chances, np.int64(table.head[cell * COLUMNS + COUNT]), top, bench.like)
    return ALIVE


@exact
def _step(table, own, bench, batch, step, first, count, seed):
    """One step of `count` paths of an instance, the first of them of sample `first`; whether there is another."""
    busy, queue, marks = False, ahead(bench.queue, (step - 1) * bench.group), bench.marks
    for j in range(count):
        if bench.filled[j] < step:
            continue
        cell, state = table.cells, UNKNOWN
        if step:
            cell = np.int64(queue[j])
        if bench.keep:
            state = np.int64(bench.known[cell])
            marks = ahead(bench.marks, np.int64(table.head[cell * COLUMNS + DENSE]))
        if state == UNKNOWN:
            state = weigh(table, own, cell, bench, marks)
            bench.known[cell if bench.keep else 0] = state
        path = (first + j) * batch + own.number
        if state == DEAD:
            bench.feasible[path] = 0
            continue
        goal = mark(random_bits(seed, path * table.longest + step), bench.like)
        pick = search(marks, np.int64(table.head[cell * COLUMNS + COUNT]), goal)
        busy |= advance(table, own, bench, path, j, cell, pick, step)
    return busy


@entry
def walk_draws(cells, source, record, work, like, seed, samples, pieces, start, end):
    """Draws, in tasks `start .. end - 1`: task `i` is piece `i % pieces` of the samples of instance `i // pieces`.

    Paths go in groups that take their steps side by side: the processor works on many of them at once.
    """
    table, bench, batch = opened(cells), bench_of(record, work, like), source.batch
    empty = pointer(source.empty, np.uint8(0))
    for task in range(start, end):
        b, piece = task // pieces, task % pieces
        own = instance_of(source, table, b)
        for cell in range(table.cells + 1 if bench.keep else 1):
            bench.known[cell] = UNKNOWN
        first, last = samples * piece // pieces, samples * (piece + 1) // pieces
        while first < last:
            count, step, busy = min(bench.group, last - first), 0, not empty[b]
            for j in range(count):
                begin(bench, (first + j) * batch + b, j, table.longest)
                bench.filled[j] = 0
            while busy:
                busy = _step(table, own, bench, batch, step, first, count, seed)
                step += 1
            for j in range(count):
                finish(bench, (first + j) * batch + b, j)
            first += count
