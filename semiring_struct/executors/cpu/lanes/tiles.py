"""Some cells of a row, all lanes of each: their alternatives, and adjoints given back to the factors of these.

A tile holds the `k` alternatives of one cell after those of the other: number `i` of cell `c` at `(c * k + i) * LANES`.
Every loop goes over cells and then over what stands side by side in one term, so that no iteration waits for another.
"""

from __future__ import annotations

from typing import NamedTuple

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.lanes.state import ADJOINT, FIELDS, charts_of, slopes_of
from semiring_struct.executors.cpu.lanes.vectors import (
    keep,
    loaded,
    narrow,
    ratio,
    settled,
    spread,
    wide,
)
from semiring_struct.executors.cpu.native import ahead, alone, cast, exact, exp, log, pointer


class Spot(NamedTuple):
    """Where a tile stands: turn of its row's loop, loops over cells, first cell and number of cells."""

    turn: int
    o0: int
    o1: int
    j: int
    count: int


@exact
def place(f, spot):
    """Where a factor stands at a spot."""
    return f[col.OFFSET] + f[col.STEP] * spot.turn + f[col.D0] * spot.o0 + f[col.D1] * spot.o1 + f[col.DJ] * spot.j


@exact
def target(row, spot):
    """Where a tile's cells start."""
    at = row[col.TO] + row[col.TO_STEP] * spot.turn
    return at + row[col.TO_0] * spot.o0 + row[col.TO_1] * spot.o1 + row[col.TO_J] * spot.j


@exact
def put(x, k, cells, n, p, apart, step):
    """`x = p`: `n` numbers of each cell, those of `p` being `step` apart, and `apart` from cell to cell."""
    alone()
    for c in range(cells):
        line, q = ahead(x, c * k * LANES), ahead(p, c * apart)
        for i in range(n):
            keep(ahead(line, i * LANES), wide(loaded(ahead(q, i * step))))


@exact
def raise_by(x, k, cells, n, p, apart, step):
    """`x += p`."""
    alone()
    for c in range(cells):
        line, q = ahead(x, c * k * LANES), ahead(p, c * apart)
        for i in range(n):
            here = ahead(line, i * LANES)
            keep(here, loaded(here) + wide(loaded(ahead(q, i * step))))


@exact
def _put_two(x, k, cells, n, p, apart, step, q, apart_q, step_q):
    alone()
    for c in range(cells):
        line, a, b = ahead(x, c * k * LANES), ahead(p, c * apart), ahead(q, c * apart_q)
        for i in range(n):
            keep(ahead(line, i * LANES), wide(loaded(ahead(a, i * step))) + wide(loaded(ahead(b, i * step_q))))


@exact
def _zeros(x, k, cells, n):
    for c in range(cells):
        for i in range(n):
            keep(ahead(x, (c * k + i) * LANES), spread(0.0))


@exact
def _load_factor(x, k, code, state, f, spot, n, at, first, like):
    if f[col.BUFFER] == code[col.CHARTS]:
        p = ahead(charts_of(state), at)
        if first:
            put(x, k, spot.count, n, p, f[col.DJ], f[col.E2])
        else:
            raise_by(x, k, spot.count, n, p, f[col.DJ], f[col.E2])
    else:
        q = ahead(pointer(state[FIELDS], like), at)
        if first:
            put(x, k, spot.count, n, q, f[col.DJ], f[col.E2])
        else:
            raise_by(x, k, spot.count, n, q, f[col.DJ], f[col.E2])


@exact
def _load_term(x, k, code, state, term, spot, e0, e1, like):
    """The sums of a term's factors, two at a time where the first is a chart's."""
    here, n = code[col.CHARTS], term[col.SIZE_2]
    first, end = term[col.FIRST_FACTOR], term[col.END_FACTOR]
    if first == end:
        _zeros(x, k, spot.count, n)
        return
    f, start = ahead(code, first), first
    if end - first >= 2 * col.FACTOR and f[col.BUFFER] == here:
        g = ahead(code, first + col.FACTOR)
        p = ahead(charts_of(state), place(f, spot) + e0 * f[col.E0] + e1 * f[col.E1])
        at = place(g, spot) + e0 * g[col.E0] + e1 * g[col.E1]
        if g[col.BUFFER] == here:
            q = ahead(charts_of(state), at)
            _put_two(x, k, spot.count, n, p, f[col.DJ], f[col.E2], q, g[col.DJ], g[col.E2])
        else:
            r = ahead(pointer(state[FIELDS], like), at)
            _put_two(x, k, spot.count, n, p, f[col.DJ], f[col.E2], r, g[col.DJ], g[col.E2])
        start += 2 * col.FACTOR
    for i in range(start, end, col.FACTOR):
        f = ahead(code, i)
        at = place(f, spot) + e0 * f[col.E0] + e1 * f[col.E1]
        _load_factor(x, k, code, state, f, spot, n, at, i == first, like)


@exact
def load(x, code, state, row, spot, like):
    """All alternatives of a tile."""
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        to = ahead(x, term[col.START] * LANES)
        for e0 in range(term[col.SIZE_0]):
            for e1 in range(term[col.SIZE_1]):
                _load_term(to, row[col.ALTERNATIVES], code, state, term, spot, e0, e1, like)
                to = ahead(to, term[col.SIZE_2] * LANES)


@exact
def in_pairs(code, row):
    """Whether every term of a row has two factors, the first from a chart."""
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        i = code[m + col.FIRST_FACTOR]
        if code[m + col.END_FACTOR] - i != 2 * col.FACTOR or code[i + col.BUFFER] != code[col.CHARTS]:
            return False
    return True


@exact
def log_sums(x, k, cells, v, mass, chances, temperature, like):
    """The log-sum of every cell's alternatives, of which `v` holds the largest, into `v`.

    Their exponentials less that one go into `chances` unless it is None.
    """
    alone()
    sharpness, t = spread(cast(1 / temperature, like)), spread(cast(temperature, like))
    for c in range(cells):
        centre, total = settled(loaded(ahead(v, c * LANES))), spread(cast(0, like))
        for i in range(k):
            at = (c * k + i) * LANES
            e = exp(narrow(loaded(ahead(x, at)) - centre, like) * sharpness)
            if chances is not None:
                keep(ahead(chances, at), e)
            total = total + e
        keep(ahead(mass, c * LANES), total)
    for c in range(cells):
        here = ahead(v, c * LANES)
        keep(here, loaded(here) + wide(log(loaded(ahead(mass, c * LANES))) * t))


@exact
def weights(w, x, k, cells, v, flow, part, temperature, like):
    """Exponentials of every cell's alternatives less its value `v` into `w`; `part` is `flow` over their sum."""
    alone()
    sharpness = spread(cast(1 / temperature, like))
    for c in range(cells):
        centre, total = settled(loaded(ahead(v, c * LANES))), spread(cast(0, like))
        for i in range(k):
            at = (c * k + i) * LANES
            e = exp(narrow(loaded(ahead(x, at)) - centre, like) * sharpness)
            keep(ahead(w, at), e)
            total = total + e
        keep(ahead(part, c * LANES), ratio(loaded(ahead(flow, c * LANES)), total))


@exact
def share(w, k, cells, flow, part, like):
    """`part`: `flow` over the sum of every cell's chances `w`."""
    alone()
    for c in range(cells):
        total = spread(cast(0, like))
        for i in range(k):
            total = total + loaded(ahead(w, (c * k + i) * LANES))
        keep(ahead(part, c * LANES), ratio(loaded(ahead(flow, c * LANES)), total))


@exact
def _weights_of(w, k, cells, v, flow, part, temperature, p, apart, step, q, apart_q, step_q, like):
    alone()
    sharpness = spread(cast(1 / temperature, like))
    for c in range(cells):
        a, b, line = ahead(p, c * apart), ahead(q, c * apart_q), ahead(w, c * k * LANES)
        centre, total = settled(loaded(ahead(v, c * LANES))), spread(cast(0, like))
        for i in range(k):
            x = wide(loaded(ahead(a, i * step))) + wide(loaded(ahead(b, i * step_q)))
            e = exp(narrow(x - centre, like) * sharpness)
            keep(ahead(line, i * LANES), e)
            total = total + e
        keep(ahead(part, c * LANES), ratio(loaded(ahead(flow, c * LANES)), total))


@exact
def weights_of_pairs(w, v, flow, part, code, state, row, spot, temperature, like):
    """`weights` of a row with one term of two factors, the first from a chart, without keeping their sums."""
    term, k = ahead(code, row[col.FIRST_TERM]), row[col.ALTERNATIVES]
    f = ahead(code, term[col.FIRST_FACTOR])
    g, p = ahead(f, col.FACTOR), ahead(charts_of(state), place(f, spot))
    apart, step, at = f[col.DJ], f[col.E2], place(g, spot)
    if g[col.BUFFER] == code[col.CHARTS]:
        q = ahead(charts_of(state), at)
        _weights_of(w, k, spot.count, v, flow, part, temperature, p, apart, step, q, g[col.DJ], g[col.E2], like)
    else:
        r = ahead(pointer(state[FIELDS], like), at)
        _weights_of(w, k, spot.count, v, flow, part, temperature, p, apart, step, r, g[col.DJ], g[col.E2], like)


@exact
def _give(p, apart, step, w, flow, k, cells, n):
    """Weights times the flow of their cell, added."""
    alone()
    for c in range(cells):
        line, q, f = ahead(w, c * k * LANES), ahead(p, c * apart), loaded(ahead(flow, c * LANES))
        for i in range(n):
            here = ahead(q, i * step)
            keep(here, loaded(here) + loaded(ahead(line, i * LANES)) * f)


@exact
def _write(p, apart, step, w, flow, k, cells, n):
    """The same, written."""
    alone()
    for c in range(cells):
        line, q, f = ahead(w, c * k * LANES), ahead(p, c * apart), loaded(ahead(flow, c * LANES))
        for i in range(n):
            keep(ahead(q, i * step), loaded(ahead(line, i * LANES)) * f)


@exact
def _zero(p, apart, step, cells, n, zero):
    for c in range(cells):
        for i in range(n):
            keep(ahead(p, c * apart + i * step), spread(zero))


@exact
def clear_out(code, state, row, spot, like):
    """No slopes for the entries that a tile without adjoints alone reads."""
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        for i in range(term[col.FIRST_FACTOR], term[col.END_FACTOR], col.FACTOR):
            f = ahead(code, i)
            if f[col.SOLE]:
                at, slopes = place(f, spot), slopes_of(state, f[col.BUFFER], like)
                for e0 in range(term[col.SIZE_0]):
                    for e1 in range(term[col.SIZE_1]):
                        p = ahead(slopes, at + e0 * f[col.E0] + e1 * f[col.E1])
                        _zero(p, f[col.DJ], f[col.E2], spot.count, term[col.SIZE_2], cast(0, like))
    for i in range(row[col.FIRST_LATE], row[col.END_LATE], col.FACTOR):
        f = ahead(code, i)
        if f[col.SOLE]:
            p = ahead(slopes_of(state, f[col.BUFFER], like), place(f, spot))
            _zero(p, f[col.DJ], 0, spot.count, 1, cast(0, like))


@exact
def spread_out(w, flow, code, state, row, spot, like):
    """The adjoints of a tile's alternatives to all their factors; slopes of a sole reader are written."""
    k, adjoint = row[col.ALTERNATIVES], pointer(state[ADJOINT], like)
    for m in range(row[col.FIRST_TERM], row[col.END_TERM], col.TERM):
        term = ahead(code, m)
        n, x = term[col.SIZE_2], ahead(w, term[col.START] * LANES)
        for e0 in range(term[col.SIZE_0]):
            for e1 in range(term[col.SIZE_1]):
                for i in range(term[col.FIRST_FACTOR], term[col.END_FACTOR], col.FACTOR):
                    f = ahead(code, i)
                    at = place(f, spot) + e0 * f[col.E0] + e1 * f[col.E1]
                    if f[col.BUFFER] == code[col.CHARTS]:
                        _give(ahead(adjoint, at), f[col.DJ], f[col.E2], x, flow, k, spot.count, n)
                        continue
                    p = ahead(slopes_of(state, f[col.BUFFER], like), at)
                    if f[col.SOLE]:
                        _write(p, f[col.DJ], f[col.E2], x, flow, k, spot.count, n)
                    else:
                        _give(p, f[col.DJ], f[col.E2], x, flow, k, spot.count, n)
                x = ahead(x, n * LANES)


@exact
def raise_late(v, code, state, row, spot, like):
    """Cells times the factors that all their alternatives share."""
    for i in range(row[col.FIRST_LATE], row[col.END_LATE], col.FACTOR):
        f = ahead(code, i)
        _load_factor(v, 1, code, state, f, spot, 1, place(f, spot), False, like)


@exact
def add(p, apart, step, x, pitch, cells, n):
    """A sheet of narrow numbers to where they belong."""
    alone()
    for c in range(cells):
        line, q = ahead(x, c * pitch * LANES), ahead(p, c * apart)
        for i in range(n):
            here = ahead(q, i * step)
            keep(here, loaded(here) + loaded(ahead(line, i * LANES)))


@exact
def spread_late(flow, code, state, row, spot, like):
    """The adjoints of cells to the factors that all their alternatives share."""
    for i in range(row[col.FIRST_LATE], row[col.END_LATE], col.FACTOR):
        f = ahead(code, i)
        at, cells = place(f, spot), spot.count
        if f[col.BUFFER] == code[col.CHARTS]:
            add(ahead(pointer(state[ADJOINT], like), at), f[col.DJ], 0, flow, 1, cells, 1)
            continue
        p = ahead(slopes_of(state, f[col.BUFFER], like), at)
        if f[col.SOLE]:
            store(p, f[col.DJ], flow, cells)
        else:
            add(p, f[col.DJ], 0, flow, 1, cells, 1)


@exact
def store(p, apart, v, cells):
    """Cells of a tile to where they stand."""
    for c in range(cells):
        keep(ahead(p, c * apart), loaded(ahead(v, c * LANES)))


@exact
def fetch(v, p, apart, cells):
    """The contrary."""
    for c in range(cells):
        keep(ahead(v, c * LANES), loaded(ahead(p, c * apart)))


@exact
def flip(v, cells):
    """Numbers of a tile's cells with the other sign."""
    for c in range(cells):
        keep(ahead(v, c * LANES), spread(0.0) - loaded(ahead(v, c * LANES)))
