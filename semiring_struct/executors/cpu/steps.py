"""One step of a walk: weigh what a cell can be made of, pick one, note its entries, queue the cells that it reads.

Steps are handed pointers, not arrays: arrays are counted references, and counting them takes longer than a step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from semiring_struct.executors.cpu.cells import COLUMNS, FIRST, ROW, UNEVEN
from semiring_struct.executors.cpu.native import (
    WIDE,
    ahead,
    cast,
    either,
    exact,
    exp,
    inlined,
    loose,
    not_above,
    pointer,
)

CODE = 3  # columns of `codes`


class Table(NamedTuple):
    """`Cells` with pointers in place of addresses."""

    head: Any
    base: Any
    alias: Any
    term: Any
    move: Any
    bounds: Any
    stride: Any
    buffers: Any
    terms: int
    slots: int
    chart_slots: int
    cells: int
    longest: int


class Instance(NamedTuple):
    """What the cells of one instance are made of: its charts, the fields' addresses, `base` of its answer.

    Its cells lie `apart` from one to the next. Of the fields these are the addresses and the bytes from one instance to
    the next.
    """

    charts: Any
    apart: int
    address: Any
    stride: Any
    root: Any
    number: int


LABELS, ENTRIES, EVENTS = range(3)  # what is written of a path: its labels, each entry used, how often each is


class Ink(NamedTuple):
    """Where path `path` is written down; `codes`, `used` and `sizes` are as in `Record`, `labels` are its own."""

    how: int
    path: int
    labels: Any
    codes: Any
    used: Any
    sizes: Any
    slots: Any
    count: int
    like: Any


@exact
def opened(cells):
    """The table for the steps of a walk."""
    i = np.int32(0)
    return Table(
        pointer(cells.head, i), pointer(cells.base, i), pointer(cells.alias, i), pointer(cells.term, i),
        pointer(cells.move, i), pointer(cells.bounds, i), pointer(cells.stride, i), pointer(cells.buffers, i),
        cells.terms, cells.slots, cells.chart_slots, cells.cells, cells.longest,
    )  # fmt: skip


@inlined
def base_of(table, own, cell):
    """Where the terms of a cell start, `(terms, slots)`."""
    return own.root if cell == table.cells else ahead(table.base, np.int64(cell) * table.terms * table.slots)


@exact
def scores(x, table, own, cell, like):
    """Log-weights of all alternatives of a cell into `x`, float64; their largest."""
    head, base = ahead(table.head, np.int64(cell) * COLUMNS), base_of(table, own, cell)
    first, row, top = np.int64(head[FIRST]), np.int64(head[ROW]), -np.inf
    for t in range(table.terms):
        bounds = ahead(table.bounds, row * (table.terms + 1) + t)
        start, n = np.int64(bounds[0]), np.int64(bounds[1] - bounds[0])
        if n > 0:
            stride = ahead(table.stride, (row * table.terms + t) * table.slots)
            moves = ahead(table.move, (first + start) * table.slots)
            top = max(top, _term(ahead(x, start), n, table, own, ahead(base, t * table.slots), stride, moves, like))
    return top


@inlined
def _term(x, n, table, own, base, stride, moves, like):
    """The alternatives of one term: factors that all of these share, then two that differ, then the others."""
    shared, one, two, others = 0.0, -1, -1, 0
    for q in range(table.slots):
        if base[q] < 0:
            continue
        if stride[q] == 0:
            shared += _charted(own, base, q)[0] if q < table.chart_slots else _read(table, own, base, q, like)[0]
        elif stride[q] != UNEVEN and two < 0:
            one, two = (q, -1) if one < 0 else (one, q)
        else:
            others += 1
    top = _two(x, n, table, own, base, stride, one, two, shared, like)
    if others:
        for q in range(table.slots):
            if base[q] < 0 or stride[q] == 0 or q in (one, two):
                continue
            if q < table.chart_slots:
                _add(x, n, _charted(own, base, q), np.int64(stride[q]), own.apart, ahead(moves, q), table.slots)
            else:
                _add(x, n, _read(table, own, base, q, like), np.int64(stride[q]), 1, ahead(moves, q), table.slots)
        top = _most(x, n)
    return top


@inlined
def _charted(own, base, q):
    """A factor from charts."""
    return ahead(own.charts, np.int64(base[q]) * own.apart)


@inlined
def _read(table, own, base, q, like):
    """A factor from a field."""
    f = np.int64(table.buffers[q])
    return ahead(pointer(own.address[f] + own.stride[f] * own.number, like), np.int64(base[q]))


@inlined
def _two(x, n, table, own, base, stride, one, two, shared, like):
    """The sums of `shared` and the factors in slots `one` and `two`, if there are any; the largest."""
    if one < 0:
        for i in range(n):
            x[i] = shared
        return shared
    step = np.int64(stride[one])
    if two < 0:
        if one < table.chart_slots:
            return _put(x, n, _charted(own, base, one), step * own.apart, shared)
        return _put(x, n, _read(table, own, base, one, like), step, shared)
    other = np.int64(stride[two])
    if two < table.chart_slots:
        p, q = _charted(own, base, one), _charted(own, base, two)
        return _put_two(x, n, p, step * own.apart, q, other * own.apart, shared)
    if one < table.chart_slots:
        p, r = _charted(own, base, one), _read(table, own, base, two, like)
        return _put_two(x, n, p, step * own.apart, r, other, shared)
    s, r = _read(table, own, base, one, like), _read(table, own, base, two, like)
    return _put_two(x, n, s, step, r, other, shared)


@loose
def _put(x, n, p, step, shared):
    top = -np.inf
    for i in range(n):
        v = np.float64(p[i * step]) + shared
        x[i] = v
        top = max(top, v)
    return top


@loose
def _put_two(x, n, p, step, q, other, shared):
    top = -np.inf
    for i in range(n):
        v = np.float64(p[i * step]) + np.float64(q[i * other]) + shared
        x[i] = v
        top = max(top, v)
    return top


@exact
def _add(x, n, p, step, apart, moves, slots):
    if step == UNEVEN:
        for i in range(n):
            x[i] += p[np.int64(moves[i * slots]) * apart]
    else:
        for i in range(n):
            x[i] += p[i * step * apart]


@loose
def _most(x, n):
    """The largest of `n` numbers, none of them NaN: compared in any order, several at a time."""
    top = -np.inf
    for i in range(n):
        top = max(top, x[i])
    return top


@exact
def first_of(x, n, top):
    """Where the first of `n` numbers stands that is `top`; the last of them where none is."""
    at = n - 1
    for i in range(n):
        at = min(at, i if x[i] == top else n)
    return at


def mark(bits, like):
    """A whole number with as many bits as a mark has, 30 beside float32 and 62 beside float64, from 64 random bits."""


@overload(mark)
def _mark(bits, like):
    if like == types.float32:
        return lambda bits, like: np.int32(bits >> np.uint64(34))
    return lambda bits, like: np.int64(bits >> np.uint64(2))


def share(x, like):
    """A share of one, as a mark."""


@overload(share)
def _share(x, like):
    if like == types.float32:
        return lambda x, like: np.int32(x * np.float32(2**30))
    return lambda x, like: np.int64(x * 2.0**62)


@exact
def choices(marks, x, w, n, top, like):
    """The chances of `n` alternatives as marks along a line: the first mark above a random one is a draw.

    `w` has room for the chances.
    """
    for i in range(n):
        w[i] = exp(cast(x[i] - top, like))
    # four running sums side by side: one alone would wait for every addition
    quarter = (n + 3) // 4
    a = b = c = d = cast(0, like)
    whole = max(n - 3 * quarter, 0)
    for i in range(whole):
        j, k, m = i + quarter, i + 2 * quarter, i + 3 * quarter
        a += w[i]
        b += w[j]
        c += w[k]
        d += w[m]
        w[i], w[j], w[k], w[m] = a, b, c, d
    for i in range(whole, quarter):
        j, k, m = i + quarter, i + 2 * quarter, i + 3 * quarter
        a += w[i]
        w[i] = a
        if j < n:
            b += w[j]
            w[j] = b
        if k < n:
            c += w[k]
            w[k] = c
        if m < n:
            d += w[m]
            w[m] = d
    scale = cast(1, like) / (a + b + c + d)
    last = share(cast(1, like), like)
    _raise(marks, w, 0, min(quarter, n), cast(0, like), scale, like)
    _raise(marks, w, quarter, min(2 * quarter, n), a, scale, like)
    _raise(marks, w, 2 * quarter, min(3 * quarter, n), a + b, scale, like)
    _raise(marks, w, 3 * quarter, n, a + b + c, scale, like)
    end = n - 1
    while end > 0 and marks[end] == marks[end - 1]:
        end -= 1
    for i in range(end, n):
        marks[i] = last


@exact
def _raise(marks, w, start, end, by, scale, like):
    for i in range(start, end):
        marks[i] = share((w[i] + by) * scale, like)


@inlined
def search(marks, n, goal):
    """How many of `n` ascending marks are not above the goal, the last of them left out; WIDE of them can be read."""
    low = 0
    while n > WIDE:
        half = n >> 1
        low = either(marks[low + half - 1] <= goal, low + half, low)
        n -= half
    return low + not_above(ahead(marks, low), n - 1, goal)


@inlined
def follow(table, own, cell, pick, queue, apart, filled, ink, step):
    """Note the entries of the picked alternative, queue the cells that it reads; returns how many are queued then.

    A path's queued cells lie `apart` from one to the next.
    """
    a, base = np.int64(table.head[np.int64(cell) * COLUMNS + FIRST]) + pick, base_of(table, own, cell)
    t = np.int64(table.term[a]) if table.terms > 1 else 0
    base, move = ahead(base, t * table.slots), ahead(table.move, a * table.slots)
    for i in range(ink.count):
        q = np.int64(ink.slots[i])
        start = np.int64(base[q])
        if start >= 0:
            to = start + np.int64(move[q])
            if q < table.chart_slots:
                queue[filled * apart] = table.alias[to]
                filled += 1
            elif ink.how == ENTRIES:
                used = pointer(ink.used[q], 0)
                used[ink.path * table.longest + step] = to
            elif ink.how == EVENTS:
                event = pointer(ink.used[q], ink.like)
                event[ink.path * ink.sizes[q] + to] += 1
            else:
                write(ahead(ink.codes, CODE * np.int64(table.buffers[q])), ink.labels, to)
    return filled


@inlined
def write(code, labels, entry):
    """What an entry says: pairs of a slot and what to add there, so many of them from the address on."""
    pairs = pointer(code[0], np.int32(0))
    for i in range(entry * code[1], (entry + 1) * code[1]):
        labels[np.int64(pairs[2 * i])] += pairs[2 * i + 1]
