"""The answer of a group: one lane after the other, since lengths decide where each is read."""

from __future__ import annotations

import math

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import MOST
from semiring_struct.executors.cpu.lanes import state as at
from semiring_struct.executors.cpu.native import ahead, cast, exact, pointer


@exact
def _own(state, lane):
    """The lengths of a lane's instance."""
    return ahead(at.words(state, at.LENGTHS), (state[at.FIRST] + lane) * state[at.SIDES])


@exact
def too_short(code, state, lane):
    """Whether the answer's cells do not exist at the instance's lengths: it is the empty structure."""
    own, least = _own(state, lane), ahead(code, code[col.LEAST])
    for side in range(code[col.SIDES]):  # noqa: SIM110, reason: compiled code has no `any`
        if own[side] < least[side]:
            return True
    return False


@exact
def _place(code, f, own, o0, o1, j):
    here = f[col.OFFSET] + f[col.D0] * o0 + f[col.D1] * o1 + f[col.DJ] * j
    for i in range(f[col.FIRST_LENGTH], f[col.END_LENGTH], col.LENGTH):
        here += own[code[i]] * code[i + 1]
    return here


@exact
def _alternative(term, i):
    """The three summed indices of alternative `i` of a term."""
    rest = i // term[col.SIZE_2]
    return rest // term[col.SIZE_1], rest % term[col.SIZE_1], i % term[col.SIZE_2]


@exact
def _load(x, code, state, row, lane, o0, o1, j, like):
    """The alternatives of one cell of the answer into `x`; the largest."""
    charts, fields, top, own = at.charts_of(state), pointer(state[at.FIELDS], like), -np.inf, _own(state, lane)
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        for i in range(term[col.SIZE_0] * term[col.SIZE_1] * term[col.SIZE_2]):
            e0, e1, e2 = _alternative(term, i)
            v = 0.0
            for k in range(term[col.FIRST_FACTOR], term[col.END_FACTOR], col.FACTOR):
                f = ahead(code, k)
                here = _place(code, f, own, o0, o1, j) + e0 * f[col.E0] + e1 * f[col.E1] + e2 * f[col.E2] + lane
                v += charts[here] if f[col.BUFFER] == code[col.CHARTS] else np.float64(fields[here])
            x[term[col.START] + i] = v
            top = max(top, v)
    return top


@exact
def _target(row, o0, o1, j):
    return row[col.TO] + row[col.TO_0] * o0 + row[col.TO_1] * o1 + row[col.TO_J] * j


@exact
def answers(rule, code, state, row, like):
    """The values of the answer's cells."""
    x = pointer(state[at.X], 0.0)
    for lane in range(state[at.COUNT]):
        out = ahead(pointer(state[at.VALUE], 0.0), (state[at.FIRST] + lane) * state[at.OUT])
        empty = too_short(code, state, lane)
        for o0 in range(row[col.N0]):
            for o1 in range(row[col.N1]):
                for j in range(row[col.NJ]):
                    v = 0.0
                    if not empty:
                        v = _load(x, code, state, row, lane, o0, o1, j, like)
                        if rule.kind != MOST and v > -np.inf:
                            v += rule.temperature * math.log(_mass(x, row[col.ALTERNATIVES], v, rule.temperature))
                    out[_target(row, o0, o1, j)] = v


@exact
def _mass(x, n, top, temperature):
    """Exponentials of `n` numbers less the largest in their place, and their sum."""
    total = 0.0
    for i in range(n):
        x[i] = math.exp((x[i] - top) / temperature)
        total += x[i]
    return total


@exact
def answer_flows(rule, code, state, row, like):
    """The seeds of the answer's cells to the adjoints of all their factors."""
    x = pointer(state[at.X], 0.0)
    for lane in range(state[at.COUNT]):
        seed, own = ahead(pointer(state[at.SEED], like), (state[at.FIRST] + lane) * state[at.OUT]), _own(state, lane)
        if too_short(code, state, lane):
            continue
        for o0 in range(row[col.N0]):
            for o1 in range(row[col.N1]):
                for j in range(row[col.NJ]):
                    g = seed[_target(row, o0, o1, j)]
                    top = _load(x, code, state, row, lane, o0, o1, j, like)
                    if g == 0 or top == -np.inf:
                        continue
                    g = g / _mass(x, row[col.ALTERNATIVES], top, rule.temperature)
                    _give(x, g, code, state, row, own, lane, o0, o1, j, like)


@exact
def _give(x, g, code, state, row, own, lane, o0, o1, j, like):
    adjoint = pointer(state[at.ADJOINT], like)
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        for i in range(term[col.SIZE_0] * term[col.SIZE_1] * term[col.SIZE_2]):
            e0, e1, e2 = _alternative(term, i)
            w = cast(g * x[term[col.START] + i], like)
            for k in range(term[col.FIRST_FACTOR], term[col.END_FACTOR], col.FACTOR):
                f = ahead(code, k)
                here = _place(code, f, own, o0, o1, j) + e0 * f[col.E0] + e1 * f[col.E1] + e2 * f[col.E2] + lane
                if f[col.BUFFER] == code[col.CHARTS]:
                    adjoint[here] += w
                else:
                    at.slopes_of(state, f[col.BUFFER], like)[here] += w
