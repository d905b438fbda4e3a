"""Global alignments of two sequences by matches, deletions and insertions."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.gaps import DELETED, MATCHED, gap_code, moves_of
from semiring_struct.structures.labels import Encoded, LabelCode, where_used
from semiring_struct.types import storable


@storable
class AlignmentPotentials(NamedTuple):
    """`match (*batch, n, m)`, `delete (*batch, n, m+1)`, `insert (*batch, n+1, m)`; dims of size 1 are tied."""

    match: Tensor
    delete: Tensor
    insert: Tensor


@final
class Alignment(DynamicProgram):
    r"""Monotone alignments of `x` (length `n`) with `y` (length `m`); paths with the same matches but gaps in another
    order are different structures.

    .. math:: A_{i,j} = A_{i-1,j-1} \otimes m_{i,j} \oplus A_{i-1,j} \otimes d_{i,j} \oplus A_{i,j-1} \otimes s_{i,j}

    Shape (after any batch dims):
        - match: `(n, m)`; `[i, j]` aligns `x_i` with `y_j`.
        - delete: `(n, m+1)`; `[i, j]` aligns `x_i` with a gap after `j` symbols of `y`.
        - insert: `(n+1, m)`; `[i, j]` aligns `y_j` with a gap after `i` symbols of `x`.
        - event: the same; counts where tied. labels: `(n, 2)`: `[i, 0]` is 0 if `x_i` is matched and 1 if it is
          deleted, `[i, 1]` the column `j` of that part; the insertions follow.
        - lengths: a pair, of `x` and of `y`.

    Cost: `O(n m)` time and memory.
    Reference: Needleman & Wunsch 1970 [needleman1970]; Durbin et al. 1998, sec. 2.3 [durbin1998].
    """

    event_dim = (2, 2, 2)
    shapes = {"match": "n m", "delete": "n m+1", "insert": "n+1 m"}
    uses_parts_once = True
    sides = ("n", "m")
    potentials = AlignmentPotentials

    def inside(self, p: Recorder, match: Expression, delete: Expression, insert: Expression) -> Expression:
        """One statement per antidiagonal `i + j = d`, whose cells do not read one another."""
        n, m = match.shape
        cell = p.chart(n + 1, m + 1)
        cell[0, 0] = p.one
        for j in range(m):
            cell[0, j + 1] = cell[0, j] * insert[0, j]
        for i in range(n):
            cell[i + 1, 0] = cell[i, 0] * delete[i, 0]
        for d in range(2, n + m + 1):
            low, high = max(1, d - m), min(n, d - 1) + 1     # the rows of the antidiagonal off the table's edges
            cell.antidiagonal(d, low, high)[...] = (
                cell.antidiagonal(d - 2, low - 1, high - 1) * match.antidiagonal(d - 2, low - 1, high - 1)
                + cell.antidiagonal(d - 1, low - 1, high - 1) * delete.antidiagonal(d - 1, low - 1, high - 1)
                + cell.antidiagonal(d - 1, low, high) * insert.antidiagonal(d - 1, low, high)
            )
        return cell[p.lengths[0], p.lengths[1]]

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """Matches and deletions of `x_i` write their kind into slot `(i, 0)` and their column into `(i, 1)`."""
        n, m = sizes["n"], sizes["m"]
        return LabelCode((n, 2), (gap_code(n, m, MATCHED), gap_code(n, m + 1, DELETED), None))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The path through the given columns."""
        n, m = sizes["n"], sizes["m"]
        rows, columns = prefix_mask(lengths[:, 0], n), prefix_mask(lengths[:, 1], m)
        (matched, deleted, inserted, after), faults = moves_of(labels, rows, columns)
        i, j = torch.arange(n, device=labels.device), torch.arange(m, device=labels.device)
        column = labels[..., 1]
        entries = (
            where_used(matched, i * m + column),
            where_used(deleted, i * (m + 1) + column),
            where_used(inserted, after * m + j),
        )
        return Encoded.of(entries, *faults)
