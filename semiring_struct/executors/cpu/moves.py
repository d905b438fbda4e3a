"""Rows that move from the alternatives of a head to many cells through one field read at unit stride, as a chain's do.

The same numbers as by tiles, in fewer passes over memory: nothing but weights is kept.
"""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import MOST, SOFT
from semiring_struct.executors.cpu.native import ahead, alone, cast, exact, exp, inner, loose, pointer
from semiring_struct.executors.cpu.sheets import add_logs, centre_on, invert, put, settle, times, write
from semiring_struct.executors.cpu.state import field, wide
from semiring_struct.executors.cpu.tiles import WRITE, place, target

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
def _leads(head, p, far, k, n, top, picks):
    """The same, and which alternatives these are, the first of tied ones."""
    alone()
    for j in range(n):
        top[j], picks[j] = head[0] + p[j], 0
    whole = 1 + (k - 1) // 4 * 4
    for i in range(1, whole, 4):
        a, b, c, d = ahead(p, i * far), ahead(p, (i + 1) * far), ahead(p, (i + 2) * far), ahead(p, (i + 3) * far)
        for j in range(n):
            x, y, z, w = head[i] + a[j], head[i + 1] + b[j], head[i + 2] + c[j], head[i + 3] + d[j]
            left, right = np.int32(i if x >= y else i + 1), np.int32(i + 2 if z >= w else i + 3)
            x, z = max(x, y), max(z, w)
            left, x = left if x >= z else right, max(x, z)
            picks[j] = picks[j] if top[j] >= x else left
            top[j] = max(top[j], x)
    for i in range(whole, k):
        line = ahead(p, i * far)
        for j in range(n):
            x = head[i] + line[j]
            picks[j] = picks[j] if top[j] >= x else np.int32(i)
            top[j] = max(top[j], x)


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
def _weights(w, pitch, head, p, far, k, n, top, sharpness, mass):
    """The same, keeping the exponentials in lines `pitch` apart."""
    alone()
    for j in range(n):
        mass[j] = 0
    for i in range(k):
        v, line, out = head[i], ahead(p, i * far), ahead(w, i * pitch)
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
def _shared(q, far, k, n, factor, shares):
    """The exponentials in `q` times a factor, and the sum of each line added to the head's shares."""
    alone()
    for i in range(k):
        line, s = ahead(q, i * far), shares[i]
        for j in range(n):
            f = line[j] * factor[j]
            line[j] = f
            s += f
        shares[i] = s


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


@exact
def keeps(state, f):
    """Whether one pass keeps chances for the next: of a field with one reader, see `reuse.over_slopes`."""
    return state[col.KEPT_ALL] != 0 and f[col.SOLE]


@inner
def move_values(rule, code, state, row, spot, shift, v, like):
    """The values of a tile's cells, their late factors aside."""
    f, n, k = ahead(code, row[col.AS_MOVE]), spot.count, row[col.ALTERNATIVES]
    head, top = pointer(state[col.HEAD_NARROW], like), pointer(state[col.TOP], like)
    mass, sharpness = pointer(state[col.NORM], like), cast(1 / rule.temperature, like)
    at = place(code, state, f, spot)
    p = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), at)
    if rule.kind == MOST and state[col.PICKS_ALL] != 0:
        picks, none = pointer(state[col.WEIGHTS], np.int32(0)), np.int32(0)
        _leads(head, p, f[col.E2], k, n, top, picks)
        kept = ahead(pointer(state[col.PICKS_NOW], none), target(row, spot))
        write(kept, 0, row[col.TO_J], picks, n, 1, n)
    else:
        _tops(head, p, f[col.E2], k, n, top)
    settle(v, top, n, shift, cast(-np.inf, like), cast(0, like))
    if rule.kind == MOST:
        return
    if keeps(state, f):
        q = ahead(field(state, col.KEPT_NOW, f[col.BUFFER], like), at)
        _weights(q, f[col.E2], head, p, f[col.E2], k, n, top, sharpness, mass)
        write(ahead(pointer(state[col.MASSES_NOW], like), target(row, spot)), 0, row[col.TO_J], mass, n, 1, n)
    else:
        _masses(head, p, f[col.E2], k, n, top, sharpness, mass)
    add_logs(v, mass, n, cast(rule.temperature, like))


@inner
def move_sums(w, code, state, row, spot, shift, like):
    """The running sums of the exponentials of a tile's alternatives, each cell's less the largest of them."""
    f, n, k = ahead(code, row[col.AS_MOVE]), spot.count, row[col.ALTERNATIVES]
    head, top = pointer(state[col.HEAD_NARROW], like), pointer(state[col.TOP], like)
    p = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), place(code, state, f, spot))
    _tops(head, p, f[col.E2], k, n, top)
    settle(wide(state, col.CREST), top, n, shift, cast(-np.inf, like), cast(0, like))
    _running(w, head, p, f[col.E2], k, n, top, pointer(state[col.NORM], like))


@inner
def move_flows(rule, code, state, row, spot, shift, flow, how, like):
    """The adjoints of a tile's cells, whose values stand in the crest, to the head and to the field."""
    f, n, k = ahead(code, row[col.AS_MOVE]), spot.count, row[col.ALTERNATIVES]
    head, top = pointer(state[col.HEAD_NARROW], like), pointer(state[col.TOP], like)
    norm, w, crest = pointer(state[col.NORM], like), pointer(state[col.WEIGHTS], like), wide(state, col.CREST)
    at, shares = place(code, state, f, spot), pointer(state[col.SHARES], like)
    q = ahead(field(state, col.SLOPES_NOW, f[col.BUFFER], like), at)
    if keeps(state, f):
        put(norm, n, 1, n, ahead(pointer(state[col.MASSES_NOW], like), target(row, spot)), 0, row[col.TO_J])
        invert(norm, n, cast(1, like), cast(0, like))
        times(norm, n, flow)
        if state[col.KEPT_NOW] != state[col.SLOPES_NOW]:
            put(q, f[col.E2], k, n, ahead(field(state, col.KEPT_NOW, f[col.BUFFER], like), at), f[col.E2], 1)
        _shared(q, f[col.E2], k, n, norm, shares)
        return
    centre_on(top, crest, n, shift, cast(np.inf, like), cast(0, like))
    p = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), at)
    _weights(w, n, head, p, f[col.E2], k, n, top, cast(1 / rule.temperature, like), norm)
    invert(norm, n, cast(1, like), cast(0, like))
    times(norm, n, flow)
    if how == WRITE and f[col.SOLE]:
        _written(q, f[col.E2], w, k, n, norm, shares)
    else:
        _given(q, f[col.E2], w, k, n, norm, shares)
