"""Reverse without a tape: the table backwards, each local choice recomputed from the charts."""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import SOFT, Noise, mass_of, one_hot, weigh
from semiring_struct.executors.cpu.forward import shape_of
from semiring_struct.executors.cpu.moves import move_flows, moves
from semiring_struct.executors.cpu.native import ahead, cast, exact, inner, pointer
from semiring_struct.executors.cpu.products import close_products, open_products, product_reverse
from semiring_struct.executors.cpu.sheets import fill, give, invert, lower_by, put, scale_across, scale_lines, times
from semiring_struct.executors.cpu.state import clear, field, too_short, turn_to, wide
from semiring_struct.executors.cpu.tiles import (
    ADD,
    WRITE,
    Spot,
    chances_of,
    keeps_chances,
    load_centred,
    load_head,
    place,
    spread,
    spread_field,
    spread_head,
    target,
)  # fmt: skip
from semiring_struct.kernels.entry import entry


@exact
def _crest_by_value(code, state, row, spot, like):
    """A tile's values, less their late factors: near the largest alternatives, and there without looking for them."""
    n, charts, crest = spot.count, wide(state, col.CHARTS_NOW), wide(state, col.CREST)
    put(crest, n, 1, n, ahead(charts, target(row, spot)), 0, row[col.TO_J])
    for i in range(row[col.FIRST_LATE], row[col.END_LATE], col.FACTOR):
        f = ahead(code, i)
        start = place(code, state, f, spot)
        if f[col.BUFFER] == code[col.CHARTS]:
            lower_by(crest, n, ahead(charts, start), f[col.DJ])
        else:
            lower_by(crest, n, ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), start), f[col.DJ])


@inner
def _weigh(rule, code, state, row, spot, shift, like):
    """The weights of a tile, each still to be multiplied by the norm of its cell."""
    own = rule.kind == SOFT and not row[col.ANSWER]
    if own:
        _crest_by_value(code, state, row, spot, like)
    load_centred(code, state, row, spot, own, shift, like)
    x, w, norm = pointer(state[col.X], like), pointer(state[col.WEIGHTS], like), pointer(state[col.NORM], like)
    weigh(rule, x, w, shape_of(row, spot), norm, noise_of(code, state, row, spot), like)


@exact
def noise_of(code, state, row, spot):
    """The noise of a tile: each cell has a number of its own, the answer's after those of the charts."""
    return Noise(state[col.KEY_NOW], target(row, spot) + row[col.ANSWER] * code[col.CELLS], row[col.TO_J])


@exact
def spread_late(flow, code, state, row, spot, adjoint, how, like):
    """Pass the adjoint of cells on to the factors that all their alternatives share."""
    n = spot.count
    for i in range(row[col.FIRST_LATE], row[col.END_LATE], col.FACTOR):
        f = ahead(code, i)
        start = place(code, state, f, spot)
        if f[col.BUFFER] == code[col.CHARTS]:
            give(ahead(adjoint, start), 0, f[col.DJ], flow, n, 1, n)
        else:
            spread_field(flow, n, 1, n, state, f, start, 0, f[col.DJ], how, like)


@exact
def scale(w, row, spot, factor):
    """A tile times one factor per cell."""
    k, n = row[col.ALTERNATIVES], spot.count
    if row[col.ACROSS]:
        scale_across(w, n, k, n, factor)
    else:
        scale_lines(w, k, n, k, factor)


@inner
def _tile(rule, code, state, row, spot, shift, source, like):
    """One tile: its adjoint from `source` to those of its factors; it reads before it writes, see `reuse`."""
    n, how = spot.count, ADD if one_hot(rule) else WRITE
    flow, norm, w = pointer(state[col.FLOW], like), pointer(state[col.NORM], like), pointer(state[col.WEIGHTS], like)
    adjoint = pointer(state[col.ADJOINT], like)
    put(flow, n, 1, n, ahead(source, target(row, spot)), 0, row[col.TO_J])
    if one_hot(rule) and flow[0] == 0:
        return
    chosen = row[col.CHOOSES] and row[col.ALTERNATIVES] > 0
    if chosen and rule.kind == SOFT and moves(rule, row, spot):
        _crest_by_value(code, state, row, spot, like)
        move_flows(rule, code, state, row, spot, shift, flow, how, like)
    elif chosen:
        if keeps_chances(rule, state, row):
            w = chances_of(state, row, spot, like)
            mass_of(w, shape_of(row, spot), norm)
            invert(norm, n, cast(1, like), cast(0, like))
        else:
            _weigh(rule, code, state, row, spot, shift, like)
        times(norm, n, flow)
        scale(w, row, spot, norm)
        spread(w, code, state, row, spot, adjoint, pointer(state[col.SHARES], like), how, like)
    spread_late(flow, code, state, row, spot, adjoint, how, like)


@exact
def _any_flow(row, turn, source):
    """Whether any cell of a row has an adjoint other than 0."""
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            p = ahead(source, target(row, Spot(turn, o0, o1, 0, 1)))
            for j in range(row[col.NJ]):
                if p[j * row[col.TO_J]] != 0:
                    return True
    return False


@inner
def _row(rule, code, state, row, turn, source, like):
    """One row at one turn of its loop."""
    if row[col.AS_PRODUCT] and rule.kind == SOFT:
        product_reverse(rule, code, state, row, turn, source, like)
        return
    if one_hot(rule) and not _any_flow(row, turn, source):
        return
    shift, count, shares = 0.0, row[col.ALTERNATIVES], pointer(state[col.SHARES], like)
    if row[col.CHARTED]:
        if not keeps_chances(rule, state, row):
            shift = load_head(code, state, row, turn, like)
        fill(shares, count, 1, count, cast(0, like))
    tile = 1 if one_hot(rule) else row[col.TILE]
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            for j in range(0, row[col.NJ], tile):
                spot = Spot(turn, o0, o1, j, min(tile, row[col.NJ] - j))
                _tile(rule, code, state, row, spot, shift, source, like)
    if row[col.CHARTED]:
        spread_head(code, state, row, turn, pointer(state[col.ADJOINT], like), shares)


@entry
def reverse(rule, like, code_at, state_at, start, end):
    """Slopes of the total in the fields of instances `start .. end - 1`, times the seed.

    Slopes are to come filled with 0, but where a field's only reader writes all of them.
    """
    code, state = pointer(code_at, np.int64(0)), pointer(state_at, np.int64(0))
    last = code[col.END_BLOCK] - col.BLOCK
    for b in range(start, end):
        turn_to(state, b)
        if too_short(code, state):
            clear(state, like)
            continue
        open_products(code, state, like)
        adjoint, seed = pointer(state[col.ADJOINT], like), pointer(state[col.SEED_NOW], like)
        fill(adjoint, 1, 1, code[col.CELLS], cast(0, like))
        for i in range(last, code[col.FIRST_BLOCK] - col.BLOCK, -col.BLOCK):
            block, source = ahead(code, i), seed if i == last else adjoint
            for turn in range(block[col.TURNS] - 1, -1, -1):
                for r in range(block[col.END_ROW] - col.ROW, block[col.FIRST_ROW] - col.ROW, -col.ROW):
                    _row(rule, code, state, ahead(code, r), turn, source, like)
        close_products(code, state, like)
