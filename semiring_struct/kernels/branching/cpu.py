"""The rounds of `reference.best` in compiled code (the extra `cpu`), one instance after another."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from semiring_struct.kernels.entry import entry


@entry
def decode(w, lengths, single, found, heads):
    """Fill `found (B,)` and `heads (B, m)`, which holds -1; see `best_heads`.

    Rounds take from all arcs into a word the same amounts, which are kept beside the arcs: scores, and root arcs.
    """
    batch, m = w.shape[:2]
    into, here = np.empty((m, m)), np.empty(m)  # arcs by dependent; those into one word from other components
    less = np.empty((2, m))
    taken = np.empty((m + 1, 4, m), dtype=np.int64)  # of each round: member, head, dependent, became
    best = np.empty((2, m))
    seen = np.empty(m, dtype=np.int64)
    for b in range(batch):
        size = lengths[b] + 1
        for d in range(size):
            less[0, d], less[1, d], taken[0, 0, d] = 0.0, 0.0, d
            for h in range(size):
                into[d, h] = w[b, h, d] if h != d else -math.inf
        rounds = 0
        found[b] = True
        while True:
            step = taken[rounds]
            found[b] = _enter(into, less, size, 1.0 if single else 0.0, step, best, here)
            if not found[b] or not _merge(size, step, seen):
                break
            for d in range(1, size):
                c = step[0, d]
                if step[3, c] != c or seen[c] < 0:  # on a cycle
                    less[0, d] += best[0, c]
                    less[1, d] += best[1, c]
            rounds += 1
            for v in range(size):
                taken[rounds, 0, v] = step[3, step[0, v]]
        if found[b]:
            found[b] = _undo(taken, rounds, size, single, heads[b])


@njit(nogil=True, error_model="numpy")
def _enter(into, less, size, single, step, best, here):
    """The best arc into each component: fewest root arcs first, then the score; False if a component has none."""
    member, head, dependent = step[0], step[1], step[2]
    for c in range(size):
        best[0, c], best[1, c], head[c] = -math.inf, 0.0, -1
    for d in range(1, size):
        c = member[d]
        if c == 0:
            continue
        top = _largest_from_others(into[d], member, c, size, here)
        for of_root in (True, False):
            x, roots = (into[d, 0], single) if of_root else (top, 0.0)
            if x == -math.inf:
                continue
            x, roots = x - less[0, d], roots - less[1, d]
            if head[c] < 0 or roots < best[1, c] or (roots == best[1, c] and x > best[0, c]):
                best[0, c], best[1, c], dependent[c] = x, roots, d
                head[c] = 0 if of_root else _first(here, top, size)
    complete = True
    for d in range(1, size):
        complete = complete and (member[d] != d or head[d] >= 0)
    return complete


@njit(nogil=True, error_model="numpy", fastmath={"nnan", "nsz", "reassoc"})
def _largest_from_others(arcs, member, c, size, here):
    """The largest arc from words of other components than `c`; these arcs, `-inf` for others, into `here`."""
    top = -math.inf
    for h in range(1, size):
        x = arcs[h] if member[h] != c else -math.inf
        here[h] = x
        top = max(top, x)
    return top


@njit(nogil=True, error_model="numpy")
def _first(here, top, size):
    for h in range(1, size):
        if here[h] == top:
            return h
    return -1


@njit(nogil=True, error_model="numpy")
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


@njit(nogil=True, error_model="numpy")
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
