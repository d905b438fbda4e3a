"""Choices of all cells of an instance, weighed row after row as charts are filled, tile by tile.

Cells of a row are weighed side by side, which takes a fraction of the time that they take one by one.
"""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.cells import COLUMNS, DENSE
from semiring_struct.executors.cpu.forward import hand_in, without_choice
from semiring_struct.executors.cpu.moves import move_sums
from semiring_struct.executors.cpu.native import SQUARE, ahead, alone, cast, exact, exp, inner, pointer, turn
from semiring_struct.executors.cpu.sheets import add_logs, exponentiate, fill, put
from semiring_struct.executors.cpu.state import refuse_strange, too_short, turn_to, wide
from semiring_struct.executors.cpu.steps import share
from semiring_struct.executors.cpu.tiles import Spot, load_centred, load_head, target

CHAINS = 4  # running sums side by side: one alone would wait for every addition


@exact
def _climb_across(x, k, n):
    """Exponentials of a tile and their running sums over its lines."""
    alone()
    for j in range(n):
        x[j] = exp(x[j])
    for i in range(1, k):
        line, above = ahead(x, i * n), ahead(x, (i - 1) * n)
        for j in range(n):
            line[j] = above[j] + exp(line[j])


@exact
def _climb_lines(x, k, n):
    """The same along its lines."""
    alone()
    exponentiate(x, x, k * n, cast(1, x[0]))
    whole = n - n % CHAINS
    for j in range(0, whole, CHAINS):
        a, b, c, d = ahead(x, j * k), ahead(x, (j + 1) * k), ahead(x, (j + 2) * k), ahead(x, (j + 3) * k)
        for i in range(1, k):
            a[i] += a[i - 1]
            b[i] += b[i - 1]
            c[i] += c[i - 1]
            d[i] += d[i - 1]
    for j in range(whole, n):
        line = ahead(x, j * k)
        for i in range(1, k):
            line[i] += line[i - 1]


@exact
def _round_across(z, x, k, n, scale, like):
    """Running sums as marks, in their place."""
    alone()
    last, whole = share(cast(1, like), like), ahead(x, (k - 1) * n)
    for j in range(n):
        scale[j] = cast(1, like) / whole[j]
    for i in range(k):
        line, out = ahead(x, i * n), ahead(z, i * n)
        for j in range(n):
            v = line[j]
            out[j] = share(v * scale[j], like) if v < whole[j] else last


@exact
def _hand_out(marks, z, k, n, first, apart):
    """Lines of alternatives as one line per cell, squares of them at a time."""
    alone()
    for j in range(0, n - n % SQUARE, SQUARE):
        for i in range(0, k - k % SQUARE, SQUARE):
            turn(ahead(marks, first + j * apart + i), apart, ahead(z, i * n + j), n)
    for j in range(n):
        out = ahead(marks, first + j * apart)
        for i in range(k - k % SQUARE if j < n - n % SQUARE else 0, k):
            out[i] = z[i * n + j]


@exact
def _mark_lines(marks, x, k, n, first, apart, like):
    """Running sums as marks, one line per cell."""
    alone()
    last = share(cast(1, like), like)
    for j in range(n):
        out, line = ahead(marks, first + j * apart), ahead(x, j * k)
        total = line[k - 1]
        scale = cast(1, like) / total
        for i in range(k):
            out[i] = share(line[i] * scale, like) if line[i] < total else last


@exact
def _values(v, x, state, row, n, like):
    """Log-sums of some cells, of which `x` are the running sums."""
    mass, k = pointer(state[col.NORM], like), row[col.ALTERNATIVES]
    last, apart = (ahead(x, (k - 1) * n), 1) if row[col.ACROSS] else (ahead(x, k - 1), k)
    put(mass, n, 1, n, last, 0, apart)
    put(v, n, 1, n, wide(state, col.CREST), 0, 1)
    add_logs(v, mass, n, cast(1, like))


@inner
def _tile(marks, head, code, state, row, spot, shift, v, like):
    """The choices of some cells of a row, and their values, late factors aside."""
    x, k, n = pointer(state[col.X], like), row[col.ALTERNATIVES], spot.count
    moves = row[col.AS_MOVE] > 0
    if moves:
        move_sums(x, code, state, row, spot, shift, like)
    else:
        load_centred(code, state, row, spot, False, shift, like)
    cell = ahead(head, (row[col.ANSWER] * code[col.CELLS] + target(row, spot)) * COLUMNS + DENSE)
    first = np.int64(cell[0])
    apart = np.int64(cell[row[col.TO_J] * COLUMNS]) - first if n > 1 else 0
    if row[col.ACROSS]:
        if not moves:
            _climb_across(x, k, n)
        z = pointer(state[col.WEIGHTS], marks[0])
        _round_across(z, x, k, n, pointer(state[col.NORM], like), like)
        _hand_out(marks, z, k, n, first, apart)
    else:
        _climb_lines(x, k, n)
        _mark_lines(marks, x, k, n, first, apart, like)
    _values(v, x, state, row, n, like)


@inner
def _row(marks, head, code, state, row, step, like):
    charts, v = wide(state, col.CHARTS_NOW), wide(state, col.VALUE)
    shift = load_head(code, state, row, step, like) if row[col.CHARTED] else 0.0
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            for j in range(0, row[col.NJ], row[col.TILE]):
                n = min(row[col.TILE], row[col.NJ] - j)
                spot = Spot(step, o0, o1, j, n)
                if not without_choice(v, row, n):
                    _tile(marks, head, code, state, row, spot, shift, v, like)
                if not row[col.ANSWER]:
                    hand_in(charts, v, code, state, row, spot, like)


@exact
def weigh_cells(marks, head, code, state, b, start, like):
    """The charts of instance `b`, and the choices of all its cells; whether there are any, be it long enough."""
    turn_to(state, b)
    refuse_strange(state, b, start, like)
    if too_short(code, state):
        return False
    if not code[col.WHOLE]:
        fill(wide(state, col.CHARTS_NOW), 1, 1, code[col.CELLS], -np.inf)
    for i in range(code[col.FIRST_BLOCK], code[col.END_BLOCK], col.BLOCK):
        block = ahead(code, i)
        for step in range(block[col.TURNS]):
            for r in range(block[col.FIRST_ROW], block[col.END_ROW], col.ROW):
                _row(marks, head, code, state, ahead(code, r), step, like)
    answer = ahead(code, code[code[col.END_BLOCK] - col.BLOCK + col.FIRST_ROW])
    return answer[col.ALTERNATIVES] > 0 and wide(state, col.CREST)[0] > -np.inf
