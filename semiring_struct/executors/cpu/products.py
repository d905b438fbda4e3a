"""Rows that are products of matrices: exponentials of both sides, one product of real numbers, one logarithm a cell.

A line of the right side (one alternative, all columns) has its largest entry taken off and added to the left side,
whose rows have theirs taken off next: so the largest product of each row is 1, but for what a column forbids. A sum too
small for what underflowed to be negligible is done again from the logarithms.
"""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import SOFT
from semiring_struct.executors.cpu.native import ahead, cast, exact, exp, inner, log, loose, pointer
from semiring_struct.executors.cpu.sheets import exponentiate, fill, give, narrowed, put, raise_by, write
from semiring_struct.executors.cpu.state import field, wide, words
from semiring_struct.executors.cpu.tiles import WRITE, Spot, place, spread_field


@exact
def least_of(k, like):
    """The smallest sum that is trusted: what underflow may have taken from it is below its last digit."""
    tiny = cast(1e-290, like)
    return cast(k, like) * (tiny if tiny > 0 else cast(1e-30, like))


@exact
def _add(x, pitch, lines, n, code, state, f, start, far, near, first, like):
    """A factor set or added over a sheet of wide numbers."""
    if f[col.BUFFER] == code[col.CHARTS]:
        p = ahead(wide(state, col.CHARTS_NOW), start)
        if first:
            put(x, pitch, lines, n, p, far, near)
        else:
            raise_by(x, pitch, lines, n, p, far, near)
    else:
        q = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), start)
        if first:
            put(x, pitch, lines, n, q, far, near)
        else:
            raise_by(x, pitch, lines, n, q, far, near)


@inner
def _load_left(x, code, state, m, spot, like):
    """Logarithms of the left side, `x[p, k]`, wide."""
    k1, k2 = m[col.K1], m[col.K2]
    k = m[col.K0] * k1 * k2
    for i in range(m[col.FIRST_LEFT], m[col.END_LEFT], col.FACTOR):
        f = ahead(code, i)
        start = place(code, state, f, spot)
        for p in range(m[col.P0] * m[col.P1]):
            row = start + (p // m[col.P1]) * f[col.DJ] + (p % m[col.P1]) * f[col.OWN]
            for j in range(m[col.K0]):
                sheet = ahead(x, p * k + j * k1 * k2)
                first = i == m[col.FIRST_LEFT]
                _add(sheet, k2, k1, k2, code, state, f, row + j * f[col.E0], f[col.E1], f[col.E2], first, like)


@inner
def _load_right(x, code, state, m, spot, like):
    """Logarithms of the right side, `x[k, q]`, wide."""
    q1, k2 = m[col.Q1], m[col.K2]
    q = m[col.Q0] * q1
    for i in range(m[col.FIRST_RIGHT], m[col.END_RIGHT], col.FACTOR):
        f = ahead(code, i)
        start = place(code, state, f, spot)
        for j in range(m[col.K0] * m[col.K1]):
            here = start + (j // m[col.K1]) * f[col.E0] + (j % m[col.K1]) * f[col.E1]
            for c in range(m[col.Q0]):
                sheet = ahead(x, j * k2 * q + c * q1)
                first = i == m[col.FIRST_RIGHT]
                _add(sheet, q, k2, q1, code, state, f, here + c * f[col.DJ], f[col.E2], f[col.OWN], first, like)


@exact
def _right(code, state, m, spot, sharpness, like):
    """Fill the right side, if it is not there already."""
    filled = words(state, col.FILLED)
    if m[col.FIXED] and filled[m[col.SLOT]]:
        return
    k, q = m[col.K0] * m[col.K1] * m[col.K2], m[col.Q0] * m[col.Q1]
    x, shift = wide(state, col.X_WIDE), ahead(wide(state, col.SHIFT), m[col.AT_SHIFT])
    logs = ahead(pointer(state[col.RIGHT_LOG], like), m[col.AT_RIGHT])
    _load_right(x, code, state, m, spot, like)
    for i in range(k):
        shift[i] = narrowed(ahead(logs, i * q), ahead(x, i * q), q)
    exponentiate(ahead(pointer(state[col.RIGHT_EXP], like), m[col.AT_RIGHT]), logs, k * q, sharpness)
    for slot in (col.RIGHT_ADJOINT, col.RIGHT_DONE):
        fill(ahead(pointer(state[slot], like), m[col.AT_RIGHT]), k * q, 1, k * q, cast(0, like))
    filled[m[col.SLOT]] = 1


@exact
def _left(code, state, m, spot, sharpness, like):
    """Fill the left side; the shifts of its rows go to the wide tops."""
    k, p = m[col.K0] * m[col.K1] * m[col.K2], m[col.P0] * m[col.P1]
    x, shift, top = wide(state, col.X_WIDE), wide(state, col.SHIFT), wide(state, col.TOP_WIDE)
    shift = ahead(shift, m[col.AT_SHIFT])
    logs = pointer(state[col.LEFT_LOG], like)
    _load_left(x, code, state, m, spot, like)
    raise_by(x, k, p, k, shift, 0, 1)
    for i in range(p):
        top[i] = narrowed(ahead(logs, i * k), ahead(x, i * k), k)
    exponentiate(pointer(state[col.LEFT_EXP], like), logs, p * k, sharpness)


@loose
def _multiply(out, a, b, p, k, q, zero):
    """`out[p, q] = sum_k a[p, k] b[k, q]`."""
    for i in range(p):
        line, row = ahead(out, i * q), ahead(a, i * k)
        for j in range(q):
            line[j] = zero
        for h in range(k):
            v, other = row[h], ahead(b, h * q)
            for j in range(q):
                line[j] += v * other[j]


@exact
def _again(code, m, left, right, sharpness, like):
    """The largest of the sums of a row and a column of logarithms, and the mass of all of them beside it."""
    k, q = m[col.K0] * m[col.K1] * m[col.K2], m[col.Q0] * m[col.Q1]
    top = cast(-np.inf, like)
    for i in range(k):
        top = max(top, left[i] + right[i * q])
    mass = cast(0, like)
    if top > -np.inf:
        for i in range(k):
            mass += exp((left[i] + right[i * q] - top) * sharpness)
    return top, mass


@exact
def _values(code, state, m, temperature, like):
    """Cells of a loaded product into the wide values: shifts added, what waits not yet."""
    k, p, q = m[col.K0] * m[col.K1] * m[col.K2], m[col.P0] * m[col.P1], m[col.Q0] * m[col.Q1]
    mass, v, top = pointer(state[col.X], like), wide(state, col.VALUE), wide(state, col.TOP_WIDE)
    right = ahead(pointer(state[col.RIGHT_EXP], like), m[col.AT_RIGHT])
    _multiply(mass, pointer(state[col.LEFT_EXP], like), right, p, k, q, cast(0, like))
    t, least = cast(temperature, like), least_of(k, like)
    for i in range(p):
        for j in range(i * q, i * q + q):
            v[j] = top[i] + log(mass[j]) * t
        for j in range(q):
            if not mass[i * q + j] >= least:
                left = ahead(pointer(state[col.LEFT_LOG], like), i * k)
                logs = ahead(pointer(state[col.RIGHT_LOG], like), m[col.AT_RIGHT] + j)
                crest, total = _again(code, m, left, logs, cast(1 / temperature, like), like)
                v[i * q + j] = top[i] + crest + log(total) * t if total > 0 else -np.inf


@exact
def _cells(m, spot, i):
    """Where row `i` of a product stands among its cells."""
    at = m[col.TO_B0] * spot.o0 + m[col.TO_B1] * spot.o1
    return at + (i // m[col.P1]) * m[col.TO_P0] + (i % m[col.P1]) * m[col.TO_P1]


@exact
def _waiting(f, m, start, i, c):
    """Where a factor that waits stands for row `i` and outer column `c`."""
    return start + (i // m[col.P1]) * f[col.DJ] + (i % m[col.P1]) * f[col.OWN] + c * f[col.E0]


@exact
def product_forward(rule, code, state, row, turn, into, like):
    """One row at one turn of its loop."""
    m = ahead(code, row[col.AS_PRODUCT])
    p, q0, q1 = m[col.P0] * m[col.P1], m[col.Q0], m[col.Q1]
    v, to = wide(state, col.VALUE), row[col.TO] + row[col.TO_STEP] * turn
    for o0 in range(m[col.B0]):
        for o1 in range(m[col.B1]):
            spot = Spot(turn, o0, o1, 0, 1)
            temperature = product_sides(rule, code, state, m, spot, like)
            _values(code, state, m, temperature, like)
            for w in range(m[col.FIRST_WAIT], m[col.END_WAIT], col.FACTOR):
                f = ahead(code, w)
                start = place(code, state, f, spot)
                for i in range(p):
                    for c in range(q0):
                        at, line = _waiting(f, m, start, i, c), ahead(v, (i * q0 + c) * q1)
                        _add(line, q1, 1, q1, code, state, f, at, 0, f[col.E1], False, like)
            for i in range(p):
                for c in range(q0):
                    cell = ahead(into, to + _cells(m, spot, i) + c * m[col.TO_Q0])
                    write(cell, 0, m[col.TO_Q1], ahead(v, (i * q0 + c) * q1), q1, 1, q1)


@inner
def product_sides(rule, code, state, m, spot, like):
    """Load both sides; returns the temperature."""
    temperature = rule.temperature if rule.kind == SOFT else 1.0
    sharpness = cast(1 / temperature, like)
    _right(code, state, m, spot, sharpness, like)
    _left(code, state, m, spot, sharpness, like)
    return temperature


@loose
def _back(a_bar, b_bar, a, b, h, p, k, q, zero):
    """Adjoints of a product: `a_bar[p, k] = sum_q h[p, q] b[k, q]`, and `b_bar[k, q] += sum_p a[p, k] h[p, q]`."""
    for i in range(p):
        line, row, bar = ahead(h, i * q), ahead(a, i * k), ahead(a_bar, i * k)
        for j in range(k):
            other, v = ahead(b, j * q), row[j]
            s = zero
            for c in range(q):
                s += line[c] * other[c]
            bar[j] = s * v
            if v != zero:
                out = ahead(b_bar, j * q)
                for c in range(q):
                    out[c] += v * line[c]


@exact
def _flows(code, state, m, temperature, like):
    """Adjoints of the cells, in `X`, over their masses; cells without a certificate are settled here and set to 0."""
    k, p, q = m[col.K0] * m[col.K1] * m[col.K2], m[col.P0] * m[col.P1], m[col.Q0] * m[col.Q1]
    mass, flow = pointer(state[col.WEIGHTS], like), pointer(state[col.X], like)
    bar, done = pointer(state[col.LEFT_ADJOINT], like), pointer(state[col.RIGHT_DONE], like)
    least, sharpness = least_of(k, like), cast(1 / temperature, like)
    for i in range(p):
        for j in range(i * q, i * q + q):
            flow[j] = flow[j] / mass[j] if mass[j] >= least else flow[j]
        for j in range(q):
            if not mass[i * q + j] >= least:
                g = flow[i * q + j]
                flow[i * q + j] = 0
                left = ahead(pointer(state[col.LEFT_LOG], like), i * k)
                logs = ahead(pointer(state[col.RIGHT_LOG], like), m[col.AT_RIGHT] + j)
                crest, total = _again(code, m, left, logs, sharpness, like)
                if total > 0 and g != 0:
                    for h in range(k):
                        w = g * exp((left[h] + logs[h * q] - crest) * sharpness) / total
                        bar[i * k + h] += w
                        done[m[col.AT_RIGHT] + h * q + j] += w


@exact
def _spread_left(x, code, state, m, spot, how, like):
    """Adjoints of the left side to its factors."""
    k1, k2 = m[col.K1], m[col.K2]
    k = m[col.K0] * k1 * k2
    for i in range(m[col.FIRST_LEFT], m[col.END_LEFT], col.FACTOR):
        f = ahead(code, i)
        start = place(code, state, f, spot)
        for p in range(m[col.P0] * m[col.P1]):
            row = start + (p // m[col.P1]) * f[col.DJ] + (p % m[col.P1]) * f[col.OWN]
            for j in range(m[col.K0]):
                sheet = ahead(x, p * k + j * k1 * k2)
                _give(sheet, k2, k1, k2, code, state, f, row + j * f[col.E0], f[col.E1], f[col.E2], how, like)


@exact
def _spread_right(x, code, state, m, spot, how, like):
    """Adjoints of the right side to its factors."""
    q1, k2 = m[col.Q1], m[col.K2]
    q = m[col.Q0] * q1
    for i in range(m[col.FIRST_RIGHT], m[col.END_RIGHT], col.FACTOR):
        f = ahead(code, i)
        start = place(code, state, f, spot)
        for j in range(m[col.K0] * m[col.K1]):
            here = start + (j // m[col.K1]) * f[col.E0] + (j % m[col.K1]) * f[col.E1]
            for c in range(m[col.Q0]):
                sheet = ahead(x, j * k2 * q + c * q1)
                _give(sheet, q, k2, q1, code, state, f, here + c * f[col.DJ], f[col.E2], f[col.OWN], how, like)


@exact
def _give(x, pitch, lines, n, code, state, f, start, far, near, how, like):
    if f[col.BUFFER] == code[col.CHARTS]:
        give(ahead(pointer(state[col.ADJOINT], like), start), far, near, x, pitch, lines, n)
    else:
        spread_field(x, pitch, lines, n, state, f, start, far, near, how, like)


@exact
def _settle_right(code, state, m, spot, how, like):
    """The adjoints that a right side has gathered, to its factors."""
    n = m[col.K0] * m[col.K1] * m[col.K2] * m[col.Q0] * m[col.Q1]
    bar = ahead(pointer(state[col.RIGHT_ADJOINT], like), m[col.AT_RIGHT])
    done = ahead(pointer(state[col.RIGHT_DONE], like), m[col.AT_RIGHT])
    e = ahead(pointer(state[col.RIGHT_EXP], like), m[col.AT_RIGHT])
    for i in range(n):
        done[i] += e[i] * bar[i]
    _spread_right(done, code, state, m, spot, how, like)


@exact
def product_reverse(rule, code, state, row, turn, source, like):
    """One row at one turn of its loop: its adjoint from `source` to those of its factors."""
    m, zero = ahead(code, row[col.AS_PRODUCT]), cast(0, like)
    k, p, q0, q1 = m[col.K0] * m[col.K1] * m[col.K2], m[col.P0] * m[col.P1], m[col.Q0], m[col.Q1]
    flow, to = pointer(state[col.X], like), row[col.TO] + row[col.TO_STEP] * turn
    a, a_bar = pointer(state[col.LEFT_EXP], like), pointer(state[col.LEFT_ADJOINT], like)
    b, b_bar = pointer(state[col.RIGHT_EXP], like), pointer(state[col.RIGHT_ADJOINT], like)
    b, b_bar = ahead(b, m[col.AT_RIGHT]), ahead(b_bar, m[col.AT_RIGHT])
    for o0 in range(m[col.B0]):
        for o1 in range(m[col.B1]):
            spot = Spot(turn, o0, o1, 0, 1)
            temperature = product_sides(rule, code, state, m, spot, like)
            for i in range(p):
                for c in range(q0):
                    cell = ahead(source, to + _cells(m, spot, i) + c * m[col.TO_Q0])
                    put(ahead(flow, (i * q0 + c) * q1), q1, 1, q1, cell, 0, m[col.TO_Q1])
            for w in range(m[col.FIRST_WAIT], m[col.END_WAIT], col.FACTOR):
                f = ahead(code, w)
                start = place(code, state, f, spot)
                for i in range(p):
                    for c in range(q0):
                        line, at = ahead(flow, (i * q0 + c) * q1), _waiting(f, m, start, i, c)
                        _give(line, q1, 1, q1, code, state, f, at, 0, f[col.E1], WRITE, like)
            _multiply(pointer(state[col.WEIGHTS], like), a, b, p, k, q0 * q1, zero)
            fill(a_bar, p * k, 1, p * k, zero)
            bar = pointer(state[col.MOVED], like)
            _flows(code, state, m, temperature, like)
            _back(bar, b_bar, a, b, flow, p, k, q0 * q1, zero)
            raise_by(a_bar, p * k, 1, p * k, bar, 0, 1)
            _spread_left(a_bar, code, state, m, spot, WRITE, like)
            if not m[col.FIXED]:
                _settle_right(code, state, m, spot, WRITE, like)


@exact
def open_products(code, state, like):
    """Before an instance: no right side is filled."""
    fill(words(state, col.FILLED), 1, 1, code[col.SLOTS], 0)


@exact
def close_products(code, state, like):
    """After an instance: what fixed right sides have gathered goes to their factors, once for each."""
    filled = words(state, col.FILLED)
    for i in range(code[col.FIRST_PRODUCT], code[col.END_PRODUCT], col.PRODUCT):
        m = ahead(code, i)
        if m[col.FIXED] and filled[m[col.SLOT]]:
            _settle_right(code, state, m, Spot(0, 0, 0, 0, 1), WRITE, like)
            filled[m[col.SLOT]] = 0
