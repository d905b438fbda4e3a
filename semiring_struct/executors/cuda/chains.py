"""Steps of a chain: a vector of cells times a matrix of a field, turn after turn, in one tile.

The vector stays in registers from one turn to the next, so a turn reads its matrix and writes its cells, and waits for
nothing else. As in the eager machine, the largest cell comes off in float64 and the rest is narrow.
"""

from __future__ import annotations

import triton
import triton.language as tl

from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.cuda.places import late, place, target


@triton.jit
def _step(vector, matrix, sharp, KIND: tl.constexpr):
    """The alternatives `(from, to)`, the largest of each cell, its mass, and what was taken off all of them."""
    minus = float("-inf")
    base = tl.max(vector, 0)
    base = tl.where(base == minus, 0.0, base)
    x = (vector - base).to(matrix.dtype)[:, None] + matrix
    top = tl.max(x, 0)
    mass = top
    if KIND == at.SOFT:
        part = tl.exp((x - tl.where(top == minus, 0.0, top)[None, :]) * sharp)
        mass = tl.where(top == minus, 1.0, tl.sum(part, 0))
    return x, top, mass, base


@triton.jit
def _entries(code, move, j):
    """How far the entries of a matrix are from its first; narrow, since these stay in registers."""
    strides = code + move + at.STRIDES
    down, across = tl.load(strides + 5).to(tl.int32), tl.load(strides + 2).to(tl.int32)
    return (j * down)[:, None] + (j * across)[None, :]


@triton.jit
def chain_forward(code, block, own, rule, fields, charts, KIND: tl.constexpr, P: tl.constexpr):
    """All turns of a block that is a chain."""
    minus = float("-inf")
    row, head = tl.load(code + block + at.FIRST_ROW), tl.load(code + block + at.VECTOR)
    t, sharp = tl.load(rule + at.TEMPERATURE), tl.load(rule + at.SHARPNESS).to(fields.dtype.element_ty)
    j = tl.arange(0, P)
    live = j < tl.load(code + row + at.COUNT).to(tl.int32)
    start = place(code, head, 0, own) + j * tl.load(code + head + at.STRIDES + 5)
    vector = tl.load(charts + start, mask=live, other=minus)
    move = tl.load(code + block + at.MOVE)
    far, mask = _entries(code, move, j), live[:, None] & live[None, :]
    for turn in range(tl.load(code + block + at.TURNS)):
        here = (code, turn, own, rule, 0)
        matrix = tl.load(fields + place(code, move, turn, own) + far, mask=mask, other=minus)
        top, mass, base = _step(vector, matrix, sharp, KIND)[1:]
        value = base + tl.cast(top, tl.float64)
        if KIND == at.SOFT:
            value += t * tl.log(tl.cast(mass, tl.float64))
        value = late(value, here, row, fields, charts, (j * 0, j * 0, j), live)
        tl.store(charts + target(here, row) + j * tl.load(code + row + at.TO_STRIDES + 2), value, mask=live)
        vector = tl.where(live, value, minus)
    tl.debug_barrier()


@triton.jit
def _shares(x, top, mass, sharp, j, KIND: tl.constexpr):
    """The share of each alternative in its cell, 0 where all are forbidden."""
    minus = float("-inf")
    if KIND == at.SOFT:
        w = tl.exp((x - tl.where(top == minus, 0.0, top)[None, :]) * sharp) / mass[None, :]
    else:
        best = tl.min(tl.where(x == top[None, :], j[:, None], x.shape[0]), 0)
        chosen = (j[:, None] == tl.expand_dims(best, 0)) & (top > minus)[None, :]
        w = tl.where(chosen, 1.0, 0.0).to(x.dtype)
    return w


@triton.jit
def chain_reverse(code, block, own, rule, fields, charts, adjoint, slopes, KIND: tl.constexpr, P: tl.constexpr):
    """The turns of a block that is a chain backwards; a matrix that all turns share gains once, at the end."""
    narrow = fields.dtype.element_ty
    row, head = tl.load(code + block + at.FIRST_ROW), tl.load(code + block + at.VECTOR)
    move, turns = tl.load(code + block + at.MOVE), tl.load(code + block + at.TURNS)
    sharp, step = tl.load(rule + at.SHARPNESS).to(narrow), tl.load(code + move + at.STEP)
    j = tl.arange(0, P)
    count = tl.load(code + row + at.COUNT).to(tl.int32)
    live, own_turn, once = j < count, j < tl.where(step == 0, 0, count), j < tl.where(step == 0, count, 0)
    far, mask = _entries(code, move, j), live[:, None] & live[None, :]
    own_turn, once = own_turn[:, None] & live[None, :], once[:, None] & live[None, :]
    carried, gains = tl.zeros([P], narrow), tl.zeros([P, P], narrow)
    back = j * tl.load(code + head + at.STRIDES + 5)
    for t in range(1, turns + 1):
        here = (code, turns - t, own, rule, 0)
        spot = place(code, move, turns - t, own)
        matrix = tl.load(fields + spot + far, mask=mask, other=float("-inf"))
        vector = tl.load(charts + place(code, head, turns - t, own) + back, mask=live, other=float("-inf"))
        x, top, mass = _step(vector, matrix, sharp, KIND)[:3]
        cell = target(here, row) + j * tl.load(code + row + at.TO_STRIDES + 2)
        flow = carried + tl.load(adjoint + cell, mask=live, other=0.0)
        for f in range(tl.load(code + row + at.FIRST_LATE), tl.load(code + row + at.END_LATE), at.FACTOR):
            to = slopes + place(code, f, turns - t, own) + j * tl.load(code + f + at.STRIDES + 2)
            tl.store(to, tl.load(to, mask=live, other=0.0) + flow, mask=live)
        share = _shares(x, top, mass, sharp, j, KIND) * flow[None, :]
        gains += tl.where(step == 0, share, 0.0)
        tl.store(slopes + spot + far, tl.load(slopes + spot + far, mask=own_turn, other=0.0) + share, mask=own_turn)
        carried = tl.sum(share, 1)
        tl.debug_barrier()
    all_turns = slopes + place(code, move, 0, own) + far
    tl.store(all_turns, tl.load(all_turns, mask=once, other=0.0) + gains, mask=once)
    to = adjoint + place(code, head, 0, own) + back
    tl.store(to, tl.load(to, mask=live, other=0.0) + carried, mask=live)
    tl.debug_barrier()
