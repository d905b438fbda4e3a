"""Dynamic time warping: paths through a grid."""

from __future__ import annotations

from typing import final

from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram


@final
class DTW(DynamicProgram):
    r"""Paths from cell `(0, 0)` to cell `(n-1, m-1)` by the steps `(1, 0)`, `(0, 1)` and `(1, 1)`.

    .. math:: A_{i,j} = (A_{i-1,j} \oplus A_{i,j-1} \oplus A_{i-1,j-1}) \otimes s_{i,j}

    Shape (after any batch dims):
        - cell: `(n, m)`; `[i, j]` scores the path going through the cell, as by minus a cost.
        - event: 1 on the path. There are no labels.
        - lengths: a pair, of rows and of columns. One of them 0 and the other not is infeasible.

    Cost: `O(n m)` time and memory.
    Reference: Sakoe & Chiba 1978, sec. II [sakoe1978]; Cuturi & Blondel 2017, sec. 2 [cuturi2017].
    """

    event_dim = 2
    shapes = {"cell": "n m"}
    sides = ("n", "m")
    uses_parts_once = True

    def inside(self, p: Recorder, cell: Expression) -> Expression:
        """One statement per antidiagonal, whose cells do not read one another."""
        n, m = cell.shape
        path = p.chart(n + 1, m + 1)
        path[0, 0] = p.one
        for d in range(n + m - 1):
            low, high = max(0, d - m + 1), min(n, d + 1)     # the rows of the cells `i + j = d`
            path.antidiagonal(d + 2, low + 1, high + 1)[...] = cell.antidiagonal(d, low, high) * (
                path.antidiagonal(d, low, high)
                + path.antidiagonal(d + 1, low, high)
                + path.antidiagonal(d + 1, low + 1, high + 1)
            )
        return path[p.lengths[0], p.lengths[1]]

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """One side alone is empty."""
        rows, columns = lengths
        one = bool(rows) != bool(columns)
        return f"no path leads through {rows} rows and {columns} columns; leave the instance out" if one else None
