"""The largest alternatives of a tile's cells, all lanes of each, and which ones they are if that is asked for.

`picks` is None where they are not; else they are numbers of alternatives as float64, the first of tied ones.
"""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.lanes.state import FIELDS, charts_of
from semiring_struct.executors.cpu.lanes.tiles import place
from semiring_struct.executors.cpu.lanes.vectors import keep, larger, loaded, note, spread, where_above, wide
from semiring_struct.executors.cpu.native import ahead, alone, exact, pointer
from semiring_struct.executors.cpu.sheets import fill


@exact
def _peaks_of(v, picks, first, cells, n, p, apart, step, q, apart_q, step_q):
    alone()
    for c in range(cells):
        a, b, top = ahead(p, c * apart), ahead(q, c * apart_q), loaded(ahead(v, c * LANES))
        if picks is not None:
            pick, number = loaded(ahead(picks, c * LANES)), spread(np.float64(first))
        for i in range(n):
            x = wide(loaded(ahead(a, i * step))) + wide(loaded(ahead(b, i * step_q)))
            if picks is not None:
                pick = where_above(x, top, number, pick)
                number = number + spread(1.0)
            top = larger(top, x)
        keep(ahead(v, c * LANES), top)
        if picks is not None:
            keep(ahead(picks, c * LANES), pick)


@exact
def peaks(v, picks, code, state, row, spot, like):
    """Of every cell of a row in pairs, without keeping the other alternatives."""
    fill(v, 1, 1, spot.count * LANES, -np.inf)
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        f, n = ahead(code, term[col.FIRST_FACTOR]), term[col.SIZE_2]
        g = ahead(f, col.FACTOR)
        first = term[col.START]
        for e0 in range(term[col.SIZE_0]):
            for e1 in range(term[col.SIZE_1]):
                p = ahead(charts_of(state), place(f, spot) + e0 * f[col.E0] + e1 * f[col.E1])
                at = place(g, spot) + e0 * g[col.E0] + e1 * g[col.E1]
                if g[col.BUFFER] == code[col.CHARTS]:
                    q = ahead(charts_of(state), at)
                    _peaks_of(v, picks, first, spot.count, n, p, f[col.DJ], f[col.E2], q, g[col.DJ], g[col.E2])
                else:
                    r = ahead(pointer(state[FIELDS], like), at)
                    _peaks_of(v, picks, first, spot.count, n, p, f[col.DJ], f[col.E2], r, g[col.DJ], g[col.E2])
                first += n


@exact
def tops(x, k, cells, v, picks):
    """Of every cell of a tile `x`."""
    alone()
    for c in range(cells):
        top = spread(-np.inf)
        if picks is not None:
            pick, number = spread(0.0), spread(0.0)
        for i in range(k):
            here = loaded(ahead(x, (c * k + i) * LANES))
            if picks is not None:
                pick = where_above(here, top, number, pick)
                number = number + spread(1.0)
            top = larger(top, here)
        keep(ahead(v, c * LANES), top)
        if picks is not None:
            keep(ahead(picks, c * LANES), pick)


@exact
def note_down(p, apart, picks, cells):
    """Picks of a tile's cells to where they are kept."""
    for c in range(cells):
        note(ahead(p, c * apart), loaded(ahead(picks, c * LANES)))
