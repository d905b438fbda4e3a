"""What the second channel needs of a reduction: gradients of its values, and derivatives of its weights."""

from __future__ import annotations

import math

from semiring_struct.executors.cpu.choices import (
    DRAW,
    GUMBEL,
    HARD,
    MOST,
    SOFT,
    TSALLIS,
    Rule,
    best,
    onto,
    weigh,
)  # fmt: skip
from semiring_struct.executors.cpu.native import exact

HIGHEST = 1e150


@exact
def _normalise(w, shape, norm):
    """Weights multiplied by their norms."""
    for k in range(shape.alternatives):
        for j in range(shape.cells):
            w[k * shape.far + j * shape.near] *= norm[j]


@exact
def slopes(rule, x, w, shape, norm, random, like):
    """The gradient of every cell's value: the weights, or, where these are noisy, those of the log-sum."""
    if rule.kind == DRAW or rule.kind == GUMBEL or rule.kind == HARD:
        weigh(Rule(SOFT, 1.0, 1.0), x, w, shape, norm, random, like)
    else:
        weigh(rule, x, w, shape, norm, random, like)
    _normalise(w, shape, norm)


@exact
def bends(rule, x, w, moved, shape, norm, random, like):
    """Weights into `w`, and over the tangents `moved` of the alternatives those of the weights."""
    if rule.kind == GUMBEL or rule.kind == HARD:
        weigh(Rule(GUMBEL, rule.temperature, 1.0), x, w, shape, norm, random, like)
    else:
        weigh(rule, x, w, shape, norm, random, like)
    _normalise(w, shape, norm)
    for j in range(shape.cells):
        if rule.kind == MOST or rule.kind == DRAW:
            for k in range(shape.alternatives):
                moved[k * shape.far + j * shape.near] = 0
        elif rule.kind == TSALLIS:
            _bend_tsallis(rule, w, moved, shape, j)
        else:
            _bend_soft(w, moved, shape, j, rule.temperature)
            if rule.kind == HARD:
                pick = best(w, shape, j)
                onto(w, shape, j, pick if w[j * shape.near + pick * shape.far] > 0 else -1)


@exact
def _bend_soft(w, moved, shape, j, temperature):
    """Weights times the tangent less its mean, over the temperature."""
    far, at = shape.far, j * shape.near
    mean = 0.0
    for i in range(shape.alternatives):
        mean += w[at + i * far] * moved[at + i * far]
    for i in range(shape.alternatives):
        moved[at + i * far] = w[at + i * far] * (moved[at + i * far] - mean) / temperature


@exact
def _slope(p, alpha):
    """`p^(2 - alpha)`: above alpha 2 that of a vanishing weight overflows; the cap leaves its share of the sum at 1."""
    return min(math.exp((2.0 - alpha) * math.log(p)), HIGHEST) if p > 0.0 else 0.0


@exact
def _bend_tsallis(rule, w, moved, shape, j):
    """`(diag(s) - s s^T / sum(s)) / t` times the tangent, `s = weights^(2 - alpha)`."""
    far, at = shape.far, j * shape.near
    total, mean = 0.0, 0.0
    for i in range(shape.alternatives):
        s = _slope(w[at + i * far], rule.alpha)
        total += s
        mean += s * moved[at + i * far]
    mean = mean / total if total > 0.0 else 0.0
    for i in range(shape.alternatives):
        moved[at + i * far] = _slope(w[at + i * far], rule.alpha) * (moved[at + i * far] - mean) / rule.temperature
