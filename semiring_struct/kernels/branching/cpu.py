"""The rounds of `reference.best` in compiled code (the extra `cpu`), one instance after another."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def decode(w, lengths, single, found, heads):
    """Fill `found (B,)` and `heads (B, m)`, which holds -1, for log-weights `w (B, m, m)`, `-inf` where no arc is."""
    batch, m = w.shape[:2]
    score, roots = np.empty((m, m)), np.empty((m, m), dtype=np.int64)
    taken = np.empty((m + 1, 4, m), dtype=np.int64)  # of each round: member, head, dependent, became
    best = np.empty((2, m))
    seen = np.empty(m, dtype=np.int64)
    for b in range(batch):
        size = lengths[b] + 1
        for h in range(size):
            for d in range(size):
                score[h, d] = w[b, h, d]
                roots[h, d] = 1 if single and h == 0 else 0
        rounds, member = 0, taken[0, 0]
        member[:size] = np.arange(size)
        found[b] = True
        while True:
            step = taken[rounds]
            found[b] = _enter(score, roots, size, step, best)
            if not found[b] or not _merge(size, step, seen):
                break
            for d in range(1, size):
                c = step[0, d]
                if step[3, c] != c or seen[c] < 0:  # on a cycle
                    for h in range(size):
                        score[h, d] -= best[0, c]
                        roots[h, d] -= int(best[1, c])
            rounds += 1
            for v in range(size):
                taken[rounds, 0, v] = step[3, step[0, v]]
        if found[b]:
            found[b] = _undo(taken, rounds, size, single, heads[b])


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(score, roots, size, step, best):
    """The best arc into each component: fewest root arcs first, then the score; False if a component has none."""
    member, head, dependent = step[0], step[1], step[2]
    for c in range(size):
        best[0, c], best[1, c], head[c] = -math.inf, 0.0, -1
    for d in range(1, size):
        c = member[d]
        if c == 0:
            continue
        for h in range(size):
            x = score[h, d]
            if member[h] == c or x == -math.inf:
                continue
            fewer = roots[h, d] < best[1, c]
            if head[c] < 0 or fewer or (roots[h, d] == best[1, c] and x > best[0, c]):
                best[0, c], best[1, c], head[c], dependent[c] = x, float(roots[h, d]), h, d
    complete = True
    for d in range(1, size):
        complete = complete and (member[d] != d or head[d] >= 0)
    return complete


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(size, step, seen):
    """Name each component after the first of its cycle; marks the places of cycles -1 in `seen`. Is there a cycle?"""
    member, head, became = step[0], step[1], step[3]
    for c in range(size):
        seen[c], became[c] = 0, c
    seen[0] = size + 1
    some = False
    for start in range(1, size):
        if member[start] != start or seen[start] != 0:
            continue
        c = start
        while seen[c] == 0:
            seen[c] = start
            c = member[head[c]]
        if seen[c] == start:
            some = True
            first = c
            while seen[c] == start:
                seen[c] = -1
                first = min(first, c)
                c = member[head[c]]
            for _ in range(size):
                became[c] = first
                c = member[head[c]]
    return some


@njit(cache=True, nogil=True, error_model="numpy")
def _undo(taken, rounds, size, single, out):
    """Heads from the rounds, the last first; False where a single root would need a second root arc."""
    head, dependent = taken[rounds, 1].copy(), taken[rounds, 2].copy()
    for r in range(rounds - 1, -1, -1):
        step = taken[r]
        above, under = head.copy(), dependent.copy()
        for c in range(1, size):
            if step[0, c] != c:
                continue
            p = step[3, c]
            if step[0, under[p]] == c:
                head[c], dependent[c] = above[p], under[p]
            else:
                head[c], dependent[c] = step[1, c], step[2, c]
    count = 0
    for d in range(1, size):
        out[d] = head[d]
        count += head[d] == 0
    if single and count > 1:
        for d in range(1, size):
            out[d] = -1
        return False
    return True
