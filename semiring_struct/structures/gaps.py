"""Alignments by what became of each symbol of x, and where; the insertions follow. Gaps by how many there can be."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from semiring_struct.ops import prefix_mask
from semiring_struct.structures.labels import Fault, code_of

MATCHED, DELETED = 0, 1


def gap_code(n: int, columns: int, kind: int) -> tuple[Tensor, Tensor]:
    """The code of a field `(n, columns)` of matches or deletions: `[i, j]` writes its kind and `j` into row `i`."""
    i, j = torch.meshgrid(torch.arange(n), torch.arange(columns), indexing="ij")
    return code_of((2 * i, torch.full_like(i, kind)), (2 * i + 1, j))


def moves_of(
    labels: Tensor, rows: Tensor, columns: Tensor, local: bool = False
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], tuple[Fault, ...]]:
    """The path through labels `(batch, n, 2)` that has a label in each of `rows (batch, n)`, a run of them.

    `columns (batch, m)`, a run as well, are those that the path passes. `local`: only those of both that lie within a
    local alignment, labelled -1 outside it. Returns which rows are matched and which are deleted `(batch, n)`, which
    columns are inserted, and after how many rows, `(batch, m)`; faults are columns that go backwards or out of range.
    """
    outside: tuple[Fault, ...] = ()
    if local:
        rows, columns, fault = _stretch_of(labels, rows, columns)
        outside = (fault,)
    kind, column = labels.unbind(-1)
    ends = torch.where(columns, torch.arange(1, columns.shape[1] + 1, device=labels.device), 0)
    past = pad(ends, (0, 1)).amax(-1, keepdim=True)
    bad = (kind < MATCHED) | (kind > DELETED) | (column < 0) | (column > past - (kind == MATCHED).to(past.dtype))
    after = column + (kind == MATCHED).to(column.dtype)          # symbols of y used once x_i is done
    back = rows[:, 1:] & rows[:, :-1] & (column[:, 1:] < after[:, :-1])
    j = torch.arange(columns.shape[1], device=labels.device)
    matched, deleted = rows & (kind == MATCHED), rows & (kind == DELETED)
    taken = ((column[:, :, None] == j) & matched[..., None]).any(1)
    done = (after[:, :, None] <= j) & rows[..., None]            # [i, j]: x_i is done before y_j is reached
    before = pad(rows.to(torch.uint8), (0, 1)).argmax(-1, keepdim=True)  # the rows ahead of the run
    faults = (
        *outside,
        (rows & bad, "labels hold [kind, column]: kind 0 (match, column < m) or 1 (delete, column <= m)"),
        (back, "columns must not go backwards: x_i comes after what x_(i-1) has used of y"),
    )
    return (matched, deleted, columns & ~taken, before + done.sum(1)), faults


def _stretch_of(labels: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Fault]:
    """Of rows and columns, those within a local alignment; the fault: labelled rows are no run from match to match."""
    kind, column = labels.unbind(-1)
    used = rows & (kind >= 0)
    first = used & ~pad(used[:, :-1], (1, 0))
    last = used & ~pad(used[:, 1:], (0, 1))
    outside = rows & ~used & (labels != -1).any(-1)
    bad = (first.sum(1) > 1) | (outside | (first | last) & (kind != MATCHED)).any(1)
    j = torch.arange(columns.shape[1], device=labels.device)
    start, stop = (torch.where(end, column, 0).sum(1, keepdim=True) for end in (first, last))
    within = columns & (j >= start) & (j <= stop) & used.any(1, keepdim=True)
    return used, within, (bad, "labels of a local alignment run from one match to another, and are -1 outside")


def gaps_fit(event: tuple[Tensor, ...], lengths: Tensor, local: bool) -> Tensor | None:
    """Whether an alignment with these matches can open and extend so many gaps, `(batch,)`.

    `event` holds matches `(batch, n, m)`, then counts `(batch, 1, 1)` of the deletions that open and that extend a gap
    and of the insertions that do; None where one of these is not tied, so that its place tells more.
    Between two matches, `a` deletions and `b` insertions form `p <= a` and `q <= b` gaps by turns, so `|p - q| <= 1`.
    The sums of such pairs over an alignment have no holes, so bounds on `p`, `q` and `p - q` decide.
    """
    match, *counts = event
    if match.shape[1:].numel() == 1 or any(c.shape[1:].numel() > 1 for c in counts):
        return None
    deleted_open, deleted_more, inserted_open, inserted_more = (c[:, 0, 0] for c in counts)
    a, b = (_between((match > 0).any(3 - side), lengths[:, side - 1], min(match.shape[1:]), local) for side in (1, 2))
    turns = deleted_open - inserted_open
    more = torch.where(b > 0, (a > 1).long(), (a > 0).long()) - torch.where(a > 0, 0, (b > 0).long())
    less = torch.where(a > 0, -(b > 1).long(), -(b > 0).long()) + torch.where(b > 0, 0, (a > 0).long())
    fits = (deleted_open + deleted_more == a.sum(1)) & (inserted_open + inserted_more == b.sum(1))
    fits &= ((a > 0).sum(1) <= deleted_open) & (deleted_open <= torch.minimum(a, b + 1).sum(1))
    fits &= ((b > 0).sum(1) <= inserted_open) & (inserted_open <= torch.minimum(b, a + 1).sum(1))
    return fits & (less.sum(1) <= turns) & (turns <= more.sum(1))


def _between(matched: Tensor, lengths: Tensor, most: int, local: bool) -> Tensor:
    """How many symbols that `matched (batch, size)` leaves out lie before each of the matches, and after the last."""
    before = matched.cumsum(1)
    free = prefix_mask(lengths, matched.shape[1]) & ~matched
    if local:
        free &= (before > 0) & (before < before[:, -1:])
    return before.new_zeros(len(matched), most + 1).scatter_add(1, before.clamp(max=most), free.to(before.dtype))
