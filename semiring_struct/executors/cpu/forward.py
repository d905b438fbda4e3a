"""Forward: fill the charts of one instance after the other, row after row, under a reduction."""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import MOST, TSALLIS, Shape, values
from semiring_struct.executors.cpu.moves import move_values, moves
from semiring_struct.executors.cpu.native import ahead, exact, inner, pointer
from semiring_struct.executors.cpu.products import open_products, product_forward
from semiring_struct.executors.cpu.sheets import fill, put, raise_by, write
from semiring_struct.executors.cpu.state import field, refuse_strange, too_short, turn_to, wide
from semiring_struct.executors.cpu.tiles import Spot, chances_of, keeps_chances, load_centred, load_head, place, target
from semiring_struct.kernels.entry import entry


@exact
def shape_of(row, spot):
    """The layout of a tile."""
    k, j = row[col.ALTERNATIVES], spot.count
    if row[col.ACROSS]:
        return Shape(k, j, 1, j, 1)
    return Shape(k, j, 0, 1, k)


@exact
def without_choice(v, row, n):
    """Whether cells have one alternative or none; if so, their values, late factors aside."""
    if row[col.CHOOSES] and row[col.ALTERNATIVES] > 0:
        return False
    fill(v, n, 1, n, -np.inf if row[col.CHOOSES] else 0.0)
    return True


@exact
def hand_in(into, v, code, state, row, spot, like):
    """The values of a tile's cells, with their late factors, to where they belong."""
    _raise_late(v, code, state, row, spot, like)
    write(ahead(into, target(row, spot)), 0, row[col.TO_J], v, spot.count, 1, spot.count)


@exact
def _raise_late(v, code, state, row, spot, like):
    """Multiply cells by the factors that all their alternatives share."""
    n = spot.count
    for i in range(row[col.FIRST_LATE], row[col.END_LATE], col.FACTOR):
        f = ahead(code, i)
        start = place(code, state, f, spot)
        if f[col.BUFFER] == code[col.CHARTS]:
            raise_by(v, n, 1, n, ahead(wide(state, col.CHARTS_NOW), start), 0, f[col.DJ])
        else:
            raise_by(v, n, 1, n, ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), start), 0, f[col.DJ])


@inner
def _choose(rule, code, state, row, spot, shift, v, like):
    """The values of a tile's cells, their late factors aside."""
    norm, crest = pointer(state[col.NORM], like), wide(state, col.CREST)
    load_centred(code, state, row, spot, False, shift, like)
    kept = keeps_chances(rule, state, row)
    w = chances_of(state, row, spot, like) if kept else pointer(state[col.WEIGHTS], like)
    values(rule, pointer(state[col.X], like), w, shape_of(row, spot), norm, like)
    put(v, spot.count, 1, spot.count, crest, 0, 1)
    raise_by(v, spot.count, 1, spot.count, norm, 0, 1)


@inner
def _row(rule, code, state, row, turn, into, like):
    """One row at one turn of its loop, its cells written `into` the charts or the answer."""
    if row[col.AS_PRODUCT] and rule.kind != MOST and rule.kind != TSALLIS:
        product_forward(rule, code, state, row, turn, into, like)
        return
    v, shift = wide(state, col.VALUE), 0.0
    if row[col.CHARTED]:
        shift = load_head(code, state, row, turn, like)
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            for j in range(0, row[col.NJ], row[col.TILE]):
                n = min(row[col.TILE], row[col.NJ] - j)
                spot = Spot(turn, o0, o1, j, n)
                if not without_choice(v, row, n):
                    if moves(rule, row, spot):
                        move_values(rule, code, state, row, spot, shift, v, like)
                    else:
                        _choose(rule, code, state, row, spot, shift, v, like)
                hand_in(into, v, code, state, row, spot, like)


@entry
def forward(rule, like, code_at, state_at, start, end):
    """Instances `start .. end - 1`: their charts and their answers, both float64."""
    code, state = pointer(code_at, np.int64(0)), pointer(state_at, np.int64(0))
    last = code[col.END_BLOCK] - col.BLOCK
    for b in range(start, end):
        turn_to(state, b)
        refuse_strange(state, b, start, like)
        charts, answer = wide(state, col.CHARTS_NOW), wide(state, col.VALUE_NOW)
        open_products(code, state, like)
        if not code[col.WHOLE]:
            fill(charts, 1, 1, code[col.CELLS], -np.inf)
        if state[col.PICKS_ALL] != 0:
            fill(pointer(state[col.PICKS_NOW], np.int32(0)), 1, 1, code[col.CELLS], np.int32(-1))
        empty = too_short(code, state)
        if empty:
            fill(answer, 1, 1, state[col.OUT], 0.0)
        for i in range(code[col.FIRST_BLOCK], last if empty else code[col.END_BLOCK], col.BLOCK):
            block, into = ahead(code, i), answer if i == last else charts
            for turn in range(block[col.TURNS]):
                for r in range(block[col.FIRST_ROW], block[col.END_ROW], col.ROW):
                    _row(rule, code, state, ahead(code, r), turn, into, like)
