"""Reductions: what is kept of a cell once its alternatives are seen, and from this the weight of each of them.

Alternatives are float64 and come in tiles `(cells, alternatives)`; only their distances from what is kept are narrow.
A cell whose alternatives are all forbidden keeps `-inf`, or the number -1.
"""

# Triton declares that its compiled functions never return
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.cuda.places import three, times

ROUNDS = tl.constexpr(100)
CLOSE = tl.constexpr(4e-16)
HIGHEST = tl.constexpr(1e150)
GOLDEN, MIX_1, MIX_2 = (tl.constexpr(i - 2**64) for i in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@triton.jit
def _shifted(z, bits):
    """`z >> bits` with zeros moving in."""
    return (z.to(tl.uint64, bitcast=True) >> bits).to(tl.int64, bitcast=True)


@triton.jit
def uniform(key, count):
    """The numbers `count` on (0, 1) of the stream `key`, as `ops.uniform_at` [steele2014]."""
    z = key + (count + 1) * GOLDEN
    z = (z ^ _shifted(z, 30)) * MIX_1
    z = (z ^ _shifted(z, 27)) * MIX_2
    return (_shifted(z ^ _shifted(z, 31), 13).to(tl.float64) + 0.5) * 4.440892098500626e-16


@triton.jit
def gumbel(here, row, cell, number):
    """The noise of alternatives: each cell has numbers of its own, and each of its alternatives one of these."""
    code, key = here[0], here[4]
    first = (cell + tl.load(code + row + at.NOISE)) * tl.load(code + row + at.ALTERNATIVES)
    return -tl.log(-tl.log(uniform(key, first + number)))


@triton.jit
def tile(here, row, term, k, fields, charts, left, cell, live, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """The alternatives of a term from `k` on, noise added where choices are relaxed; their numbers; which exist."""
    code = here[0]
    size = tl.load(code + term).to(tl.int32)
    s = k + tl.arange(0, B)
    right = three(s, code + term + 4)[0]
    mask = live[:, None] & (s < size)[None, :]
    first, end = tl.load(code + term + at.FIRST_FACTOR), tl.load(code + term + at.END_FACTOR)
    x = times(tl.zeros([A, B], tl.float64), here, first, end, fields, charts, left, right, mask)
    x = tl.where(mask, x, float("-inf"))
    number = tl.load(code + term + at.START) + s
    if KIND == at.GUMBEL or KIND == at.HARD:
        x += gumbel(here, row, cell[:, None], number[None, :])
    return x, number, right, mask


@triton.jit
def peak(here, row, fields, charts, left, cell, live, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """The largest alternative, and the number of the first that attains it."""
    code = here[0]
    top = tl.full([A], float("-inf"), tl.float64)
    pick = tl.full([A], -1, tl.int64)
    for term in range(tl.load(code + row + at.FIRST_TERM), tl.load(code + row + at.END_TERM), at.TERM):
        past = tl.load(code + term + at.START) + tl.load(code + term)
        for k in range(0, tl.load(code + term).to(tl.int32), B):
            x, number = tile(here, row, term, k, fields, charts, left, cell, live, KIND, A, B)[:2]
            most = tl.max(x, 1)
            first = tl.min(tl.where(x == tl.expand_dims(most, 1), number[None, :], past), 1)
            pick = tl.where(most > top, first, pick)
            top = tl.maximum(top, most)
    return top, pick


@triton.jit
def log_sum(here, row, fields, charts, left, cell, live, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """The log-sum of the alternatives at the temperature, in one pass."""
    code, rule = here[0], here[3]
    minus = float("-inf")
    narrow = fields.dtype.element_ty
    sharp = tl.load(rule + at.SHARPNESS).to(narrow)
    top = tl.full([A], minus, tl.float64)
    mass = tl.zeros([A], narrow)
    for term in range(tl.load(code + row + at.FIRST_TERM), tl.load(code + row + at.END_TERM), at.TERM):
        for k in range(0, tl.load(code + term).to(tl.int32), B):
            x = tile(here, row, term, k, fields, charts, left, cell, live, KIND, A, B)[0]
            higher = tl.maximum(top, tl.max(x, 1))
            crest = tl.where(higher == minus, 0.0, higher)
            mass = mass * tl.exp((top - crest).to(narrow) * sharp)
            mass += tl.sum(tl.exp((x - crest[:, None]).to(narrow) * sharp), 1)
            top = higher
    gain = tl.load(rule + at.TEMPERATURE) * tl.log(tl.where(top == minus, 1.0, mass.to(tl.float64)))
    return tl.where(top == minus, minus, top + gain)


@triton.jit
def drawn(here, row, fields, charts, left, cell, live, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """The number of an alternative drawn by inverting the running sum: the last that begins below its goal."""
    code, key = here[0], here[4]
    narrow = fields.dtype.element_ty
    top, pick = peak(here, row, fields, charts, left, cell, live, KIND, A, B)
    crest = tl.where(pick < 0, 0.0, top)
    goal = tl.zeros([A], tl.float64)
    for again in range(2):
        running = tl.zeros([A], tl.float64)
        for term in range(tl.load(code + row + at.FIRST_TERM), tl.load(code + row + at.END_TERM), at.TERM):
            for k in range(0, tl.load(code + term).to(tl.int32), B):
                x, number = tile(here, row, term, k, fields, charts, left, cell, live, KIND, A, B)[:2]
                part = tl.exp((x - crest[:, None]).to(narrow)).to(tl.float64)
                if again == 1:
                    before = tl.expand_dims(running, 1) + tl.cumsum(part, 1) - part
                    begun = (part > 0.0) & (before < tl.expand_dims(goal, 1))
                    pick = tl.maximum(pick, tl.max(tl.where(begun, number[None, :], -1), 1))
                running += tl.sum(part, 1)
        if again == 0:
            goal = running * uniform(key, cell + tl.load(code + row + at.NOISE))
            pick = tl.full([A], -1, tl.int64)
    return pick


@triton.jit
def _powers(
    here, row, fields, charts, left, cell, live, top, c, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr
):  # fmt: skip
    """At threshold `c`, with z the alternatives less their largest over the temperature and q one less than alpha.

    The sums of the powers p = (1 + q (z - c))^(1/q), of their slopes, of p z and of p^alpha.
    """
    code, rule = here[0], here[3]
    sharp, q = tl.load(rule + at.SHARPNESS), tl.load(rule + at.ALPHA) - 1.0
    root = 1.0 / q
    crest = tl.where(top == float("-inf"), 0.0, top)
    mass, slope = tl.zeros([A], tl.float64), tl.zeros([A], tl.float64)
    linear, power = tl.zeros([A], tl.float64), tl.zeros([A], tl.float64)
    for term in range(tl.load(code + row + at.FIRST_TERM), tl.load(code + row + at.END_TERM), at.TERM):
        for k in range(0, tl.load(code + term).to(tl.int32), B):
            x = tile(here, row, term, k, fields, charts, left, cell, live, KIND, A, B)[0]
            z = (x - crest[:, None]) * sharp
            base = 1.0 + q * (z - c[:, None])
            used = base > 0.0
            base = tl.where(used, base, 1.0)
            p = tl.where(used, tl.exp(tl.log(base) * root), 0.0)
            mass += tl.sum(p, 1)
            slope += tl.sum(p / base, 1)
            linear += tl.sum(p * tl.where(used, z, 0.0), 1)
            power += tl.sum(p * base, 1)
    return mass, slope, linear, power


@triton.jit
def smoothed(here, row, fields, charts, left, cell, live, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """The smoothed maximum, the threshold above which alternatives have weight, and the mass that is left of 1.

    The threshold is found by Newton's method kept inside a bracket.
    """
    code, rule = here[0], here[3]
    t, alpha = tl.load(rule + at.TEMPERATURE), tl.load(rule + at.ALPHA)
    q = alpha - 1.0
    top, pick = peak(here, row, fields, charts, left, cell, live, KIND, A, B)
    most = tl.maximum(tl.load(code + row + at.ALTERNATIVES), 1).to(tl.float64)
    c, low, high = tl.zeros([A], tl.float64), tl.zeros([A], tl.float64), tl.zeros([A], tl.float64)
    high += (1.0 - tl.exp(-q * tl.log(most))) / q
    mass, linear, power = tl.zeros([A], tl.float64), tl.zeros([A], tl.float64), tl.zeros([A], tl.float64)
    rounds, going = 0, 1
    while going > 0:
        mass, slope, linear, power = _powers(here, row, fields, charts, left, cell, live, top, c, KIND, A, B)
        low, high = tl.where(mass >= 1.0, c, low), tl.where(mass >= 1.0, high, c)
        step = c + (mass - 1.0) / tl.where(slope > 0.0, slope, 1.0)
        inside = (slope > 0.0) & (step >= low) & (step <= high)
        step = tl.where(inside, step, 0.5 * (low + high))
        moving = (pick >= 0) & (tl.abs(step - c) > (1.0 + c) * CLOSE)
        c = tl.where(moving, step, c)
        rounds += 1
        going = tl.where(rounds < ROUNDS, tl.max(moving.to(tl.int32)), 0)
    mass = tl.where(pick < 0, 1.0, mass)
    gain = linear / mass + (1.0 - power / tl.exp(alpha * tl.log(mass))) / (alpha * q)
    return tl.where(pick < 0, top, top + t * gain), tl.where(pick < 0, top, top + t * c), mass


@triton.jit
def value(here, row, fields, charts, left, cell, live, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """The value of `A` cells: a log-sum, a maximum or a smoothed one."""
    if KIND == at.MOST:
        out = peak(here, row, fields, charts, left, cell, live, KIND, A, B)[0]
    elif KIND == at.TSALLIS:
        out = smoothed(here, row, fields, charts, left, cell, live, KIND, A, B)[0]
    else:
        out = log_sum(here, row, fields, charts, left, cell, live, KIND, A, B)
    return out


@triton.jit
def kept(
    here, row, fields, charts, left, cell, live, DUAL: tl.constexpr, KIND: tl.constexpr, A: tl.constexpr,
    B: tl.constexpr,
):  # fmt: skip
    """What `weights` and `bends` are told of each of `A` cells; see `columns.CREST` and `columns.MASS`."""
    mass = tl.full([A], 1.0, tl.float64)
    if KIND == at.TSALLIS:
        crest, mass = smoothed(here, row, fields, charts, left, cell, live, KIND, A, B)[1:]
    elif KIND == at.DRAW:
        crest = drawn(here, row, fields, charts, left, cell, live, KIND, A, B).to(tl.float64)
    elif KIND == at.MOST or KIND == at.HARD:
        pick = peak(here, row, fields, charts, left, cell, live, KIND, A, B)[1]
        crest = pick.to(tl.float64)
        if DUAL:
            mass = log_sum(here, row, fields, charts, left, cell, live, KIND, A, B)
    else:
        crest = log_sum(here, row, fields, charts, left, cell, live, KIND, A, B)
    return crest, mass


@triton.jit
def _softmax(x, crest, rule, narrow: tl.constexpr):
    """Shares of a log-sum."""
    dead = crest == float("-inf")
    z = (x - tl.where(dead, 0.0, crest)).to(narrow)
    return tl.where(dead, 0.0, tl.exp(z * tl.load(rule + at.SHARPNESS).to(narrow)))


@triton.jit
def _entmax(x, crest, mass, rule):
    """Shares above a threshold, float64."""
    q = tl.load(rule + at.ALPHA) - 1.0
    dead = crest == float("-inf")
    base = 1.0 + q * ((x - tl.where(dead, 0.0, crest)) * tl.load(rule + at.SHARPNESS))
    used = (base > 0.0) & (dead == 0)
    return tl.where(used, tl.exp(tl.log(tl.where(used, base, 1.0)) * (1.0 / q)) / mass, 0.0)


@triton.jit
def weights(x, number, crest, mass, rule, narrow: tl.constexpr, KIND: tl.constexpr):
    """The share of each alternative in its cell."""
    if KIND == at.TSALLIS:
        w = _entmax(x, crest, mass, rule).to(narrow)
    elif KIND == at.SOFT or KIND == at.GUMBEL:
        w = _softmax(x, crest, rule, narrow)
    else:
        w = tl.where(number.to(tl.float64) == crest, 1.0, 0.0).to(narrow)
    return w


@triton.jit
def leverage(x, crest, mass, rule, narrow: tl.constexpr, KIND: tl.constexpr):
    """How much each weight yields to its alternative, float64: the weight, or its power 2 - alpha, capped."""
    if KIND == at.TSALLIS:
        w = _entmax(x, crest, mass, rule)
        power = tl.exp((2.0 - tl.load(rule + at.ALPHA)) * tl.log(tl.where(w > 0.0, w, 1.0)))
        s = tl.where(w > 0.0, tl.minimum(power, HIGHEST), 0.0)
    elif KIND == at.HARD:
        s = _softmax(x, mass, rule, narrow).to(tl.float64)
    else:
        s = _softmax(x, crest, rule, narrow).to(tl.float64)
    return s
