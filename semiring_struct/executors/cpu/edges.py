"""Where choices lead, and what they say: for draws that read one cell at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu.cells import COLUMNS, COUNT, DENSE, FIRST
from semiring_struct.executors.cpu.native import ahead, exact, pointer
from semiring_struct.executors.cpu.steps import CODE, opened
from semiring_struct.kernels.entry import entry
from semiring_struct.programs.derivations import NONE, derivations
from semiring_struct.programs.program import Program

PAIR = 2  # a label, and what to add to it


@dataclass(frozen=True)
class Edges:
    """What choices lead to, those of all cells one after the other as in `Derivations.dense`.

    `following (width,)` int32: the cell that each reads, NONE where it reads none. Those of the answer are not known
    here, as they depend on an instance's lengths. `used (terms, slots)`: what terms fill. `moves (slots,)`: where the
    alternatives of a cell may differ.
    """

    following: Tensor
    used: np.ndarray
    moves: np.ndarray

    def pairs(self, slots: list[int], each: list[int]) -> int:
        """How many pairs one alternative writes at most, `each` so many for one of the slots."""
        return int((self.used[:, slots] * np.array(each)).sum(1).max(initial=1))


@lru_cache(maxsize=16)
def edges_of(program: Program) -> Edges:
    """The edges of a program in which alternatives read at most one cell, built once."""
    d = derivations(program)
    order = np.argsort(d.dense, kind="stable")
    cell = np.repeat(order, d.count[order])
    a, to = d.first[cell] + np.arange(d.width) - d.dense[cell], np.full(d.width, NONE)
    if d.chart_slots:
        start = np.where(cell < d.cells, d.base[cell, d.term[a], 0], NONE)
        to = np.where(start == NONE, NONE, d.alias[start + d.move[a, 0]])
    many = d.base.shape[1] > 1
    return Edges(torch.from_numpy(to.astype(np.int32)), (d.base != NONE).any(0), many | d.move.any(0))


@exact
def say(line, apart, pairs, table, record, base, a):
    """What alternative `a` of a cell writes: pairs that lie `apart`; those left over add nothing to label `width`."""
    t, filled = np.int64(table.term[a]) if table.terms > 1 else 0, 0
    base, move = ahead(base, t * table.slots), ahead(table.move, a * table.slots)
    codes, slots = pointer(record.codes, 0), pointer(record.slots, np.int32(0))
    for i in range(table.chart_slots, record.count):
        q = np.int64(slots[i])
        if base[q] >= 0:
            code = ahead(codes, CODE * np.int64(table.buffers[q]))
            said = ahead(pointer(code[0], np.int32(0)), PAIR * code[1] * (np.int64(base[q]) + np.int64(move[q])))
            for p in range(0, PAIR * code[1], PAIR):
                line[filled * apart], line[filled * apart + 1] = said[p], said[p + 1]
                filled += 1
    for p in range(filled, pairs):
        line[p * apart], line[p * apart + 1] = record.width, 0


@entry
def write_lines(cells, record, lines_at, count, pairs, by_choice):
    """`lines (pairs, count, 2)` int32: what each cell says, or each choice where `by_choice`."""
    table, lines = opened(cells), pointer(lines_at, np.int32(0))
    for cell in range(table.cells):
        head, base = ahead(table.head, cell * COLUMNS), ahead(table.base, cell * table.terms * table.slots)
        first, choices = np.int64(head[FIRST]), np.int64(head[COUNT])
        at = np.int64(head[DENSE]) if by_choice else cell
        for i in range(choices if by_choice else min(choices, 1)):
            say(ahead(lines, PAIR * (at + i)), PAIR * count, pairs, table, record, base, first + i)
