"""The kernels: one program per instance walks the table, row after row, in tiles of cells and their alternatives.

Charts and crests are float64; exponentials see only differences and run in the dtype of the fields. Every sum over tied
dims is made by the lanes that own its target, in a fixed order: there is no atomic operation, and two runs agree bit by
bit. What a row writes others read back, hence a barrier after each row and each pull.
"""

from __future__ import annotations

import triton
import triton.language as tl

from semiring_struct.executors.cuda import columns as at

FIRST_BLOCK, END_BLOCK, ANSWER = (tl.constexpr(i) for i in (at.FIRST_BLOCK, at.END_BLOCK, at.ANSWER))
LEAST, SIDES, FIELDS, CELLS = (tl.constexpr(i) for i in (at.LEAST, at.SIDES, at.FIELDS, at.CELLS))
OUT, ROOM, BLOCK = (tl.constexpr(i) for i in (at.OUT, at.ROOM, at.BLOCK))
TURNS, FIRST_ROW, END_ROW, ROW = (tl.constexpr(i) for i in (at.TURNS, at.FIRST_ROW, at.END_ROW, at.ROW))
COUNT, SIZES, TO, TO_STEP = (tl.constexpr(i) for i in (at.COUNT, at.SIZES, at.TO, at.TO_STEP))
TO_STRIDES, NUMBERS, ORDER = (tl.constexpr(i) for i in (at.TO_STRIDES, at.NUMBERS, at.ORDER))
FIRST_TERM, END_TERM, TERM = (tl.constexpr(i) for i in (at.FIRST_TERM, at.END_TERM, at.TERM))
FIRST_LATE, END_LATE = (tl.constexpr(i) for i in (at.FIRST_LATE, at.END_LATE))
FIRST_PULL, END_PULL, PULL = (tl.constexpr(i) for i in (at.FIRST_PULL, at.END_PULL, at.PULL))
START, FIRST_FACTOR, END_FACTOR = (tl.constexpr(i) for i in (at.START, at.FIRST_FACTOR, at.END_FACTOR))
CHARTED, OFFSET, STEP, STRIDES = (tl.constexpr(i) for i in (at.CHARTED, at.OFFSET, at.STEP, at.STRIDES))
FIRST_LENGTH, END_LENGTH = (tl.constexpr(i) for i in (at.FIRST_LENGTH, at.END_LENGTH))
FACTOR, LENGTH = (tl.constexpr(i) for i in (at.FACTOR, at.LENGTH))
OF_TERM, TO_FACTOR, LANES, TIED = (tl.constexpr(i) for i in (at.OF_TERM, at.TO_FACTOR, at.LANES, at.TIED))
SERIAL, LANE_SIZES = (tl.constexpr(i) for i in (at.SERIAL, at.LANE_SIZES))
ONE = tl.constexpr(1)
TIED_SIZES, SERIAL_SIZES = (tl.constexpr(i) for i in (at.TIED_SIZES, at.SERIAL_SIZES))


@triton.jit
def _digits(i, sizes):
    """The index along each of six dims of entries numbered `i`."""
    n5 = tl.load(sizes + 5).to(tl.int32)
    n4 = tl.load(sizes + 4).to(tl.int32)
    n3 = tl.load(sizes + 3).to(tl.int32)
    n2 = tl.load(sizes + 2).to(tl.int32)
    n1 = tl.load(sizes + 1).to(tl.int32)
    i4 = i // n5
    i3 = i4 // n4
    i2 = i3 // n3
    i1 = i2 // n2
    i0 = i1 // n1
    return i0, i1 - i0 * n1, i2 - i1 * n2, i3 - i2 * n3, i4 - i3 * n4, i - i4 * n5


@triton.jit
def _reach(d, strides):
    """How far six indices lead."""
    near = d[0] * tl.load(strides) + d[1] * tl.load(strides + 1) + d[2] * tl.load(strides + 2)
    return near + d[3] * tl.load(strides + 3) + d[4] * tl.load(strides + 4) + d[5] * tl.load(strides + 5)


@triton.jit
def _place(code, f, turn, own):
    """Where a factor starts at a turn of its loop, for the instance's own lengths."""
    at = tl.load(code + f + OFFSET) + tl.load(code + f + STEP) * turn
    for i in range(tl.load(code + f + FIRST_LENGTH), tl.load(code + f + END_LENGTH), LENGTH):
        at += tl.load(own + tl.load(code + i)) * tl.load(code + i + 1)
    return at


@triton.jit
def _times(x, code, first, end, turn, own, fields, charts, left, right, mask):
    """`x` plus the factors `first .. end` at indices `left` (down) and `right` (across)."""
    for f in range(first, end, FACTOR):
        strides = code + f + STRIDES
        at = _place(code, f, turn, own) + _reach(left, strides)[:, None] + _reach(right, strides)[None, :]
        if tl.load(code + f + CHARTED) != 0:
            x += tl.load(charts + at, mask=mask, other=0.0)
        else:
            x += tl.load(fields + at, mask=mask, other=0.0).to(tl.float64)
    return x


@triton.jit
def _settle(
    code, row, turn, own, fields, charts, left, live, MOST: tl.constexpr, A: tl.constexpr, B: tl.constexpr
):  # fmt: skip
    """Of `A` cells of a row: the value, and the number of the first best alternative (-1: none) where `MOST`."""
    minus = float("-inf")
    narrow = fields.dtype.element_ty
    top = tl.full([A], minus, tl.float64)
    mass = tl.zeros([A], narrow)
    pick = tl.full([A], -1, tl.int64)
    for term in range(tl.load(code + row + FIRST_TERM), tl.load(code + row + END_TERM), TERM):
        size = tl.load(code + term).to(tl.int32)
        first, end = tl.load(code + term + FIRST_FACTOR), tl.load(code + term + END_FACTOR)
        for k in range(0, size, B):
            s = k + tl.arange(0, B)
            right = _digits(s, code + term + 1)
            mask = live[:, None] & (s < size)[None, :]
            x = tl.zeros([A, B], tl.float64)
            x = _times(x, code, first, end, turn, own, fields, charts, left, right, mask)
            x = tl.where(mask, x, minus)
            most = tl.max(x, 1)
            if MOST:
                number = tl.min(tl.where(x == tl.expand_dims(most, 1), s[None, :], size), 1) + tl.load(
                    code + term + START
                )
                pick = tl.where(most > top, number, pick)
                top = tl.maximum(top, most)
            else:
                higher = tl.maximum(top, most)
                crest = tl.where(higher == minus, 0.0, higher)
                mass = mass * tl.exp((top - crest).to(narrow))
                mass += tl.sum(tl.exp((x - crest[:, None]).to(narrow)), 1)
                top = higher
    if not MOST:
        top = tl.where(top == minus, minus, top + tl.log(tl.where(top == minus, 1.0, mass.to(tl.float64))))
    return top, pick


@triton.jit
def _fill(code, row, turn, own, alive, fields, charts, out, MOST: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """Write a row's cells to `out`; 0 where the instance is the empty structure."""
    count = tl.load(code + row + COUNT).to(tl.int32)
    to = tl.load(code + row + TO) + tl.load(code + row + TO_STEP) * turn
    for start in range(0, count, A):
        i = start + tl.arange(0, A)
        left = _digits(i, code + row + SIZES)
        live = i < tl.where(alive, count, 0)
        value, _ = _settle(code, row, turn, own, fields, charts, left, live, MOST, A, B)
        none = _digits(tl.arange(0, 1), code + row + SIZES)
        late = tl.zeros([A, 1], tl.float64)
        late = _times(
            late, code, tl.load(code + row + FIRST_LATE), tl.load(code + row + END_LATE), turn, own, fields, charts,
            left, none, live[:, None],
        )  # fmt: skip
        value = tl.where(alive, value + tl.sum(late, 1), 0.0)
        tl.store(out + to + _reach(left, code + row + TO_STRIDES), value, mask=i < count)
    tl.debug_barrier()


@triton.jit
def _crests(code, row, turn, own, alive, fields, charts, scratch, MOST: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """What the weights of a row's alternatives need to know of their cells: the sum, or the number of the best."""
    count = tl.load(code + row + COUNT).to(tl.int32)
    for start in range(0, count, A):
        i = start + tl.arange(0, A)
        live = i < tl.where(alive, count, 0)
        left = _digits(i, code + row + SIZES)
        value, pick = _settle(code, row, turn, own, fields, charts, left, live, MOST, A, B)
        if MOST:
            value = pick.to(tl.float64)
        tl.store(scratch + i, value, mask=i < count)
    tl.debug_barrier()


@triton.jit
def _weights(x, code, row, term, left, right, scratch, mask, narrow: tl.constexpr, MOST: tl.constexpr):
    """The share of each alternative in its cell."""
    numbers = code + row + NUMBERS
    crest = tl.load(scratch + _reach(left, numbers)[:, None] + _reach(right, numbers)[None, :], mask=mask, other=-1.0)
    if MOST:
        order = code + term + ORDER
        own = tl.load(code + term + START) + _reach(left, order)[:, None] + _reach(right, order)[None, :]
        weight = tl.where(own.to(tl.float64) == crest, 1.0, 0.0).to(narrow)
    else:
        dead = crest == float("-inf")
        weight = tl.where(dead, 0.0, tl.exp((x - tl.where(dead, 0.0, crest)).to(narrow)))
    return weight


@triton.jit
def _pull(
    code, row, pull, turn, own, alive, fields, charts, scratch, flow_from, adjoint, slopes, MOST: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Every cell of a factor collects its share of the adjoints `flow_from` of a row's cells."""
    narrow = fields.dtype.element_ty
    lanes = tl.where(alive, tl.load(code + pull + LANES), 0).to(tl.int32)
    tied = tl.load(code + pull + TIED).to(tl.int32)
    term, f = tl.load(code + pull + OF_TERM), tl.load(code + pull + TO_FACTOR)
    to = tl.load(code + row + TO) + tl.load(code + row + TO_STEP) * turn
    for z in range(tl.load(code + pull + SERIAL).to(tl.int32)):
        apart = _digits(z, code + pull + SERIAL_SIZES)
        for start in range(0, lanes, A):
            i = start + tl.arange(0, A)
            d = _digits(i, code + pull + LANE_SIZES)
            left = (
                d[0] + apart[0], d[1] + apart[1], d[2] + apart[2], d[3] + apart[3], d[4] + apart[4], d[5] + apart[5],
            )  # fmt: skip
            gained = tl.zeros([A], narrow)
            for k in range(0, tied, B):
                r = k + tl.arange(0, B)
                right = _digits(r, code + pull + TIED_SIZES)
                mask = (i < lanes)[:, None] & (r < tied)[None, :]
                strides = code + row + TO_STRIDES
                cell = to + _reach(left, strides)[:, None] + _reach(right, strides)[None, :]
                flow = tl.load(flow_from + cell, mask=mask, other=0.0)
                if term >= 0:
                    x = tl.zeros([A, B], tl.float64)
                    if not MOST:
                        first, end = tl.load(code + term + FIRST_FACTOR), tl.load(code + term + END_FACTOR)
                        x = _times(x, code, first, end, turn, own, fields, charts, left, right, mask)
                    flow = flow * _weights(x, code, row, term, left, right, scratch, mask, narrow, MOST)
                gained += tl.sum(tl.where(mask, flow, 0.0), 1)
            at = _place(code, f, turn, own) + _reach(left, code + f + STRIDES)
            mine = i < lanes
            if tl.load(code + f + CHARTED) != 0:
                tl.store(adjoint + at, tl.load(adjoint + at, mask=mine, other=0.0) + gained, mask=mine)
            else:
                tl.store(slopes + at, tl.load(slopes + at, mask=mine, other=0.0) + gained, mask=mine)
        tl.debug_barrier()


@triton.jit
def _back(
    code, row, turn, own, alive, fields, charts, scratch, flow_from, adjoint, slopes, MOST: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, PULL_A: tl.constexpr, PULL_B: tl.constexpr,
):  # fmt: skip
    """Pass the adjoints of a row's cells on to all its factors."""
    _crests(code, row, turn, own, alive, fields, charts, scratch, MOST, A, B)
    for pull in range(tl.load(code + row + FIRST_PULL), tl.load(code + row + END_PULL), PULL):
        if tl.load(code + pull + TIED) == 1:
            _pull(
                code, row, pull, turn, own, alive, fields, charts, scratch, flow_from, adjoint, slopes, MOST,
                PULL_A * PULL_B, ONE,
            )  # fmt: skip
        else:
            _pull(
                code, row, pull, turn, own, alive, fields, charts, scratch, flow_from, adjoint, slopes, MOST,
                PULL_A, PULL_B,
            )  # fmt: skip


@triton.jit
def _alive(code, own):
    """Whether the answer's cells exist at the instance's lengths; else it is the empty structure."""
    least = code + tl.load(code + LEAST)
    most = tl.load(code + SIDES) * 0
    for side in range(tl.load(code + SIDES)):
        most = tl.maximum(most, tl.load(least + side) - tl.load(own + side))
    return most <= 0


@triton.jit
def forward(code, fields, lengths, charts, value, MOST: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """All charts and the answer of one instance; `fields` holds those of an instance one after the other."""
    b = tl.program_id(0).to(tl.int64)
    fields += b * tl.load(code + FIELDS)
    charts += b * tl.load(code + CELLS)
    value += b * tl.load(code + OUT)
    own = lengths + b * tl.load(code + SIDES)
    alive = _alive(code, own)
    every = tl.load(code + SIDES) >= 0
    for block in range(tl.load(code + FIRST_BLOCK), tl.load(code + END_BLOCK), BLOCK):
        for turn in range(tl.load(code + block + TURNS)):
            for row in range(tl.load(code + block + FIRST_ROW), tl.load(code + block + END_ROW), ROW):
                _fill(code, row, turn, own, every, fields, charts, charts, MOST, A, B)
    last = tl.load(code + ANSWER)
    for row in range(tl.load(code + last + FIRST_ROW), tl.load(code + last + END_ROW), ROW):
        _fill(code, row, 0, own, alive, fields, charts, value, MOST, A, B)


@triton.jit
def reverse(
    code, fields, lengths, charts, seed, scratch, adjoint, slopes, MOST: tl.constexpr, A: tl.constexpr,
    B: tl.constexpr, PULL_A: tl.constexpr, PULL_B: tl.constexpr,
):  # fmt: skip
    """`seed` times the gradient of one instance's answer, added to `slopes`; `adjoint` starts as zeros."""
    b = tl.program_id(0).to(tl.int64)
    fields += b * tl.load(code + FIELDS)
    slopes += b * tl.load(code + FIELDS)
    charts += b * tl.load(code + CELLS)
    adjoint += b * tl.load(code + CELLS)
    seed += b * tl.load(code + OUT)
    scratch += b * tl.load(code + ROOM)
    own = lengths + b * tl.load(code + SIDES)
    alive = _alive(code, own)
    every = tl.load(code + SIDES) >= 0
    last = tl.load(code + ANSWER)
    for row in range(tl.load(code + last + FIRST_ROW), tl.load(code + last + END_ROW), ROW):
        _back(
            code, row, 0, own, alive, fields, charts, scratch, seed, adjoint, slopes, MOST, A, B, PULL_A, PULL_B
        )  # fmt: skip
    first, end = tl.load(code + FIRST_BLOCK), tl.load(code + END_BLOCK)
    for q in range(BLOCK, end - first + BLOCK, BLOCK):
        block = end - q
        turns = tl.load(code + block + TURNS)
        first_row, end_row = tl.load(code + block + FIRST_ROW), tl.load(code + block + END_ROW)
        for t in range(1, turns + 1):
            for r in range(ROW, end_row - first_row + ROW, ROW):
                _back(
                    code, end_row - r, turns - t, own, every, fields, charts, scratch, adjoint, adjoint, slopes, MOST,
                    A, B, PULL_A, PULL_B,
                )  # fmt: skip
