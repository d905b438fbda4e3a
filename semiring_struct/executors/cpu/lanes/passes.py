"""Forward and reverse over groups of instances side by side, for rows too small to fill vectors by themselves."""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import MOST
from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.lanes import state as now
from semiring_struct.executors.cpu.lanes.answer import answer_flows, answers
from semiring_struct.executors.cpu.lanes.maxima import note_down, peaks, tops
from semiring_struct.executors.cpu.lanes.products import close_products, open_products, product_forward, product_reverse
from semiring_struct.executors.cpu.lanes.tiles import (
    Spot,
    clear_out,
    fetch,
    flip,
    in_pairs,
    load,
    log_sums,
    raise_late,
    share,
    spread_late,
    spread_out,
    store,
    target,
    weights,
    weights_of_pairs,
)  # fmt: skip
from semiring_struct.executors.cpu.lanes.vectors import flows, loaded
from semiring_struct.executors.cpu.native import ahead, cast, exact, inner, pointer
from semiring_struct.executors.cpu.sheets import fill
from semiring_struct.executors.cpu.tiles import choice
from semiring_struct.kernels.entry import entry


@exact
def _largest(v, picks, code, state, row, spot, like):
    """The largest alternatives of one tile's cells, and which these are."""
    if in_pairs(code, row):
        peaks(v, picks, code, state, row, spot, like)
    else:
        x = pointer(state[now.X], 0.0)
        load(x, code, state, row, spot, like)
        tops(x, row[col.ALTERNATIVES], spot.count, v, picks)


@exact
def _log_sums(rule, state, row, spot, like):
    """The log-sums of one tile's cells, of which the largest alternatives are known."""
    x, v, n, k = pointer(state[now.X], 0.0), pointer(state[now.VALUES], 0.0), spot.count, row[col.ALTERNATIVES]
    mass = pointer(state[now.FLOW], like)
    if state[now.CHANCES] != 0:
        log_sums(x, k, n, v, mass, now.chances_of(state, choice(row, spot), like), rule.temperature, like)
    else:
        log_sums(x, k, n, v, mass, None, rule.temperature, like)


@exact
def _fill_tile(rule, code, state, row, spot, like):
    """The cells of one tile."""
    x, v, n, k = pointer(state[now.X], 0.0), pointer(state[now.VALUES], 0.0), spot.count, row[col.ALTERNATIVES]
    if not row[col.CHOOSES]:
        fill(v, 1, 1, n * LANES, 0.0)
    elif rule.kind != MOST:
        load(x, code, state, row, spot, like)
        tops(x, k, n, v, None)
        if k > 0:
            _log_sums(rule, state, row, spot, like)
    elif state[now.PICKS] == 0:
        _largest(v, None, code, state, row, spot, like)
    if rule.kind == MOST and state[now.PICKS] != 0:
        picks = pointer(state[now.TOPS], 0.0)
        fill(picks, 1, 1, n * LANES, 0.0)
        if row[col.CHOOSES]:
            _largest(v, picks, code, state, row, spot, like)
        note_down(ahead(now.picks_of(state), target(row, spot)), row[col.TO_J], picks, n)
    raise_late(v, code, state, row, spot, like)
    store(ahead(now.charts_of(state), target(row, spot)), row[col.TO_J], v, n)


@inner
def _fill(rule, code, state, row, turn, like):
    """The cells of one row at one turn of its loop."""
    if row[col.AS_PRODUCT] and rule.kind != MOST:
        product_forward(rule, code, state, row, turn, like)
        return
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            for j in range(0, row[col.NJ], row[col.TILE]):
                spot = Spot(turn, o0, o1, j, min(row[col.TILE], row[col.NJ] - j))
                _fill_tile(rule, code, state, row, spot, like)


@entry
def forward_lanes(rule, like, code_at, state_at, start, end):
    """Groups `start .. end - 1`: their charts and their answers, both float64."""
    code, state = pointer(code_at, np.int64(0)), pointer(state_at, np.int64(0))
    last = code[col.END_BLOCK] - col.BLOCK
    for group in range(start, end):
        now.open_group(state, group, like)
        open_products(code, state, group)
        if not code[col.WHOLE]:
            fill(now.charts_of(state), 1, 1, code[col.CELLS] * LANES, -np.inf)
        for i in range(code[col.FIRST_BLOCK], last, col.BLOCK):
            block = ahead(code, i)
            for turn in range(block[col.TURNS]):
                for r in range(block[col.FIRST_ROW], block[col.END_ROW], col.ROW):
                    _fill(rule, code, state, ahead(code, r), turn, like)
        answers(rule, code, state, ahead(code, code[last + col.FIRST_ROW]), like)
        now.keep_charts(code, state)


@exact
def _simple(code, row):
    """Whether the alternatives of a row are one loop of one term."""
    return row[col.ALTERNATIVES] == code[row[col.FIRST_TERM] + col.SIZE_2]


@exact
def _idle(flow, cells):
    """Whether no cell of a tile has an adjoint."""
    for c in range(cells):  # noqa: SIM110, reason: compiled code has no `any`
        if flows(loaded(ahead(flow, c * LANES))):
            return False
    return True


@exact
def _weigh_tile(rule, code, state, row, spot, w, flow, part, like):
    """Weights of one tile's alternatives into `w`, and `flow` over their sums into `part`."""
    x, v, n, k = pointer(state[now.X], 0.0), pointer(state[now.VALUES], 0.0), spot.count, row[col.ALTERNATIVES]
    fetch(v, ahead(now.charts_of(state), target(row, spot)), row[col.TO_J], n)
    if row[col.FIRST_LATE] < row[col.END_LATE]:
        flip(v, n)
        raise_late(v, code, state, row, spot, like)
        flip(v, n)
    if _simple(code, row) and in_pairs(code, row):
        weights_of_pairs(w, v, flow, part, code, state, row, spot, rule.temperature, like)
    else:
        load(x, code, state, row, spot, like)
        weights(w, x, k, n, v, flow, part, rule.temperature, like)


@exact
def _drain_tile(rule, code, state, row, spot, like):
    """The adjoints of one tile's cells to their factors. It reads all entries before it writes slopes: see `reuse`."""
    flow, part, w = pointer(state[now.FLOW], like), pointer(state[now.SHARE], like), pointer(state[now.WEIGHTS], like)
    n, k = spot.count, row[col.ALTERNATIVES]
    fetch(flow, ahead(pointer(state[now.ADJOINT], like), target(row, spot)), row[col.TO_J], n)
    if _idle(flow, n):
        clear_out(code, state, row, spot, like)
        return
    chosen = row[col.CHOOSES] and k > 0
    if chosen and state[now.CHANCES] != 0:
        w = now.chances_of(state, choice(row, spot), like)
        share(w, k, n, flow, part, like)
    elif chosen:
        _weigh_tile(rule, code, state, row, spot, w, flow, part, like)
    spread_late(flow, code, state, row, spot, like)
    if chosen:
        spread_out(w, part, code, state, row, spot, like)


@inner
def _drain(rule, code, state, row, turn, like):
    """The adjoints of one row at one turn of its loop."""
    if row[col.AS_PRODUCT]:
        product_reverse(rule, code, state, row, turn, like)
        return
    for o0 in range(row[col.N0]):
        for o1 in range(row[col.N1]):
            for j in range(0, row[col.NJ], row[col.TILE]):
                spot = Spot(turn, o0, o1, j, min(row[col.TILE], row[col.NJ] - j))
                _drain_tile(rule, code, state, row, spot, like)


@entry
def reverse_lanes(rule, like, code_at, state_at, start, end):
    """Slopes of the total in the fields of groups `start .. end - 1`, times the seed."""
    code, state = pointer(code_at, np.int64(0)), pointer(state_at, np.int64(0))
    last = code[col.END_BLOCK] - col.BLOCK
    for group in range(start, end):
        now.open_group(state, group, like)
        now.find_charts(code, state)
        open_products(code, state, group)
        fill(pointer(state[now.ADJOINT], like), 1, 1, code[col.CELLS] * LANES, cast(0, like))
        now.clear_slopes(state, like)
        answer_flows(rule, code, state, ahead(code, code[last + col.FIRST_ROW]), like)
        for i in range(last - col.BLOCK, code[col.FIRST_BLOCK] - col.BLOCK, -col.BLOCK):
            block = ahead(code, i)
            for turn in range(block[col.TURNS] - 1, -1, -1):
                for r in range(block[col.END_ROW] - col.ROW, block[col.FIRST_ROW] - col.ROW, -col.ROW):
                    _drain(rule, code, state, ahead(code, r), turn, like)
        close_products(code, state, like)
        now.give_slopes(state, like)
