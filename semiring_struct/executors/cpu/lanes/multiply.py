"""Products of matrices of all lanes at once, forwards and backwards: four rows at a time where there are as many."""

from __future__ import annotations

from typing import NamedTuple

from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.lanes.vectors import keep, loaded, more, spread
from semiring_struct.executors.cpu.native import ahead, alone, exact


class Sizes(NamedTuple):
    """A product's rows, summed entries and columns."""

    p: int
    k: int
    q: int


@exact
def _one_row(line, row, b, s, zero):
    """A row of a product, four columns at a time."""
    j = 0
    while j + 4 <= s.q:
        t0, t1, t2, t3 = spread(zero), spread(zero), spread(zero), spread(zero)
        for h in range(s.k):
            v, other = loaded(ahead(row, h * LANES)), ahead(b, (h * s.q + j) * LANES)
            t0 = more(v, loaded(other), t0)
            t1 = more(v, loaded(ahead(other, LANES)), t1)
            t2 = more(v, loaded(ahead(other, 2 * LANES)), t2)
            t3 = more(v, loaded(ahead(other, 3 * LANES)), t3)
        here = ahead(line, j * LANES)
        keep(here, t0)
        keep(ahead(here, LANES), t1)
        keep(ahead(here, 2 * LANES), t2)
        keep(ahead(here, 3 * LANES), t3)
        j += 4
    while j < s.q:
        t = spread(zero)
        for h in range(s.k):
            t = more(loaded(ahead(row, h * LANES)), loaded(ahead(b, (h * s.q + j) * LANES)), t)
        keep(ahead(line, j * LANES), t)
        j += 1


@exact
def _four_rows(out, a, b, s, zero):
    """Four rows of a product, two columns at a time: each number of the right side is read once for all."""
    row, line, j = s.k * LANES, s.q * LANES, 0
    while j + 2 <= s.q:
        t0, t1, t2, t3 = spread(zero), spread(zero), spread(zero), spread(zero)
        u0, u1, u2, u3 = spread(zero), spread(zero), spread(zero), spread(zero)
        for h in range(s.k):
            v, at = ahead(a, h * LANES), ahead(b, (h * s.q + j) * LANES)
            x, y = loaded(at), loaded(ahead(at, LANES))
            v0, v1 = loaded(v), loaded(ahead(v, row))
            v2, v3 = loaded(ahead(v, 2 * row)), loaded(ahead(v, 3 * row))
            t0, t1, t2, t3 = more(v0, x, t0), more(v1, x, t1), more(v2, x, t2), more(v3, x, t3)
            u0, u1, u2, u3 = more(v0, y, u0), more(v1, y, u1), more(v2, y, u2), more(v3, y, u3)
        here = ahead(out, j * LANES)
        _keep_two(here, t0, u0)
        _keep_two(ahead(here, line), t1, u1)
        _keep_two(ahead(here, 2 * line), t2, u2)
        _keep_two(ahead(here, 3 * line), t3, u3)
        j += 2
    if j < s.q:
        for i in range(4):
            t = spread(zero)
            for h in range(s.k):
                t = more(loaded(ahead(a, i * row + h * LANES)), loaded(ahead(b, (h * s.q + j) * LANES)), t)
            keep(ahead(out, i * line + j * LANES), t)


@exact
def _keep_two(p, x, y):
    keep(p, x)
    keep(ahead(p, LANES), y)


@exact
def multiply(out, a, b, s, zero):
    """`out[p, q] = sum_k a[p, k] b[k, q]`."""
    alone()
    i = 0
    while i + 4 <= s.p:
        _four_rows(ahead(out, i * s.q * LANES), ahead(a, i * s.k * LANES), b, s, zero)
        i += 4
    while i < s.p:
        _one_row(ahead(out, i * s.q * LANES), ahead(a, i * s.k * LANES), b, s, zero)
        i += 1


@exact
def _four_back(a_bar, b_bar, a, b, h, s, zero):
    """Four rows of `multiply_back`: each number of the right side, and of its adjoints, is read once for all."""
    row, line = s.k * LANES, s.q * LANES
    for j in range(s.k):
        at, v = j * s.q * LANES, ahead(a, j * LANES)
        v0, v1 = loaded(v), loaded(ahead(v, row))
        v2, v3 = loaded(ahead(v, 2 * row)), loaded(ahead(v, 3 * row))
        t0, t1, t2, t3 = spread(zero), spread(zero), spread(zero), spread(zero)
        for c in range(s.q):
            other, out, f = loaded(ahead(b, at + c * LANES)), ahead(b_bar, at + c * LANES), ahead(h, c * LANES)
            f0, f1 = loaded(f), loaded(ahead(f, line))
            f2, f3 = loaded(ahead(f, 2 * line)), loaded(ahead(f, 3 * line))
            t0, t1 = more(f0, other, t0), more(f1, other, t1)
            t2, t3 = more(f2, other, t2), more(f3, other, t3)
            keep(out, more(v3, f3, more(v2, f2, more(v1, f1, more(v0, f0, loaded(out))))))
        here = ahead(a_bar, j * LANES)
        keep(here, t0 * v0)
        keep(ahead(here, row), t1 * v1)
        keep(ahead(here, 2 * row), t2 * v2)
        keep(ahead(here, 3 * row), t3 * v3)


@exact
def multiply_back(a_bar, b_bar, a, b, h, s, zero):
    """`a_bar[p, k] = a[p, k] sum_q h[p, q] b[k, q]`, and `b_bar[k, q] += sum_p a[p, k] h[p, q]`."""
    alone()
    i = 0
    while i + 4 <= s.p:
        at, line = i * s.k * LANES, ahead(h, i * s.q * LANES)
        _four_back(ahead(a_bar, at), b_bar, ahead(a, at), b, line, s, zero)
        i += 4
    while i < s.p:
        line = ahead(h, i * s.q * LANES)
        for j in range(s.k):
            at, t, v = j * s.q * LANES, spread(zero), loaded(ahead(a, (i * s.k + j) * LANES))
            for c in range(s.q):
                f, out = loaded(ahead(line, c * LANES)), ahead(b_bar, at + c * LANES)
                t = more(f, loaded(ahead(b, at + c * LANES)), t)
                keep(out, more(v, f, loaded(out)))
            keep(ahead(a_bar, (i * s.k + j) * LANES), t * v)
        i += 1
