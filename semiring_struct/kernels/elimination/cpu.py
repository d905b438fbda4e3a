"""The same elimination in compiled code (the extra `cpu`), on weights themselves, wherever their range allows it.

Columns are scaled by their largest weight. An instance is certified as long as no product of two weights, a share of a
pivot and a weight, comes near the smallest number; for the others the caller goes back to log space. The gradient in
the weights is as stable as that of `reference.arcs`: times its weight, each entry is a probability.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from semiring_struct.kernels.entry import entry

TINY = 1e-280


@entry(fastmath=frozenset({"contract", "nsz", "reassoc"}))
def sums(w, lengths, single, log_z, arcs):
    """Fill `log_z (B,)` and, unless it is empty, `arcs (B, m, m)`; NaN in `log_z` for what is not certified."""
    batch, m = w.shape[:2]
    weight, first, slope, share = np.empty((m, m)), np.empty((m, m)), np.zeros((m, m)), np.empty((m, m))
    pivot, lonely = np.empty(m), np.zeros(m, dtype=np.bool_)
    for b in range(batch):
        size = lengths[b] + 1
        total = _scale(w[b], size, single, weight)
        first[:size, :size] = weight[:size, :size]
        log_z[b] = total + _eliminate(weight, size, single, share, pivot, lonely)
        if len(arcs) and log_z[b] > -math.inf:
            _undo(weight, size, single, share, pivot, lonely, slope)
            for h in range(size):
                for d in range(1, size):
                    if h != d:
                        arcs[b, h, d] = min(max(first[h, d] * slope[h, d], 0.0), 1.0)


@njit(nogil=True, error_model="numpy")
def _scale(w, size, single, out):
    """Weights with columns, and for a single root the root's row, scaled to 1; the log of the scales, NaN if lost."""
    start, total = 1 if single else 0, 0.0
    for d in range(1, size):
        top = -math.inf
        for h in range(start, size):
            if h != d and w[h, d] > top:
                top = w[h, d]
        top = 0.0 if top == -math.inf else top
        total += top
        for h in range(size):
            out[h, d] = w[h, d] - top
    if single and size > 1:
        top = -math.inf
        for d in range(1, size):
            top = max(top, out[0, d])
        top = 0.0 if top == -math.inf else top
        total += top
        for d in range(1, size):
            out[0, d] -= top
    for h in range(size):
        out[h, 0] = 0.0
        for d in range(1, size):
            x = 0.0 if h == d else math.exp(out[h, d])
            if h != d and x < TINY and w[h, d] > -math.inf:
                total = math.nan
            out[h, d] = x
    return total


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _eliminate(weight, size, single, share, pivot, lonely):
    """Eliminate in place; the log of the product of pivots. `share[v]` is the share of each head of v."""
    rooted, total = not single, 0.0
    for v in range(size - 1, 0, -1):
        mass = weight[0, v] if rooted else 0.0
        for h in range(1, v):
            mass += weight[h, v]
        lonely[v] = mass == 0.0 and not rooted
        if lonely[v]:
            mass = weight[0, v]
        if mass == 0.0:
            return -math.inf
        pivot[v] = mass
        total += math.log(mass)
        if lonely[v]:
            rooted = True
            for d in range(1, v):
                weight[0, d] = weight[v, d]
            continue
        low_share, low = math.inf, math.inf
        for h in range(v):
            share[v, h] = weight[h, v] / mass
            if share[v, h] > 0.0:
                low_share = min(low_share, share[v, h])
        for d in range(1, v):
            if weight[v, d] > 0.0:
                low = min(low, weight[v, d])
        if low_share < TINY or low_share * low < TINY:
            return math.nan
        for h in range(v):
            x = share[v, h]
            if x > 0.0:
                for d in range(1, v):
                    weight[h, d] += x * weight[v, d]
    return total


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _undo(weight, size, single, share, pivot, lonely, slope):
    """The gradient `slope` of the log of the sum in the weights before elimination; 0 where a weight is 0."""
    spent = 0
    for v in range(1, size):
        if lonely[v]:
            spent = v
    for v in range(1, size):
        if lonely[v]:
            for d in range(1, v):
                slope[v, d] = slope[0, d]
                slope[0, d] = 0.0
            for h in range(v):
                slope[h, v] = 0.0
            slope[0, v] = 1.0 / pivot[v]
            continue
        for d in range(1, v):
            slope[v, d] = 0.0
        for h in range(v):
            out, x = 0.0, share[v, h]
            for d in range(1, v):
                if d != h:
                    out += slope[h, d] * weight[v, d]
                    slope[v, d] += x * slope[h, d]
            slope[h, v] = out
        leaf = 1.0
        for d in range(1, v):
            slope[v, d] = slope[v, d] if weight[v, d] > 0.0 else 0.0
            leaf -= slope[v, d] * weight[v, d]
        rooted = not single or v < spent
        for h in range(v):
            known = h > 0 or rooted
            slope[h, v] = (slope[h, v] + (leaf if known else 0.0)) / pivot[v] if weight[h, v] > 0.0 else 0.0
