"""Alignments whose gaps cost one thing to open and another to extend, global or local."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.gaps import DELETED, MATCHED, gap_code, gaps_fit, moves_of
from semiring_struct.structures.labels import Encoded, LabelCode, where_used
from semiring_struct.types import storable


@storable
class AffineAlignmentPotentials(NamedTuple):
    """`match (*batch, n, m)`, deletions `(*batch, n, m+1)`, insertions `(*batch, n+1, m)`; dims of size 1 are tied."""

    match: Tensor
    delete_open: Tensor
    delete_extend: Tensor
    insert_open: Tensor
    insert_extend: Tensor


@final
class AffineAlignment(DynamicProgram):
    r"""Monotone alignments of `x` (length `n`) with `y` (length `m`) in which a deletion right after a deletion, or an
    insertion right after an insertion, extends a gap and any other opens one: `l` symbols score `open + (l-1) extend`.

    .. math:: D_{i,j} = (M_{i-1,j} \oplus S_{i-1,j}) \otimes o_{i,j} \oplus D_{i-1,j} \otimes e_{i,j}, \qquad
              M_{i,j} = (M \oplus D \oplus S)_{i-1,j-1} \otimes m_{i,j}, \qquad S \text{ as } D

    Global: paths over both sequences, one derivation each. `local=True`: the empty alignment, once, and paths between
    any two places that begin and end with a match; what lies outside scores nothing (Smith-Waterman).

    Shape (after any batch dims):
        - match: `(n, m)`; `[i, j]` aligns `x_i` with `y_j`.
        - delete_open, delete_extend: `(n, m+1)`; `[i, j]` aligns `x_i` with a gap after `j` symbols of `y`.
        - insert_open, insert_extend: `(n+1, m)`; `[i, j]` aligns `y_j` with a gap after `i` symbols of `x`.
        - event: the same; counts where tied. labels: `(n, 2)`, as those of `Alignment`; -1 outside a local alignment.
        - lengths: a pair, of `x` and of `y`.

    Cost: `O(n m)` time and memory.
    Reference: Gotoh 1982 [gotoh1982]; Smith & Waterman 1981 [smith1981]; Durbin et al. 1998, sec. 2.3-2.4 [durbin1998].
    """

    event_dim = (2, 2, 2, 2, 2)
    shapes = {
        "match": "n m", "delete_open": "n m+1", "delete_extend": "n m+1",
        "insert_open": "n+1 m", "insert_extend": "n+1 m",
    }  # fmt: skip
    uses_parts_once = True
    sides = ("n", "m")
    potentials = AffineAlignmentPotentials

    def __init__(self, local: bool = False):
        self.local = local

    def inside(self, p: Recorder, *fields: Expression) -> Expression:
        """One statement for each kind of last move per antidiagonal `i + j = d`; a start counts as a match."""
        match, delete_open, delete_extend, insert_open, insert_extend = fields
        n, m = match.shape
        matched, deleted, inserted = p.chart(n + 1, m + 1), p.chart(n + 1, m + 1), p.chart(n + 1, m + 1)
        if not self.local:
            matched[0, 0] = p.one
        for d in range(1, n + m + 1):
            low, high = max(1, d - m), min(n, d)               # the rows that a deletion may end in
            up = (d - 1, low - 1, high)
            deleted.antidiagonal(d, low, high + 1)[...] = (
                matched.antidiagonal(*up) + inserted.antidiagonal(*up)
            ) * delete_open.antidiagonal(*up) + deleted.antidiagonal(*up) * delete_extend.antidiagonal(*up)
            left = (d - 1, max(0, d - m), min(n, d - 1) + 1)
            inserted.antidiagonal(d, *left[1:])[...] = (
                matched.antidiagonal(*left) + deleted.antidiagonal(*left)
            ) * insert_open.antidiagonal(*left) + inserted.antidiagonal(*left) * insert_extend.antidiagonal(*left)
            both = (d - 2, low - 1, min(n, d - 1))
            before = matched.antidiagonal(*both) + deleted.antidiagonal(*both) + inserted.antidiagonal(*both)
            before = before + p.one if self.local else before
            matched.antidiagonal(d, low, both[2] + 1)[...] = before * match.antidiagonal(*both)
        if not self.local:
            return sum((kind[p.lengths[0], p.lengths[1]] for kind in (matched, deleted, inserted)), p.zero)
        return p.one + _within(p, matched)[p.lengths[0], p.lengths[1]]

    def counts_fit(self, event: tuple[Tensor, ...], lengths: Tensor) -> Tensor | None:
        """Where all gaps are tied: whether the matches leave room for so many."""
        return gaps_fit(event, lengths, self.local)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """Matches and deletions of `x_i` write their kind into slot `(i, 0)` and their column into `(i, 1)`."""
        n, gap = sizes["n"], gap_code(sizes["n"], sizes["m"] + 1, DELETED)
        return LabelCode((n, 2), (gap_code(n, sizes["m"], MATCHED), gap, gap, None, None))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The path through the given columns."""
        n, m = sizes["n"], sizes["m"]
        rows, columns = prefix_mask(lengths[:, 0], n), prefix_mask(lengths[:, 1], m)
        (matched, deleted, inserted, after), faults = moves_of(labels, rows, columns, self.local)
        i, j, column = torch.arange(n, device=labels.device), torch.arange(m, device=labels.device), labels[..., 1]
        longer = torch.nn.functional.pad(deleted[:, :-1] & (column[:, 1:] == column[:, :-1]), (1, 0))
        wider = torch.nn.functional.pad(inserted[:, :-1] & (after[:, 1:] == after[:, :-1]), (1, 0))
        entries = (
            where_used(matched, i * m + column),
            *(where_used(deleted & part, i * (m + 1) + column) for part in (~longer, longer)),
            *(where_used(inserted & part, after * m + j) for part in (~wider, wider)),
        )
        return Encoded.of(entries, *faults)


def _within(p: Recorder, ending: Expression) -> Expression:
    """`[i, j]`: the sum of all cells of the first `i` rows and `j` columns after the first ones."""
    along, total = p.chart(*ending.shape), p.chart(*ending.shape)
    for j in range(1, ending.shape[1]):
        along[:, j] = along[:, j - 1] + ending[:, j]
    for i in range(1, ending.shape[0]):
        total[i] = total[i - 1] + along[i]
    return total
