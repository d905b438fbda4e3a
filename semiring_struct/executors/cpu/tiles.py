"""Tiles: the alternatives of some cells of a row side by side, gathered from its factors, and given back to them.

A tile holds its alternatives as lines where a row runs `across` its cells (entry `k * jt + j` for alternative `k` of
cell `j`), and its cells as lines where it runs along the alternatives (entry `j * alternatives + k`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.choices import SOFT
from semiring_struct.executors.cpu.native import ahead, cast, exact, inner, pointer
from semiring_struct.executors.cpu.sheets import (
    centre_on,
    fill,
    give,
    largest_across,
    largest_of_lines,
    less,
    narrowed,
    put,
    put_two,
    raise_by,
    settle,
    write,
)  # fmt: skip
from semiring_struct.executors.cpu.state import field, wide, words

ADD, WRITE, CHARTS_ONLY = range(3)  # what is done with slopes of fields; WRITE: the only reader writes


class Spot(NamedTuple):
    """Where a tile stands: turn of its row's loop, loops over cells, first cell and number of cells."""

    turn: int
    o0: int
    o1: int
    j: int
    count: int


@exact
def place(code, state, f, spot):
    """Where factor `f` starts at a spot."""
    at = f[col.OFFSET] + f[col.STEP] * spot.turn + f[col.D0] * spot.o0 + f[col.D1] * spot.o1 + f[col.DJ] * spot.j
    for i in range(f[col.FIRST_LENGTH], f[col.END_LENGTH], col.LENGTH):
        at += words(state, col.LENGTHS_NOW)[code[i]] * code[i + 1]
    return at


@exact
def choice(row, spot):
    """Where a tile's alternatives stand among those of all cells."""
    line = (spot.turn * row[col.N0] + spot.o0) * row[col.N1] + spot.o1
    return row[col.CHOICE] + (line * row[col.NJ] + spot.j) * row[col.ALTERNATIVES]


@exact
def chances_of(state, row, spot, like):
    """Where the chances of a tile are kept from one pass to the next."""
    return ahead(pointer(state[col.CHANCES_NOW], like), choice(row, spot))


@exact
def keeps_chances(rule, state, row):
    """Whether they are."""
    return rule.kind == SOFT and state[col.CHANCES_ALL] != 0 and not row[col.ANSWER] and not row[col.AS_MOVE]


@exact
def target(row, spot):
    """Where a tile's cells start."""
    at = row[col.TO] + row[col.TO_STEP] * spot.turn
    return at + row[col.TO_0] * spot.o0 + row[col.TO_1] * spot.o1 + row[col.TO_J] * spot.j


@exact
def _sheet_of(row, term, s, jt):
    """Where the alternatives of a term start for its outer summed dims, and the form of their sheet."""
    k = term[col.START] + s * term[col.SIZE_2]
    if row[col.ACROSS]:
        return k, k * jt, jt, term[col.SIZE_2], jt
    return k, k, row[col.ALTERNATIVES], jt, term[col.SIZE_2]


@exact
def _strides(row, f):
    """From line to line and within a line."""
    if row[col.ACROSS]:
        return f[col.E2], f[col.DJ]
    return f[col.DJ], f[col.E2]


@exact
def _start(code, state, term, f, spot, s):
    """Where a factor starts at a spot, for the outer summed dims of its term."""
    return place(code, state, f, spot) + (s // term[col.SIZE_1]) * f[col.E0] + (s % term[col.SIZE_1]) * f[col.E1]


@exact
def _load_one(x, pitch, lines, n, p, far, near, first):
    if first:
        put(x, pitch, lines, n, p, far, near)
    else:
        raise_by(x, pitch, lines, n, p, far, near)


@inner
def _load_sheet(x, pitch, lines, n, code, state, row, term, spot, s, charts, bank, like):
    """All factors of a term; two at a time where the first is a chart's."""
    here, i, end = code[col.CHARTS], term[col.FIRST_FACTOR], term[col.END_FACTOR]
    first = ahead(code, i)
    if end - i >= 2 * col.FACTOR and first[col.BUFFER] == here:
        second = ahead(code, i + col.FACTOR)
        p = ahead(charts, _start(code, state, term, first, spot, s))
        at = _start(code, state, term, second, spot, s)
        far, near = _strides(row, first)
        far_q, near_q = _strides(row, second)
        if second[col.BUFFER] == here:
            put_two(x, pitch, lines, n, p, far, near, ahead(charts, at), far_q, near_q)
        else:
            q = ahead(field(state, bank, second[col.BUFFER], like), at)
            put_two(x, pitch, lines, n, p, far, near, q, far_q, near_q)
        i += 2 * col.FACTOR
    while i < end:
        f = ahead(code, i)
        at = _start(code, state, term, f, spot, s)
        far, near = _strides(row, f)
        if f[col.BUFFER] == here:
            _load_one(x, pitch, lines, n, ahead(charts, at), far, near, i == term[col.FIRST_FACTOR])
        else:
            q = ahead(field(state, bank, f[col.BUFFER], like), at)
            _load_one(x, pitch, lines, n, q, far, near, i == term[col.FIRST_FACTOR])
        i += col.FACTOR


@exact
def load(x, code, state, row, spot, charts, bank, like):
    """A tile of all alternatives: the sum of their factors. `charts` and `x` may be wide or narrow."""
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        for s in range(term[col.SIZE_0] * term[col.SIZE_1]):
            _, at, pitch, lines, n = _sheet_of(row, term, s, spot.count)
            sheet = ahead(x, at)
            if term[col.FIRST_FACTOR] == term[col.END_FACTOR]:
                fill(sheet, pitch, lines, n, cast(0, like))
            else:
                _load_sheet(sheet, pitch, lines, n, code, state, row, term, spot, s, charts, bank, like)


@exact
def load_head(code, state, row, turn, like):
    """Factors from charts that all cells of a row share: their sum over the alternatives, less its largest entry.

    Returns that entry. The differences are narrow; only they enter exponentials.
    """
    x, head, charts = wide(state, col.HEAD_WIDE), pointer(state[col.HEAD_NARROW], like), wide(state, col.CHARTS_NOW)
    count, spot = row[col.ALTERNATIVES], Spot(turn, 0, 0, 0, 1)
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        n = term[col.SIZE_2]
        for s in range(term[col.SIZE_0] * term[col.SIZE_1]):
            sheet = ahead(x, term[col.START] + s * n)
            for i in range(term[col.FIRST_FACTOR], term[col.END_FACTOR], col.FACTOR):
                f = ahead(code, i)
                if f[col.BUFFER] != code[col.CHARTS]:
                    break
                p = ahead(charts, _start(code, state, term, f, spot, s))
                _load_one(sheet, n, 1, n, p, 0, f[col.E2], i == term[col.FIRST_FACTOR])
    return narrowed(head, x, count)


@exact
def load_beside_head(x, code, state, row, spot, like):
    """A narrow tile: the head, if the row has one, and the factors from fields."""
    head = pointer(state[col.HEAD_NARROW], like)
    far_p, near_p = (1, 0) if row[col.ACROSS] else (0, 1)
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        first, end = term[col.FIRST_FACTOR], term[col.END_FACTOR]
        while first < end and code[first + col.BUFFER] == code[col.CHARTS]:
            first += col.FACTOR
        for s in range(term[col.SIZE_0] * term[col.SIZE_1]):
            k, at, pitch, lines, n = _sheet_of(row, term, s, spot.count)
            sheet, p = ahead(x, at), ahead(head, k)
            if first == end and row[col.CHARTED]:
                put(sheet, pitch, lines, n, p, far_p, near_p)
            elif first == end:
                fill(sheet, pitch, lines, n, cast(0, like))
            for i in range(first, end, col.FACTOR):
                f = ahead(code, i)
                q = ahead(field(state, col.FIELDS_NOW, f[col.BUFFER], like), _start(code, state, term, f, spot, s))
                far, near = _strides(row, f)
                if i == first and row[col.CHARTED]:
                    put_two(sheet, pitch, lines, n, p, far_p, near_p, q, far, near)
                else:
                    _load_one(sheet, pitch, lines, n, q, far, near, i == first)


@exact
def _tops(x, row, spot, top):
    """The largest alternative of every cell of a tile, `-inf` where there is none."""
    k, n = row[col.ALTERNATIVES], spot.count
    if row[col.ACROSS]:
        largest_across(x, n, k, n, top)
    else:
        largest_of_lines(x, k, n, k, top)


@exact
def _centre(y, x, row, spot, top, crest, own, shift, like):
    """`y`: a tile less the largest alternative of each cell, or less `crest` where `own`; `-inf` counts as 0.

    Where not `own`, `crest` is what was taken off, with `shift` added, `-inf` where there is nothing.
    """
    n = spot.count
    if own:
        centre_on(top, crest, n, shift, cast(np.inf, like), cast(0, like))
    else:
        _tops(x, row, spot, top)
        settle(crest, top, n, shift, cast(-np.inf, like), cast(0, like))
    k = row[col.ALTERNATIVES]
    if row[col.ACROSS]:
        less(y, x, k, n, top, True)
    else:
        less(y, x, n, k, top, False)


@inner
def load_centred(code, state, row, spot, own, shift, like):
    """The alternatives of a tile, centred, as a narrow tile; see `_centre`. `shift` was taken off the row's head."""
    y, crest = pointer(state[col.X], like), wide(state, col.CREST)
    if row[col.WIDE]:
        x = wide(state, col.X_WIDE)
        load(x, code, state, row, spot, wide(state, col.CHARTS_NOW), col.FIELDS_NOW, like)
        _centre(y, x, row, spot, wide(state, col.TOP_WIDE), crest, own, shift, 0.0)
    else:
        load_beside_head(y, code, state, row, spot, like)
        _centre(y, y, row, spot, pointer(state[col.TOP], like), crest, own, shift, like)


@exact
def spread(x, code, state, row, spot, charts, shares, how, like):
    """Add a tile of adjoints to those of all factors: `charts` of an instance's cells, `shares` of a head."""
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        for s in range(term[col.SIZE_0] * term[col.SIZE_1]):
            k, at, pitch, lines, n = _sheet_of(row, term, s, spot.count)
            sheet = ahead(x, at)
            if row[col.CHARTED]:
                far, near = (1, 0) if row[col.ACROSS] else (0, 1)
                give(ahead(shares, k), far, near, sheet, pitch, lines, n)
            for i in range(term[col.FIRST_FACTOR], term[col.END_FACTOR], col.FACTOR):
                f = ahead(code, i)
                start = _start(code, state, term, f, spot, s)
                far, near = _strides(row, f)
                if f[col.BUFFER] != code[col.CHARTS]:
                    spread_field(sheet, pitch, lines, n, state, f, start, far, near, how, like)
                elif not row[col.CHARTED]:
                    give(ahead(charts, start), far, near, sheet, pitch, lines, n)


@exact
def spread_field(x, pitch, lines, n, state, f, start, far, near, how, like):
    """Add a sheet of adjoints to the slopes of a field, or write it there."""
    if how == CHARTS_ONLY:
        return
    q = ahead(field(state, col.SLOPES_NOW, f[col.BUFFER], like), start)
    if how == WRITE and f[col.SOLE]:
        write(q, far, near, x, pitch, lines, n)
    else:
        give(q, far, near, x, pitch, lines, n)


@exact
def spread_head(code, state, row, turn, charts, shares):
    """Add the adjoints of a head to those of the cells it was made of."""
    spot = Spot(turn, 0, 0, 0, 1)
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        n = term[col.SIZE_2]
        for s in range(term[col.SIZE_0] * term[col.SIZE_1]):
            sheet = ahead(shares, term[col.START] + s * n)
            for i in range(term[col.FIRST_FACTOR], term[col.END_FACTOR], col.FACTOR):
                f = ahead(code, i)
                if f[col.BUFFER] != code[col.CHARTS]:
                    break
                give(ahead(charts, _start(code, state, term, f, spot, s)), 0, f[col.E2], sheet, n, 1, n)
