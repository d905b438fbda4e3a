"""Loops over two dims, `lines` of `n` numbers: the inner loops of every pass, each simple enough to be vectorised.

A sheet `x` holds its lines one after the other at distance `pitch`; what is read or added to lies anywhere, at distance
`far` from line to line and `near` within a line.
"""

from __future__ import annotations

import numpy as np

from semiring_struct.executors.cpu.native import ahead, alone, exact, exp, log, loose


@exact
def fill(x, pitch, lines, n, value):
    """Every entry."""
    alone()
    for i in range(lines):
        line = ahead(x, i * pitch)
        for j in range(n):
            line[j] = value


@exact
def put(x, pitch, lines, n, p, far, near):
    """`x = p`."""
    alone()
    for i in range(lines):
        line, q = ahead(x, i * pitch), ahead(p, i * far)
        if near == 1:
            for j in range(n):
                line[j] = q[j]
        else:
            for j in range(n):
                line[j] = q[j * near]


@exact
def raise_by(x, pitch, lines, n, p, far, near):
    """`x += p`."""
    alone()
    for i in range(lines):
        line, q = ahead(x, i * pitch), ahead(p, i * far)
        if near == 1:
            for j in range(n):
                line[j] += q[j]
        elif near == 0:
            v = q[0]
            for j in range(n):
                line[j] += v
        else:
            for j in range(n):
                line[j] += q[j * near]


@exact
def put_two(x, pitch, lines, n, p, far, near, q, far_q, near_q):
    """`x = p + q`."""
    alone()
    for i in range(lines):
        line, a, b = ahead(x, i * pitch), ahead(p, i * far), ahead(q, i * far_q)
        if near == 0 and near_q == 1:
            v = a[0]
            for j in range(n):
                line[j] = v + b[j]
        elif near == 1 and near_q == 1:
            for j in range(n):
                line[j] = a[j] + b[j]
        else:
            for j in range(n):
                line[j] = a[j * near] + b[j * near_q]


@loose
def give(p, far, near, x, pitch, lines, n):
    """`p += x`; entries of `x` that meet at one place are summed."""
    alone()
    for i in range(lines):
        line, q = ahead(x, i * pitch), ahead(p, i * far)
        if near == 1:
            for j in range(n):
                q[j] += line[j]
        elif near == 0:
            s = line[0]
            for j in range(1, n):
                s += line[j]
            q[0] += s
        else:
            for j in range(n):
                q[j * near] += line[j]


@exact
def write(p, far, near, x, pitch, lines, n):
    """`p = x`."""
    alone()
    for i in range(lines):
        line, q = ahead(x, i * pitch), ahead(p, i * far)
        if near == 1:
            for j in range(n):
                q[j] = line[j]
        else:
            for j in range(n):
                q[j * near] = line[j]


@loose
def largest_of_lines(x, pitch, lines, n, top):
    """The largest entry of each line."""
    alone()
    for i in range(lines):
        line = ahead(x, i * pitch)
        m = line[0]
        for j in range(1, n):
            m = line[j] if line[j] > m else m
        top[i] = m


@loose
def largest_across(x, pitch, lines, n, top):
    """The largest entry at each place, over the lines."""
    alone()
    for j in range(n):
        top[j] = x[j]
    for i in range(1, lines):
        line = ahead(x, i * pitch)
        for j in range(n):
            top[j] = line[j] if line[j] > top[j] else top[j]


@exact
def less(w, x, lines, n, centre, across):
    """`w = x - centre`: one centre per place where `across`, else one per line."""
    alone()
    for i in range(lines):
        line, out = ahead(x, i * n), ahead(w, i * n)
        if across:
            for j in range(n):
                out[j] = line[j] - centre[j]
        else:
            c = centre[i]
            for j in range(n):
                out[j] = line[j] - c


@exact
def exponentiate(w, x, count, sharpness):
    """`w = exp(x * sharpness)`, all of a sheet as one long line, so that short lines are vectorised too."""
    alone()
    for i in range(count):
        w[i] = exp(x[i] * sharpness)


@loose
def sums(w, lines, n, mass, across):
    """The sum at each place over the lines where `across`, else of each line."""
    alone()
    if across:
        for j in range(n):
            mass[j] = w[j]
        for i in range(1, lines):
            line = ahead(w, i * n)
            for j in range(n):
                mass[j] += line[j]
    else:
        for i in range(lines):
            line = ahead(w, i * n)
            s = line[0]
            for j in range(1, n):
                s += line[j]
            mass[i] = s


@exact
def scale_lines(x, pitch, lines, n, factor):
    """`x *= factor`, one factor per line."""
    alone()
    for i in range(lines):
        line, f = ahead(x, i * pitch), factor[i]
        for j in range(n):
            line[j] *= f


@exact
def scale_across(x, pitch, lines, n, factor):
    """`x *= factor`, one factor per place."""
    alone()
    for i in range(lines):
        line = ahead(x, i * pitch)
        for j in range(n):
            line[j] *= factor[j]


@exact
def lower_by(x, n, p, near):
    """`x -= p`, one line."""
    alone()
    if near == 1:
        for j in range(n):
            x[j] -= p[j]
    else:
        for j in range(n):
            x[j] -= p[j * near]


@loose
def narrowed(out, x, n):
    """`out`: a line less its largest entry, which is returned, 0 in place of `-inf`."""
    alone()
    top = x[0]
    for j in range(1, n):
        top = x[j] if x[j] > top else top
    top = top if top > -np.inf else 0.0
    for j in range(n):
        out[j] = x[j] - top
    return top


@exact
def settle(crest, top, n, shift, lowest, none):
    """`crest = top + shift`; then `none` (0) in place of `lowest` (`-inf`) in `top`."""
    alone()
    for j in range(n):
        crest[j] = top[j] + shift
    for j in range(n):
        top[j] = top[j] if top[j] > lowest else none


@exact
def centre_on(top, crest, n, shift, most, none):
    """`top = crest - shift`, and `none` (0) where that is not finite (`most` is infinity)."""
    alone()
    for j in range(n):
        v = crest[j] - shift
        top[j] = v
    for j in range(n):
        top[j] = top[j] if abs(top[j]) < most else none


@exact
def add_logs(v, mass, n, temperature):
    """`v += temperature * log(mass)`."""
    alone()
    for j in range(n):
        mass[j] = log(mass[j]) * temperature
    for j in range(n):
        v[j] += mass[j]


@exact
def invert(mass, n, unit, none):
    """`1 / mass`, 0 where it is 0."""
    alone()
    for j in range(n):
        mass[j] = unit / mass[j] if mass[j] > none else none


@exact
def times(x, n, factor):
    """`x *= factor`, one line."""
    alone()
    for j in range(n):
        x[j] *= factor[j]
