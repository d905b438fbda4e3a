"""Rows that move from the alternatives of a head to many cells through one field read at unit stride, as a chain's do.

The same numbers as by tiles, in fewer passes over memory: nothing but weights is kept.
"""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import MOST, SOFT
from semiring_struct.executors.cpu.native import ahead, alone, cast, exact, exp, inner, loose, pointer
from semiring_struct.executors.cpu.sheets import add_logs, centre_on, invert, settle, times
from semiring_struct.executors.cpu.state import field, wide
from semiring_struct.executors.cpu.tiles import WRITE, place

FEWEST = 4  # cells side by side that make a loop over them worth while


@exact
def moves(rule, row, spot):
    """Whether the values of a tile are taken here."""
    return row[col.AS_MOVE] > 0 and spot.count >= FEWEST and (rule.kind == SOFT or rule.kind == MOST)


@loose
def _tops(head, p, far, k, n, top):
    """The largest of every cell's alternatives, four of them at a time."""
    alone()
    for j in range(n):
        top[j] = head[0] + p[j]
    whole = 1 + (k - 1) // 4 * 4
    for i in range(1, whole, 4):
        a, b, c, d = ahead(p, i * far), ahead(p, (i + 1) * far), ahead(p, (i + 2) * far), ahead(p, (i + 3) * far)
        for j in range(n):
            x = max(max(head[i] + a[j], head[i + 1] + b[j]), max(head[i + 2] + c[j], head[i + 3] + d[j]))
            top[j] = max(top[j], x)
    for i in range(whole, k):
        line = ahead(p, i * far)
        for j in range(n):
            top[j] = max(top[j], head[i] + line[j])


@loose
def _masses(head, p, far, k, n, top, sharpness, mass):
    """The sum of the exponentials of a cell's alternatives less `top`."""
    alone()
    for j in range(n):
        mass[j] = 0
    for i in range(k):
        v, line = head[i], ahead(p, i * far)
        for j in range(n):
            mass[j] += exp((v + line[j] - top[j]) * sharpness)


@loose
def _weights(w, head, p, far, k, n, top, sharpness, mass):
    """The same, keeping the exponentials."""
    alone()
    for j in range(n):
        mass[j] = 0
    for i in range(k):
        v, line, out = head[i], ahead(p, i * far), ahead(w, i * n)
        for j in range(n):
            e = exp((v + line[j] - top[j]) * sharpness)
            out[j] = e
            mass[j] += e


@loose
def _running(w, head, p, far, k, n, top, mass):
    """The running sums of the exponentials of a cell's alternatives less `top`."""
    alone()
    for j in range(n):
        mass[j] = 0
    for i in range(k):
        v, line, out = head[i], ahead(p, i * far), ahead(w, i * n)
        for j in range(n):
            mass[j] += exp(v + line[j] - top[j])
            out[j] = mass[j]


@loose
def _written(q, far, w, k, n, factor, shares):
    """`q = w * factor`, and its sum over each line added to the head's shares."""
    alone()
    for i in range(k):
        line, out = ahead(w, i * n), ahead(q, i * far)
        s = shares[i]
        for j in range(n):
            f = line[j] * factor[j]
            out[j] = f
            s += f
        shares[i] = s


@loose
def _given(q, far, w, k, n, factor, shares):
    """The same with `q += w * factor`."""
    alone()
    for i in range(k):
        line, out = ahead(w, i * n), ahead(q, i * far)
        s = shares[i]
        for j in range(n):
            f = line[j] * factor[j]
            out[j] += f
            s += f
        shares[i] = s


@inner
def move_values(rule, code, state, row, spot, shift, v, like):
    """The values of a tile's cells, their late factors aside."""
    f, n, k = ahead(code, row[col.AS_MOVE]), spot.count, row[col.ALTERNATIVES]
    head, top = pointer(state[col.HEAD_NARROW], like), pointer(state[col.TOP], like)
    mass, t = pointer(state[col.NORM], like), cast(rule.temperature, like)
    p = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), place(code, state, f, spot))
    _tops(head, p, f[col.E2], k, n, top)
    settle(v, top, n, shift, cast(-np.inf, like), cast(0, like))
    if rule.kind == MOST:
        return
    _masses(head, p, f[col.E2], k, n, top, cast(1 / rule.temperature, like), mass)
    add_logs(v, mass, n, t)


@inner
def move_sums(w, code, state, row, spot, like):
    """The running sums of the exponentials of a tile's alternatives, each cell's less the largest of them."""
    f, n, k = ahead(code, row[col.AS_MOVE]), spot.count, row[col.ALTERNATIVES]
    head, top = pointer(state[col.HEAD_NARROW], like), pointer(state[col.TOP], like)
    p = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), place(code, state, f, spot))
    _tops(head, p, f[col.E2], k, n, top)
    settle(wide(state, col.CREST), top, n, 0.0, cast(-np.inf, like), cast(0, like))
    _running(w, head, p, f[col.E2], k, n, top, pointer(state[col.NORM], like))


@inner
def move_flows(rule, code, state, row, spot, shift, flow, how, like):
    """The adjoints of a tile's cells, whose values stand in the crest, to the head and to the field."""
    f, n, k = ahead(code, row[col.AS_MOVE]), spot.count, row[col.ALTERNATIVES]
    head, top = pointer(state[col.HEAD_NARROW], like), pointer(state[col.TOP], like)
    norm, w, crest = pointer(state[col.NORM], like), pointer(state[col.WEIGHTS], like), wide(state, col.CREST)
    at, shares = place(code, state, f, spot), pointer(state[col.SHARES], like)
    centre_on(top, crest, n, shift, cast(np.inf, like), cast(0, like))
    p = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), at)
    _weights(w, head, p, f[col.E2], k, n, top, cast(1 / rule.temperature, like), norm)
    invert(norm, n, cast(1, like), cast(0, like))
    times(norm, n, flow)
    q = ahead(field(state, col.SLOPES_NOW, f[col.BUFFER], like), at)
    if how == WRITE and f[col.SOLE]:
        _written(q, f[col.E2], w, k, n, norm, shares)
    else:
        _given(q, f[col.E2], w, k, n, norm, shares)
