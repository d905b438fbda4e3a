"""Rows that are products of matrices, of all lanes at once; see `executors.cpu.products` for the way it is done."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.lanes import state as now
from semiring_struct.executors.cpu.lanes.multiply import Sizes, multiply, multiply_back
from semiring_struct.executors.cpu.lanes.tiles import Spot, add, put, raise_by
from semiring_struct.executors.cpu.lanes.vectors import (
    LANES,
    below,
    flows,
    keep,
    larger,
    loaded,
    more,
    narrow,
    ratio,
    settled,
    spread,
    wide,
)  # fmt: skip
from semiring_struct.executors.cpu.native import ahead, alone, cast, exact, exp, inner, log, pointer
from semiring_struct.executors.cpu.products import least_of
from semiring_struct.executors.cpu.sheets import fill


class Walk(NamedTuple):
    """How a factor is read into a sheet: three outer loops, then lines, then along a line.

    Of each: its size, the column with the factor's stride, and the distance in the sheet (1 along a line).
    """

    n0: int
    by0: int
    to0: int
    n1: int
    by1: int
    to1: int
    n2: int
    by2: int
    to2: int
    lines: int
    by_line: int
    pitch: int
    n: int
    by: int


@exact
def _sizes(m):
    return Sizes(m[col.P0] * m[col.P1], m[col.K0] * m[col.K1] * m[col.K2], m[col.Q0] * m[col.Q1])


@exact
def _left_walk(m):
    k1, k2 = m[col.K1], m[col.K2]
    k = m[col.K0] * k1 * k2
    return Walk(
        m[col.P0], col.DJ, m[col.P1] * k, m[col.K0], col.E0, k1 * k2, k1, col.E1, k2, m[col.P1], col.OWN, k, k2, col.E2
    )


@exact
def _right_walk(m):
    k1, k2, q1 = m[col.K1], m[col.K2], m[col.Q1]
    q = m[col.Q0] * q1
    return Walk(
        m[col.K0], col.E0, k1 * k2 * q, k1, col.E1, k2 * q, m[col.Q0], col.DJ, q1, k2, col.E2, q, q1, col.OWN
    )


@exact
def _cell_walk(m):
    """Of a factor that waits until the product is made."""
    q1 = m[col.Q1]
    q = m[col.Q0] * q1
    return Walk(
        m[col.P0], col.DJ, m[col.P1] * q, 1, col.E2, 0, m[col.Q0], col.E0, q1, m[col.P1], col.OWN, q, q1, col.E1
    )


@exact
def _start(f, spot):
    return f[col.OFFSET] + f[col.STEP] * spot.turn + f[col.D0] * spot.o0 + f[col.D1] * spot.o1


@exact
def _load(x, code, state, first, end, anew, walk, spot, like):
    """The sum of factors into a sheet of wide numbers, or onto what is there."""
    for i in range(first, end, col.FACTOR):
        f = ahead(code, i)
        at = _start(f, spot)
        for a in range(walk.n0):
            for b in range(walk.n1):
                for c in range(walk.n2):
                    here = at + a * f[walk.by0] + b * f[walk.by1] + c * f[walk.by2]
                    sheet = ahead(x, (a * walk.to0 + b * walk.to1 + c * walk.to2) * LANES)
                    _load_one(sheet, code, state, f, here, anew and i == first, walk, like)


@exact
def _load_one(sheet, code, state, f, here, first, walk, like):
    lines, n, apart, step = walk.lines, walk.n, f[walk.by_line], f[walk.by]
    if f[col.BUFFER] == code[col.CHARTS]:
        p = ahead(now.charts_of(state), here)
        if first:
            put(sheet, walk.pitch, lines, n, p, apart, step)
        else:
            raise_by(sheet, walk.pitch, lines, n, p, apart, step)
    else:
        q = ahead(pointer(state[now.FIELDS], like), here)
        if first:
            put(sheet, walk.pitch, lines, n, q, apart, step)
        else:
            raise_by(sheet, walk.pitch, lines, n, q, apart, step)


@exact
def _give(x, code, state, first, end, walk, spot, like):
    """A sheet of adjoints to those of all factors."""
    for i in range(first, end, col.FACTOR):
        f = ahead(code, i)
        p = pointer(state[now.ADJOINT], like)
        if f[col.BUFFER] != code[col.CHARTS]:
            p = now.slopes_of(state, f[col.BUFFER], like)
        p = ahead(p, _start(f, spot))
        for a in range(walk.n0):
            for b in range(walk.n1):
                for c in range(walk.n2):
                    here = ahead(p, a * f[walk.by0] + b * f[walk.by1] + c * f[walk.by2])
                    sheet = ahead(x, (a * walk.to0 + b * walk.to1 + c * walk.to2) * LANES)
                    add(here, f[walk.by_line], f[walk.by], sheet, walk.pitch, walk.lines, walk.n)


@exact
def _narrowed(logs, exps, tops, x, lines, n, sharpness):
    """Lines less their largest entry, which goes to `tops` (0 in place of `-inf`), and the exponentials of these."""
    alone()
    sharp = spread(sharpness)
    for i in range(lines):
        line, top = ahead(x, i * n * LANES), spread(-np.inf)
        for j in range(n):
            top = larger(top, loaded(ahead(line, j * LANES)))
        top = settled(top)
        keep(ahead(tops, i * LANES), top)
        for j in range(n):
            at = (i * n + j) * LANES
            v = narrow(loaded(ahead(x, at)) - top, sharpness)
            keep(ahead(logs, at), v)
            keep(ahead(exps, at), exp(v * sharp))


@exact
def _right(code, state, m, spot, sharpness, like):
    """Fill the right side, if it is not there already."""
    filled, s, x = now.words(state, now.FILLED), _sizes(m), pointer(state[now.X], 0.0)
    if m[col.FIXED] and filled[m[col.SLOT]]:
        return
    at = m[col.AT_RIGHT] * LANES
    _load(x, code, state, m[col.FIRST_RIGHT], m[col.END_RIGHT], True, _right_walk(m), spot, like)
    shift = ahead(pointer(state[now.SHIFT], 0.0), m[col.AT_SHIFT] * LANES)
    logs, exps = ahead(pointer(state[now.RIGHT_LOG], like), at), ahead(pointer(state[now.RIGHT_EXP], like), at)
    _narrowed(logs, exps, shift, x, s.k, s.q, sharpness)
    if state[now.BACK]:
        fill(ahead(pointer(state[now.RIGHT_BAR], like), at), 1, 1, s.k * s.q * LANES, cast(0, like))
        fill(ahead(pointer(state[now.RIGHT_DONE], like), at), 1, 1, s.k * s.q * LANES, cast(0, like))
    filled[m[col.SLOT]] = 1


@inner
def _sides(rule, code, state, m, spot, like):
    """Fill both sides; the shifts of the left one's rows go to `TOPS`."""
    sharpness, s = cast(1 / rule.temperature, like), _sizes(m)
    _right(code, state, m, spot, sharpness, like)
    x, shift = pointer(state[now.X], 0.0), ahead(pointer(state[now.SHIFT], 0.0), m[col.AT_SHIFT] * LANES)
    _load(x, code, state, m[col.FIRST_LEFT], m[col.END_LEFT], True, _left_walk(m), spot, like)
    raise_by(x, s.k, s.p, s.k, shift, 0, LANES)
    logs, exps = pointer(state[now.LEFT_LOG], like), pointer(state[now.LEFT_EXP], like)
    _narrowed(logs, exps, pointer(state[now.TOPS], 0.0), x, s.p, s.k, sharpness)


@exact
def _again(left, right, s, sharpness):
    """The largest of the sums of a row and a column of logarithms, and the mass of all of them beside it."""
    top, sharp = spread(cast(-np.inf, sharpness)), spread(sharpness)
    for i in range(s.k):
        top = larger(top, loaded(ahead(left, i * LANES)) + loaded(ahead(right, i * s.q * LANES)))
    mass, centre = spread(cast(0, sharpness)), settled(top)
    for i in range(s.k):
        x = loaded(ahead(left, i * LANES)) + loaded(ahead(right, i * s.q * LANES)) - centre
        mass = mass + exp(x * sharp)
    return top, mass


@exact
def _values(code, state, m, temperature, like):
    """Cells of a loaded product into `VALUES`: what waits is not added yet."""
    s, at = _sizes(m), m[col.AT_RIGHT] * LANES
    v, mass, tops = pointer(state[now.VALUES], 0.0), pointer(state[now.WEIGHTS], like), pointer(state[now.TOPS], 0.0)
    right, logs = ahead(pointer(state[now.RIGHT_EXP], like), at), ahead(pointer(state[now.RIGHT_LOG], like), at)
    left = pointer(state[now.LEFT_LOG], like)
    multiply(mass, pointer(state[now.LEFT_EXP], like), right, s, cast(0, like))
    t, least, sharpness = spread(cast(temperature, like)), spread(least_of(s.k, like)), cast(1 / temperature, like)
    for i in range(s.p):
        top = loaded(ahead(tops, i * LANES))
        for j in range(i * s.q, i * s.q + s.q):
            keep(ahead(v, j * LANES), top + wide(log(loaded(ahead(mass, j * LANES))) * t))
        for j in range(s.q):
            here = (i * s.q + j) * LANES
            if below(loaded(ahead(mass, here)), least):
                crest, total = _again(ahead(left, i * s.k * LANES), ahead(logs, j * LANES), s, sharpness)
                keep(ahead(v, here), top + wide(crest) + wide(log(total) * t))


@exact
def _cells(m, spot, to, i, c):
    """Where row `i` and outer column `c` of a product stand among its cells."""
    at = to + m[col.TO_B0] * spot.o0 + m[col.TO_B1] * spot.o1 + c * m[col.TO_Q0]
    return at + (i // m[col.P1]) * m[col.TO_P0] + (i % m[col.P1]) * m[col.TO_P1]


@exact
def product_forward(rule, code, state, row, turn, like):
    """One row at one turn of its loop."""
    m = ahead(code, row[col.AS_PRODUCT])
    s, q0, q1 = _sizes(m), m[col.Q0], m[col.Q1]
    v, charts = pointer(state[now.VALUES], 0.0), now.charts_of(state)
    to = row[col.TO] + row[col.TO_STEP] * turn
    for o0 in range(m[col.B0]):
        for o1 in range(m[col.B1]):
            spot = Spot(turn, o0, o1, 0, 1)
            _sides(rule, code, state, m, spot, like)
            _values(code, state, m, rule.temperature, like)
            _load(v, code, state, m[col.FIRST_WAIT], m[col.END_WAIT], False, _cell_walk(m), spot, like)
            for i in range(s.p):
                for c in range(q0):
                    out, line = ahead(charts, _cells(m, spot, to, i, c)), ahead(v, (i * s.q + c * q1) * LANES)
                    for j in range(q1):
                        keep(ahead(out, j * m[col.TO_Q1]), loaded(ahead(line, j * LANES)))


@exact
def _flows(code, state, m, temperature, like):
    """Adjoints of the cells, in `FLOW`, over their masses; cells without a certificate are settled here, set to 0."""
    s, at = _sizes(m), m[col.AT_RIGHT] * LANES
    mass, flow = pointer(state[now.WEIGHTS], like), pointer(state[now.FLOW], like)
    bar, done = pointer(state[now.LEFT_BAR], like), ahead(pointer(state[now.RIGHT_DONE], like), at)
    left, logs = pointer(state[now.LEFT_LOG], like), ahead(pointer(state[now.RIGHT_LOG], like), at)
    least, sharpness, none = spread(least_of(s.k, like)), cast(1 / temperature, like), spread(cast(0, like))
    sharp = spread(sharpness)
    for i in range(s.p):
        for j in range(s.q):
            here = (i * s.q + j) * LANES
            g, total = loaded(ahead(flow, here)), loaded(ahead(mass, here))
            if not below(total, least):
                keep(ahead(flow, here), ratio(g, total))
                continue
            keep(ahead(flow, here), none)
            if not flows(g):
                continue
            row, column = ahead(left, i * s.k * LANES), ahead(logs, j * LANES)
            crest, total = _again(row, column, s, sharpness)
            g, crest = ratio(g, total), settled(crest)
            for h in range(s.k):
                x = loaded(ahead(row, h * LANES)) + loaded(ahead(column, h * s.q * LANES)) - crest
                w = g * exp(x * sharp)
                p, r = ahead(bar, (i * s.k + h) * LANES), ahead(done, (h * s.q + j) * LANES)
                keep(p, loaded(p) + w)
                keep(r, loaded(r) + w)


@exact
def _settle_right(code, state, m, spot, like):
    """The adjoints that a right side has gathered, to its factors."""
    s, at = _sizes(m), m[col.AT_RIGHT] * LANES
    bar, done = ahead(pointer(state[now.RIGHT_BAR], like), at), ahead(pointer(state[now.RIGHT_DONE], like), at)
    e = ahead(pointer(state[now.RIGHT_EXP], like), at)
    for i in range(s.k * s.q):
        here = ahead(done, i * LANES)
        keep(here, more(loaded(ahead(e, i * LANES)), loaded(ahead(bar, i * LANES)), loaded(here)))
    _give(done, code, state, m[col.FIRST_RIGHT], m[col.END_RIGHT], _right_walk(m), spot, like)


@exact
def product_reverse(rule, code, state, row, turn, like):
    """One row at one turn of its loop: the adjoints of its cells to those of its factors."""
    m, zero = ahead(code, row[col.AS_PRODUCT]), cast(0, like)
    s, q0, q1, at = _sizes(m), m[col.Q0], m[col.Q1], m[col.AT_RIGHT] * LANES
    flow, adjoint = pointer(state[now.FLOW], like), pointer(state[now.ADJOINT], like)
    a, bar = pointer(state[now.LEFT_EXP], like), pointer(state[now.LEFT_BAR], like)
    done = pointer(state[now.LEFT_DONE], like)
    b, b_bar = ahead(pointer(state[now.RIGHT_EXP], like), at), ahead(pointer(state[now.RIGHT_BAR], like), at)
    to = row[col.TO] + row[col.TO_STEP] * turn
    for o0 in range(m[col.B0]):
        for o1 in range(m[col.B1]):
            spot = Spot(turn, o0, o1, 0, 1)
            _sides(rule, code, state, m, spot, like)
            for i in range(s.p):
                for c in range(q0):
                    p, line = ahead(adjoint, _cells(m, spot, to, i, c)), ahead(flow, (i * s.q + c * q1) * LANES)
                    for j in range(q1):
                        keep(ahead(line, j * LANES), loaded(ahead(p, j * m[col.TO_Q1])))
            _give(flow, code, state, m[col.FIRST_WAIT], m[col.END_WAIT], _cell_walk(m), spot, like)
            multiply(pointer(state[now.WEIGHTS], like), a, b, s, zero)
            fill(bar, 1, 1, s.p * s.k * LANES, zero)
            _flows(code, state, m, rule.temperature, like)
            multiply_back(done, b_bar, a, b, flow, s, zero)
            add(bar, 0, LANES, done, s.p * s.k, 1, s.p * s.k)
            _give(bar, code, state, m[col.FIRST_LEFT], m[col.END_LEFT], _left_walk(m), spot, like)
            if not m[col.FIXED]:
                _settle_right(code, state, m, spot, like)


@exact
def open_products(code, state, group):
    """Before a group: no right side is filled, but those that stay as they are if a pass over the group went before."""
    if state[now.OPENED] != group:
        fill(now.words(state, now.FILLED), 1, 1, code[col.SLOTS], 0)
    state[now.OPENED] = group


@exact
def close_products(code, state, like):
    """After a group: what fixed right sides have gathered goes to their factors, once for each."""
    filled = now.words(state, now.FILLED)
    for i in range(code[col.FIRST_PRODUCT], code[col.END_PRODUCT], col.PRODUCT):
        m = ahead(code, i)
        if m[col.FIXED] and filled[m[col.SLOT]]:
            _settle_right(code, state, m, Spot(0, 0, 0, 0, 1), like)
            filled[m[col.SLOT]] = 0
    state[now.OPENED] = -1
