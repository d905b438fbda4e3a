"""Programs whose windows are unlike those of the shipped structures."""

from __future__ import annotations

import semiring_struct as ss


class Overlapping(ss.DynamicProgram):
    """Sums over sliding windows: a cell of the field is read by several cells of one row."""

    event_dim = (1,)

    def inside(self, p, x):
        n = x.shape[0] - 2
        chart = p.chart(n)
        for i in range(n):
            chart[i] = x[i : i + 3].sum(0)
        return chart.sum(0) * x[0]


class Wide(ss.DynamicProgram):
    """More loops over cells, and more summed dims, than a row has: they are spelled out."""

    event_dim = (5,)

    def inside(self, p, x):
        chart = p.chart(2, 2, 2, 2, 2)
        chart[:, :, ::2] = x[:, ::-1, ::2] * x.permute(4, 0, 2, 3, 1)[:, :, ::2]
        chart[:, :, 1] = x.permute(1, 0, 2, 4, 3)[:, ::-1, 1]
        return (chart.permute(0, 2, 1, 4, 3) * x[:, ::-1]).sum((0, 1, 2, 3, 4))


class Matrices(ss.DynamicProgram):
    """Products of two matrices, turn after turn, with factors that multiply what they make."""

    event_dim = (4,)

    def inside(self, p, x):
        n = x.shape[0]
        chart = p.chart(*x.shape)
        chart[0] = x[0]
        for i in range(1, n):
            chart[i] = (chart[i - 1][:, :, :, None] * x[i][:, None]).sum(2) * x[0, 0, :, ::-1]
        return chart[n - 1].sum((0, 1, 2))
