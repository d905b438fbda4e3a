"""A structure that the library does not ship: its author wrote the recursion, and nothing else."""

from __future__ import annotations

import semiring_struct as ss


class Nussinov(ss.DynamicProgram):
    """Non-crossing pairings of n bases [nussinov1980]."""

    event_dim = 2

    def inside(self, p, pair):
        """`chart[i, j]` are the pairings of bases `i .. j - 1`."""
        n = pair.shape[-1]
        chart = p.chart(n + 1, n + 1)
        for i in range(n + 1):
            chart[i, i] = p.one
        for i in range(n):
            chart[i, i + 1] = p.one
        for width in range(2, n + 1):
            for i in range(n - width + 1):
                j = i + width
                paired = (pair[i, i + 1 : j] * chart[i + 1, i + 1 : j] * chart[i + 2 : j + 1, j]).sum(-1)
                chart[i, j] = chart[i + 1, j] + paired
        return chart[0, p.length]
