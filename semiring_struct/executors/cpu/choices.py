"""Reductions for compiled code: values of cells, and the local choices among their alternatives.

`x` is a tile of alternatives, *centred*: the largest of each cell is 0 (or near it, for the weights of a log-sum), or
all are `-inf`. `w` is a tile of weights. The entry of alternative `k` of cell `j` is `k * far + j * near`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from semiring_struct.executors.cpu.native import alone, cast, exact, log, noise
from semiring_struct.executors.cpu.sheets import exponentiate, fill, invert, sums
from semiring_struct.semirings import Reduction
from semiring_struct.semirings.gumbel import GumbelSoftmaxReduction
from semiring_struct.semirings.log import LogReduction
from semiring_struct.semirings.max import MaxReduction
from semiring_struct.semirings.sample import SampleReduction
from semiring_struct.semirings.smooth import EntmaxReduction, SoftmaxReduction

# log-sums at a temperature; maxima; smoothed maxima of order alpha at a temperature; log-sums of which one draw takes
# all; log-sums of which a softmax of noisy alternatives takes all, or its largest entry
SOFT, MOST, TSALLIS, DRAW, GUMBEL, HARD = range(6)


class Rule(NamedTuple):
    """A reduction: which one, and its settings."""

    kind: int
    temperature: float
    alpha: float


def rule_of(reduction: Reduction) -> Rule:
    """The reduction in the form that compiled code takes."""
    t = float(getattr(reduction, "temperature", 1.0))
    if isinstance(reduction, LogReduction | SoftmaxReduction):
        return Rule(SOFT, t, 1.0)
    if isinstance(reduction, MaxReduction):
        return Rule(MOST, t, 1.0)
    if isinstance(reduction, SampleReduction):
        return Rule(DRAW, t, 1.0)
    if isinstance(reduction, GumbelSoftmaxReduction):
        return Rule(HARD if reduction.hard else GUMBEL, t, 1.0)
    return Rule(TSALLIS, t, float(reduction.alpha) if isinstance(reduction, EntmaxReduction) else 2.0)


class Shape(NamedTuple):
    """A tile: number of alternatives and of cells, whether lines are alternatives, and the strides of both."""

    alternatives: int
    cells: int
    across: int
    far: int
    near: int


class Noise(NamedTuple):
    """A stream, and the number of a tile's first cell and the distance to the next one's."""

    key: int
    first: int
    step: int


@exact
def one_hot(rule):
    """Whether the weights of a cell are one-hot: a backward pass then visits only cells that were chosen."""
    return rule.kind == MOST or rule.kind == DRAW


@exact
def mass_of(w, shape, mass):
    """The sum of `w` over the alternatives of each cell."""
    lines, n = (shape.alternatives, shape.cells) if shape.across else (shape.cells, shape.alternatives)
    sums(w, lines, n, mass, shape.across)


@exact
def masses(w, x, shape, sharpness, mass):
    """`w = exp(x * sharpness)`, and its sum over the alternatives of each cell."""
    exponentiate(w, x, shape.alternatives * shape.cells, sharpness)
    mass_of(w, shape, mass)


@exact
def values(rule, x, w, shape, out, like):
    """The value of every cell with at least one alternative."""
    alone()
    if rule.kind == MOST:
        fill(out, shape.cells, 1, shape.cells, cast(0, like))
    elif rule.kind == TSALLIS:
        for j in range(shape.cells):
            out[j] = _tsallis(rule, x, w, shape, j)
    else:
        t = rule.temperature if rule.kind == SOFT else 1.0
        masses(w, x, shape, cast(1 / t, like), out)
        scale = cast(t, like)
        for j in range(shape.cells):
            out[j] = log(out[j]) * scale


@exact
def _tsallis(rule, x, w, shape, j):
    """Entmax of one cell's alternatives into `w`; returns the value it attains.

    The threshold c solves `sum (1 + q (z - c))^(1/q) = 1`, q = alpha - 1: Newton's method kept inside a bracket.
    """
    alone()
    q, t = rule.alpha - 1.0, rule.temperature
    k, far, at = shape.alternatives, shape.far, j * shape.near
    low, high = 0.0, -math.expm1(-q * math.log(k)) / q
    c = 0.0
    for _ in range(100):
        mass, slope = 0.0, 0.0
        for i in range(k):
            base = q * (x[at + i * far] / t - c)
            if base > -1.0:
                p = math.exp(math.log1p(base) / q)
                mass += p
                slope += p / (1.0 + base)
        if mass >= 1.0:
            low = c
        else:
            high = c
        step = c + (mass - 1.0) / slope if slope > 0.0 else 0.5 * (low + high)
        step = step if low <= step <= high else 0.5 * (low + high)
        if abs(step - c) <= 4e-16 * (1.0 + c):
            break
        c = step
    total = 0.0
    for i in range(k):
        base = q * (x[at + i * far] / t - c)
        p = math.exp(math.log1p(base) / q) if base > -1.0 else 0.0
        w[at + i * far] = p
        total += p
    linear, power = 0.0, 0.0
    for i in range(k):
        p = w[at + i * far] / total
        w[at + i * far] = p
        if p > 0.0:
            linear += p * x[at + i * far] / t
            power += p**rule.alpha
    return t * (linear + (1.0 - power) / (rule.alpha * q))


@exact
def onto(w, shape, j, chosen):
    """All weight of a cell on one alternative, none where `chosen` is negative."""
    alone()
    for i in range(shape.alternatives):
        w[j * shape.near + i * shape.far] = 0
    if chosen >= 0:
        w[j * shape.near + chosen * shape.far] = 1


@exact
def best(x, shape, j):
    """The first largest alternative, -1 where all are forbidden."""
    alone()
    most, at = -np.inf, -1
    for i in range(shape.alternatives):
        v = x[j * shape.near + i * shape.far]
        if v > most:
            most, at = v, i
    return at


@exact
def _drawn(x, shape, j, u):
    """An alternative drawn by inverting the running sum at `u`, -1 where all are forbidden."""
    alone()
    total = 0.0
    for i in range(shape.alternatives):
        total += math.exp(x[j * shape.near + i * shape.far])
    goal, running, at = u * total, 0.0, -1
    for i in range(shape.alternatives):
        part = math.exp(x[j * shape.near + i * shape.far])
        running += part
        if part > 0.0:
            at = i
            if running >= goal:
                break
    return at


@exact
def weigh(rule, x, w, shape, norm, random, like):
    """Weights of every cell's alternatives, still to be multiplied by the cell's `norm`; all 0 where all forbidden."""
    alone()
    if rule.kind == SOFT:
        masses(w, x, shape, cast(1 / rule.temperature, like), norm)
        invert(norm, shape.cells, cast(1, like), cast(0, like))
        return
    for j in range(shape.cells):
        norm[j] = 1
        if rule.kind == MOST:
            onto(w, shape, j, best(x, shape, j))
        elif rule.kind == DRAW:
            onto(w, shape, j, _drawn(x, shape, j, noise(random.key, random.first + j * random.step)))
        elif best(x, shape, j) < 0:
            onto(w, shape, j, -1)
        elif rule.kind == TSALLIS:
            _tsallis(rule, x, w, shape, j)
        else:
            relaxed(rule, x, w, shape, j, random)
            if rule.kind == HARD:
                onto(w, shape, j, best(w, shape, j))


@exact
def relaxed(rule, x, w, shape, j, random):
    """A cell's softmax of alternatives with Gumbel noise added."""
    alone()
    k, far, at = shape.alternatives, shape.far, j * shape.near
    top, total = -np.inf, 0.0
    for i in range(k):
        u = noise(random.key, (random.first + j * random.step) * k + i)
        v = (x[at + i * far] - math.log(-math.log(u))) / rule.temperature
        top = max(top, v)
    for i in range(k):
        u = noise(random.key, (random.first + j * random.step) * k + i)
        v = (x[at + i * far] - math.log(-math.log(u))) / rule.temperature
        p = math.exp(v - top) if v > -np.inf else 0.0
        w[at + i * far] = p
        total += p
    for i in range(k):
        w[at + i * far] = w[at + i * far] / total if total > 0.0 else 0.0
