"""The derivation table for compiled walks: what can be made of each cell, and where its parts lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semiring_struct.programs.derivations import Derivations, derivations, place
from semiring_struct.programs.program import Program

# columns of `head`
FIRST, COUNT, ROW, DENSE, COLUMNS = range(5)
NOTED = 64  # cells whose largest alternatives are noted in the time that a walk takes to weigh those of one
LARGEST = np.iinfo(np.int32).max
UNEVEN = LARGEST


class Cells(NamedTuple):
    """`programs.Derivations` for compiled code: addresses of arrays of int32, then numbers.

    `head[x]` is a cell's first alternative, their number, its row, and where its alternatives start when those of all
    cells lie one after the other (LARGEST where that is more: these are never kept). The alternatives of term `t` of
    row `r` are numbers `bounds[r, t] .. bounds[r, t + 1] - 1` of each cell; slot `q` moves by `stride[r, t, q]` from
    one to the next, or by what `move` says where that is UNEVEN. The rest is as in `Derivations`; the answer is the
    last cell, number `cells`.
    """

    head: int
    base: int
    alias: int
    term: int
    move: int
    bounds: int
    stride: int
    buffers: int
    terms: int
    slots: int
    chart_slots: int
    cells: int
    longest: int


@dataclass(frozen=True)
class Charted:
    """`cells`, the arrays that these point into, and each slot's buffer.

    `most` is the largest number of choices of a cell, `choices` that of the answer, `width` that of all cells.
    `root (1 + sides, terms * slots)` is `base` of the answer at lengths 0, then what each length adds to it; `least
    (sides,)` are the lengths from which on the answer's cells exist, both int64.
    """

    cells: Cells
    held: tuple[Tensor, ...]
    buffers: tuple[int, ...]
    most: int
    width: int
    choices: int
    root: Tensor
    least: Tensor

    @property
    def noted(self) -> bool:
        """Whether a forward pass had better note which alternatives are largest, for a walk not to weigh them again.

        It does so for all cells, a walk weighs those that it comes to.
        """
        return self.cells.cells <= NOTED * self.cells.longest

    @property
    def field_slots(self) -> tuple[int, ...]:
        """The field of each slot after those of charts."""
        return self.buffers[self.cells.chart_slots :]


@lru_cache(maxsize=256)
def cells_of(program: Program) -> Charted | None:
    """The arrays of a program, built once; None where its addresses outgrow 32 bits."""
    d = derivations(program)
    if max(len(d.term), d.cells, *(int(np.abs(a).max(initial=0)) for a in (d.base, d.move))) >= LARGEST:
        return None
    rows, row = np.unique(np.stack([d.first, d.count]), axis=1, return_inverse=True)
    bounds, stride = _rows(d, rows)
    head = np.stack([d.first, d.count, row.reshape(-1), np.minimum(d.dense, LARGEST)], 1)
    arrays = head, d.base, d.alias, d.term, d.move, bounds, stride, np.array(d.slots)
    held = tuple(torch.from_numpy(a).to(torch.int32).contiguous() for a in arrays)
    sizes = d.base.shape[1], d.base.shape[2], d.chart_slots, d.cells, d.longest
    cells = Cells._make((*(a.data_ptr() for a in held), *sizes))
    least = torch.tensor(program.bound_shift, dtype=torch.int64, device="cpu")
    return Charted(cells, held, d.slots, d.most, d.width, int(d.count[-1]), _root(program, d), least)


def _root(program: Program, d: Derivations) -> Tensor:
    root = np.zeros((1 + len(program.bound_shift), *d.base.shape[1:]), dtype=np.int64)
    root[0] = d.base[-1]
    for i, term in enumerate(program.answer.terms):
        for q, window in place(term, d.slots).items():
            for side, _, stride in window.per_length:
                root[1 + side, i, q] += stride
    return torch.from_numpy(root.reshape(len(root), root[0].size))


def _rows(d: Derivations, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    terms = d.base.shape[1]
    bounds = np.zeros((rows.shape[1], terms + 1), dtype=np.int64)
    stride = np.zeros((rows.shape[1], terms, d.base.shape[2]), dtype=np.int64)
    for r, (first, count) in enumerate(rows.T):
        bounds[r] = np.searchsorted(d.term[first : first + count], np.arange(terms + 1))
        for t in range(terms):
            move = d.move[first + bounds[r, t] : first + bounds[r, t + 1]]
            if len(move) > 1:
                even = (np.diff(move, axis=0) == move[1] - move[0]).all(0)
                stride[r, t, : len(d.slots)] = np.where(even, move[1] - move[0], UNEVEN)
    return bounds, stride
