"""Log-partition and its gradient in float32 for four structures, each in numba loops of its own, one instance a time.

They are what a careful author would write: no checks, no lengths, no forbidden parts, potentials of moderate size. The
exponential is the library's, which vectorises.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from semiring_struct.executors.cpu.native import exp

_compile: Any = njit
loop = _compile(fastmath={"contract", "nsz", "nnan", "reassoc"}, error_model="numpy", nogil=True, cache=True)
F = np.float32


@loop
def chain(emission, transition, emitted, moved):
    """`emission (b, n, c)`, `transition (b, n-1, c, c)`; the gradients go to the last two. Returns log Z."""
    batch, n, c = emission.shape
    alpha, top, mass = np.empty((n, c), F), np.empty(c, F), np.empty(c, F)
    flow, next_flow = np.empty(c, F), np.empty(c, F)
    log_z = np.empty(batch, np.float64)
    for b in range(batch):
        shift = 0.0
        for j in range(c):
            alpha[0, j] = emission[b, 0, j]
        for t in range(n - 1):
            for j in range(c):
                top[j] = alpha[t, 0] + transition[b, t, 0, j]
            for i in range(1, c):
                a = alpha[t, i]
                for j in range(c):
                    top[j] = max(top[j], a + transition[b, t, i, j])
            for j in range(c):
                mass[j] = F(0)
            for i in range(c):
                a = alpha[t, i]
                for j in range(c):
                    mass[j] += exp(a + transition[b, t, i, j] - top[j])
            for j in range(c):
                alpha[t + 1, j] = top[j] + F(math.log(mass[j])) + emission[b, t + 1, j]
            crest = alpha[t + 1].max()
            for j in range(c):
                alpha[t + 1, j] -= crest
            shift += crest
        total = F(0)
        crest = alpha[n - 1].max()
        for j in range(c):
            flow[j] = exp(alpha[n - 1, j] - crest)
            total += flow[j]
        log_z[b] = shift + crest + math.log(total)
        for j in range(c):
            flow[j] /= total
        for t in range(n - 2, -1, -1):
            for j in range(c):
                emitted[b, t + 1, j] = flow[j]
                mass[j] = F(0)
                top[j] = alpha[t + 1, j] - emission[b, t + 1, j]
            for i in range(c):
                a = alpha[t, i]
                for j in range(c):
                    e = exp(a + transition[b, t, i, j] - top[j])
                    moved[b, t, i, j] = e
                    mass[j] += e
            for j in range(c):
                mass[j] = flow[j] / mass[j]
            for i in range(c):
                s = F(0)
                for j in range(c):
                    w = moved[b, t, i, j] * mass[j]
                    moved[b, t, i, j] = w
                    s += w
                next_flow[i] = s
            for i in range(c):
                flow[i] = next_flow[i]
        for j in range(c):
            emitted[b, 0, j] = flow[j]
    return log_z


@loop
def spans(span, slope):
    """`span (b, n, n)`; the gradient goes to the second. Returns log Z."""
    batch, n, _ = span.shape
    left, right = np.empty((n, n), F), np.empty((n, n), F)
    left_bar, right_bar, x = np.empty((n, n), F), np.empty((n, n), F), np.empty(n, F)
    log_z = np.empty(batch, np.float64)
    for b in range(batch):
        for i in range(n):
            left[i, 0] = span[b, i, i]
            right[i, n - 1] = span[b, i, i]
        for w in range(1, n):
            for i in range(n - w):
                top = F(-np.inf)
                for k in range(w):
                    x[k] = left[i, k] + right[i + w, n - w + k]
                    top = max(top, x[k])
                mass = F(0)
                for k in range(w):
                    mass += exp(x[k] - top)
                left[i, w] = top + F(math.log(mass)) + span[b, i, i + w]
                right[i + w, n - 1 - w] = left[i, w]
        log_z[b] = left[0, n - 1]
        left_bar[:] = F(0)
        right_bar[:] = F(0)
        slope[b] = F(0)
        left_bar[0, n - 1] = F(1)
        for w in range(n - 1, 0, -1):
            for i in range(n - w):
                g = left_bar[i, w] + right_bar[i + w, n - 1 - w]
                slope[b, i, i + w] = g
                value = left[i, w] - span[b, i, i + w]
                for k in range(w):
                    x[k] = g * exp(left[i, k] + right[i + w, n - w + k] - value)
                for k in range(w):
                    left_bar[i, k] += x[k]
                for k in range(w):
                    right_bar[i + w, n - w + k] += x[k]
        for i in range(n):
            slope[b, i, i] = left_bar[i, 0] + right_bar[i, n - 1]
    return log_z


@loop
def alignment(match, delete, insert, matched, deleted, inserted):
    """`match (b, n, m)`, `delete (b, n, m+1)`, `insert (b, n+1, m)`; gradients go to the last three. Returns log Z."""
    batch, n, m = match.shape
    a, bar = np.empty((n + 1, m + 1), F), np.empty((n + 1, m + 1), F)
    log_z = np.empty(batch, np.float64)
    for b in range(batch):
        a[0, 0] = F(0)
        for j in range(m):
            a[0, j + 1] = a[0, j] + insert[b, 0, j]
        for i in range(n):
            a[i + 1, 0] = a[i, 0] + delete[b, i, 0]
            for j in range(m):
                x, y = a[i, j] + match[b, i, j], a[i, j + 1] + delete[b, i, j + 1]
                z = a[i + 1, j] + insert[b, i + 1, j]
                top = max(x, y, z)
                a[i + 1, j + 1] = top + F(math.log(exp(x - top) + exp(y - top) + exp(z - top)))
        log_z[b] = a[n, m]
        bar[:] = F(0)
        bar[n, m] = F(1)
        for i in range(n - 1, -1, -1):
            for j in range(m - 1, -1, -1):
                g, v = bar[i + 1, j + 1], a[i + 1, j + 1]
                x = g * exp(a[i, j] + match[b, i, j] - v)
                y = g * exp(a[i, j + 1] + delete[b, i, j + 1] - v)
                z = g * exp(a[i + 1, j] + insert[b, i + 1, j] - v)
                matched[b, i, j], deleted[b, i, j + 1], inserted[b, i + 1, j] = x, y, z
                bar[i, j] += x
                bar[i, j + 1] += y
                bar[i + 1, j] += z
            deleted[b, i, 0] = bar[i + 1, 0]
            bar[i, 0] += bar[i + 1, 0]
        for j in range(m - 1, -1, -1):
            inserted[b, 0, j] = bar[0, j + 1]
            bar[0, j] += bar[0, j + 1]
    return log_z


@loop
def pairings(pair, slope):
    """`pair (b, n, n)`, non-crossing pairings; the gradient goes to the second. Returns log Z."""
    batch, n, _ = pair.shape
    a, bar, x = np.empty((n + 1, n + 1), F), np.empty((n + 1, n + 1), F), np.empty(n + 1, F)
    log_z = np.empty(batch, np.float64)
    for b in range(batch):
        for i in range(n + 1):
            a[i, i] = F(0)
        for i in range(n):
            a[i, i + 1] = F(0)
        for width in range(2, n + 1):
            for i in range(n - width + 1):
                j = i + width
                top = a[i + 1, j]
                for k in range(i + 1, j):
                    x[k] = pair[b, i, k] + a[i + 1, k] + a[k + 1, j]
                    top = max(top, x[k])
                mass = exp(a[i + 1, j] - top)
                for k in range(i + 1, j):
                    mass += exp(x[k] - top)
                a[i, j] = top + F(math.log(mass))
        log_z[b] = a[0, n]
        bar[:] = F(0)
        slope[b] = F(0)
        bar[0, n] = F(1)
        for width in range(n, 1, -1):
            for i in range(n - width + 1):
                j = i + width
                g, v = bar[i, j], a[i, j]
                bar[i + 1, j] += g * exp(a[i + 1, j] - v)
                for k in range(i + 1, j):
                    x[k] = g * exp(pair[b, i, k] + a[i + 1, k] + a[k + 1, j] - v)
                for k in range(i + 1, j):
                    slope[b, i, k] += x[k]
                for k in range(i + 1, j):
                    bar[i + 1, k] += x[k]
                for k in range(i + 1, j):
                    bar[k + 1, j] += x[k]
    return log_z
