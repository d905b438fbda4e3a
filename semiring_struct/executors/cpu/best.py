"""The best derivation of each instance in compiled code."""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu.cells import COLUMNS, COUNT
from semiring_struct.executors.cpu.native import ahead, exact, inlined, pointer
from semiring_struct.executors.cpu.paths import advance, begin, bench_of, finish, instance_of
from semiring_struct.executors.cpu.steps import first_of, opened, scores
from semiring_struct.kernels.entry import entry


@inlined
def _noted(source, b, cell):
    """Which alternative of a cell is its largest, -1 where that is not known."""
    if source.picks == 0:
        return np.int64(-1)
    return np.int64(pointer(source.picks, np.int32(0))[b * source.pitch + cell * source.apart])


@exact
def _step(table, source, bench, step, start, end):
    """One step of instances `start .. end - 1`; whether there is another."""
    busy, queue, x = False, ahead(bench.queue, (step - 1) * bench.group), bench.x
    for b in range(start, end):
        j = b - start
        if bench.filled[j] < step:
            continue
        own, cell, pick = instance_of(source, table, b), table.cells, np.int64(-1)
        if step:
            cell = np.int64(queue[j])
            pick = _noted(source, b, cell)
        if pick < 0:
            top = scores(x, table, own, cell, bench.like)
            if top == -np.inf:
                bench.feasible[b] = 0
                continue
            pick = first_of(x, np.int64(table.head[cell * COLUMNS + COUNT]), top)
        busy |= advance(table, own, bench, b, j, cell, pick, step)
    return busy


@entry
def walk_best(cells, source, record, work, like, start, end):
    """The best derivations of instances `start .. end - 1`, the first alternative on ties.

    Instances go in groups that take their steps side by side: the processor works on many of them at once.
    """
    table, bench = opened(cells), bench_of(record, work, like)
    empty = pointer(source.empty, np.uint8(0))
    for first in range(start, end, bench.group):
        last = min(first + bench.group, end)
        for b in range(first, last):
            begin(bench, b, b - first, table.longest)
            bench.filled[b - first] = -1 if empty[b] else 0
        step = 0
        while _step(table, source, bench, step, first, last):
            step += 1
        for b in range(first, last):
            finish(bench, b, b - first)
