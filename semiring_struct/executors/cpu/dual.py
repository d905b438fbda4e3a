"""The second channel: tangents forward, then adjoints and their tangents backward."""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.forward import shape_of
from semiring_struct.executors.cpu.native import ahead, cast, exact, inner, pointer
from semiring_struct.executors.cpu.reverse import noise_of, scale, spread_late
from semiring_struct.executors.cpu.sheets import fill, put, raise_by, write
from semiring_struct.executors.cpu.slopes import bends, slopes
from semiring_struct.executors.cpu.state import field, too_short, turn_to
from semiring_struct.executors.cpu.tiles import (
    ADD,
    CHARTS_ONLY,
    Spot,
    load,
    load_centred,
    load_head,
    place,
    spread,
    spread_head,
    target,
)  # fmt: skip
from semiring_struct.kernels.entry import entry


@exact
def _local(rule, code, state, row, spot, both, like):
    """The weights of a tile, and over the tangents of its alternatives those of the weights; or slopes alone."""
    load(pointer(state[col.MOVED], like), code, state, row, spot, pointer(state[col.DOT], like), col.DOTS_NOW, like)
    load_centred(code, state, row, spot, False, 0.0, like)
    shape, random = shape_of(row, spot), noise_of(code, state, row, spot)
    x, w, norm = pointer(state[col.X], like), pointer(state[col.WEIGHTS], like), pointer(state[col.NORM], like)
    if both:
        bends(rule, x, w, pointer(state[col.MOVED], like), shape, norm, random, like)
    else:
        slopes(rule, x, w, shape, norm, random, like)


@inner
def _tangent_tile(rule, code, state, row, spot, into, like):
    """The tangents of one tile's cells, written `into` those of the charts or of the answer."""
    n, shape = spot.count, shape_of(row, spot)
    rise, w, moved = pointer(state[col.FLOW], like), pointer(state[col.WEIGHTS], like), pointer(state[col.MOVED], like)
    fill(rise, n, 1, n, cast(0, like))
    if row[col.CHOOSES] and row[col.ALTERNATIVES] > 0:
        _local(rule, code, state, row, spot, False, like)
        for k in range(shape.alternatives):
            for j in range(n):
                i = k * shape.far + j * shape.near
                rise[j] += w[i] * moved[i]
    for i in range(row[col.FIRST_LATE], row[col.END_LATE], col.FACTOR):
        f = ahead(code, i)
        charted = f[col.BUFFER] == code[col.CHARTS]
        p = pointer(state[col.DOT], like) if charted else field(state, col.DOTS_NOW, f[col.BUFFER], like)
        raise_by(rise, n, 1, n, ahead(p, place(code, state, f, spot)), 0, f[col.DJ])
    write(ahead(into, target(row, spot)), 0, row[col.TO_J], rise, n, 1, n)


@inner
def _tangent_row(rule, code, state, row, turn, into, like):
    """The tangents of one row at one turn."""
    if row[col.CHARTED]:
        load_head(code, state, row, turn, like)
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            for j in range(0, row[col.NJ], row[col.TILE]):
                spot = Spot(turn, o0, o1, j, min(row[col.TILE], row[col.NJ] - j))
                _tangent_tile(rule, code, state, row, spot, into, like)


@inner
def _bent_tile(rule, code, state, row, spot, source, source_dot, like):
    """One tile: its adjoint and the tangent of its adjoint to those of its factors."""
    n, shape = spot.count, shape_of(row, spot)
    flow, flow_dot = pointer(state[col.FLOW], like), pointer(state[col.FLOW_DOT], like)
    w, moved = pointer(state[col.WEIGHTS], like), pointer(state[col.MOVED], like)
    adjoint, adjoint_dot = pointer(state[col.ADJOINT], like), pointer(state[col.ADJOINT_DOT], like)
    put(flow, n, 1, n, ahead(source, target(row, spot)), 0, row[col.TO_J])
    put(flow_dot, n, 1, n, ahead(source_dot, target(row, spot)), 0, row[col.TO_J])
    spread_late(flow, code, state, row, spot, adjoint, CHARTS_ONLY, like)
    spread_late(flow_dot, code, state, row, spot, adjoint_dot, ADD, like)
    if not row[col.CHOOSES] or row[col.ALTERNATIVES] == 0:
        return
    _local(rule, code, state, row, spot, True, like)
    for k in range(shape.alternatives):
        for j in range(n):
            i = k * shape.far + j * shape.near
            moved[i] = moved[i] * flow[j] + w[i] * flow_dot[j]
    scale(w, row, spot, flow)
    spread(w, code, state, row, spot, adjoint, pointer(state[col.SHARES], like), CHARTS_ONLY, like)
    spread(moved, code, state, row, spot, adjoint_dot, pointer(state[col.SHARES_DOT], like), ADD, like)


@inner
def _bent_row(rule, code, state, row, turn, source, source_dot, like):
    """One row at one turn."""
    count, shares = row[col.ALTERNATIVES], pointer(state[col.SHARES], like)
    shares_dot = pointer(state[col.SHARES_DOT], like)
    if row[col.CHARTED]:
        load_head(code, state, row, turn, like)
        fill(shares, count, 1, count, cast(0, like))
        fill(shares_dot, count, 1, count, cast(0, like))
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            for j in range(0, row[col.NJ], row[col.TILE]):
                spot = Spot(turn, o0, o1, j, min(row[col.TILE], row[col.NJ] - j))
                _bent_tile(rule, code, state, row, spot, source, source_dot, like)
    if row[col.CHARTED]:
        spread_head(code, state, row, turn, pointer(state[col.ADJOINT], like), shares)
        spread_head(code, state, row, turn, pointer(state[col.ADJOINT_DOT], like), shares_dot)


@entry
def dual(rule, like, code_at, state_at, start, end):
    """The total's derivative along the tangents, and the seed times its Hessian times the tangents into the slopes.

    Slopes are to come filled with 0, and so is what the seed's own tangent is read from.
    """
    code, state = pointer(code_at, np.int64(0)), pointer(state_at, np.int64(0))
    first, last = code[col.FIRST_BLOCK], code[col.END_BLOCK] - col.BLOCK
    for b in range(start, end):
        turn_to(state, b)
        answer, seed = pointer(state[col.RISE_NOW], like), pointer(state[col.SEED_NOW], like)
        still = pointer(state[col.STILL_NOW], like)
        if too_short(code, state):
            fill(answer, 1, 1, state[col.OUT], cast(0, like))
            continue
        dot, adjoint = pointer(state[col.DOT], like), pointer(state[col.ADJOINT], like)
        adjoint_dot = pointer(state[col.ADJOINT_DOT], like)
        for buffer in (dot, adjoint, adjoint_dot):
            fill(buffer, 1, 1, code[col.CELLS], cast(0, like))
        for i in range(first, last + col.BLOCK, col.BLOCK):
            block, into = ahead(code, i), answer if i == last else dot
            for turn in range(block[col.TURNS]):
                for r in range(block[col.FIRST_ROW], block[col.END_ROW], col.ROW):
                    _tangent_row(rule, code, state, ahead(code, r), turn, into, like)
        for i in range(last, first - col.BLOCK, -col.BLOCK):
            block = ahead(code, i)
            source, source_dot = (seed, still) if i == last else (adjoint, adjoint_dot)
            for turn in range(block[col.TURNS] - 1, -1, -1):
                for r in range(block[col.END_ROW] - col.ROW, block[col.FIRST_ROW] - col.ROW, -col.ROW):
                    _bent_row(rule, code, state, ahead(code, r), turn, source, source_dot, like)
