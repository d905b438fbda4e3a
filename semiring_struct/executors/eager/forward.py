"""Forward: fill the charts, row after row, under a reduction; and the charts' tangents."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import store, targets_by_turn, too_short
from semiring_struct.executors.eager.local import Buffers, Plan, alternatives, floor, plan, views, views_by_turn
from semiring_struct.programs.program import Program
from semiring_struct.semirings import Reduction


def fill(program: Program, reduction: Reduction, fields: list[Tensor]) -> Buffers:
    """All charts of all instances: `(batch, cells)` float64."""
    wide = torch.float64
    charts = torch.full((fields[0].shape[0], program.cells), -torch.inf, dtype=wide, device=fields[0].device)
    buffers = Buffers(fields, charts)
    for block in program.blocks:
        rows = [
            (p, views_by_turn(p, buffers, block.count), targets_by_turn(charts, p.row.target, block.count))
            for p in (plan(row) for row in block.rows)
        ]
        for _ in range(block.count):
            for p, seen, targets in rows:
                # only now: a row may read a copy of cells that another has just written
                a, (cells, back) = alternatives(p, next(seen), buffers), next(targets)
                value = a.total(None if a.x is None else reduction.value(a.x))
                cells.copy_(value.flip(back) if back else value)
    return buffers


class Answer:
    """The answer's alternatives, read at each instance's own length.

    An instance too short for the answer's cells to exist is the empty structure: its total is ⊗-one.
    """

    def __init__(self, program: Program, lengths: Tensor):
        self.program, self.row = program, program.answer
        self.empty = too_short(program, lengths)
        self.places: list[list[Tensor]] = []
        for term in self.row.terms:
            self.places.append([self._addresses(f, lengths) for f in term.factors])

    def _addresses(self, window, lengths: Tensor) -> Tensor:
        cells = torch.from_numpy(window.at(0).addresses().reshape(1, -1)).to(lengths.device)
        for side, _, stride in window.per_length:
            cells = cells + lengths[:, side : side + 1] * stride
        if window.per_length:
            cells = torch.where(self.empty[:, None], 0, cells)
        return cells.expand(lengths.shape[0], -1)

    def gather(self, buffers: Buffers) -> list[list[Tensor]]:
        """Per term and factor `(batch, *out, *summed)`."""
        return [
            [
                buffers[f.buffer].gather(1, at).reshape(buffers.batch, *f.sizes).to(buffers.charts.dtype)
                for f, at in zip(term.factors, places, strict=True)
            ]
            for term, places in zip(self.row.terms, self.places, strict=True)
        ]

    def alternatives(self, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """All alternatives `(batch, *out, k)`, centred, and what was taken off them `(batch, *out)`."""
        shape = (buffers.batch, *self.row.out)
        if not self.row.terms:
            x = buffers.charts.new_full((*shape, 1), -torch.inf)
        else:
            found = zip(self.gather(buffers), self.row.terms, strict=True)
            x = torch.cat([self._flat(factors, term, buffers) for factors, term in found], -1)
        top = floor(x.amax(-1, keepdim=True))
        return (x - top).to(buffers.narrow), top.squeeze(-1)

    def _flat(self, factors: list[Tensor], term, buffers: Buffers) -> Tensor:
        x = buffers.charts.new_zeros((buffers.batch, *self.row.out, *term.summed))
        for f in factors:
            x = x + f
        return x.reshape(buffers.batch, *self.row.out, term.size)

    def total(self, reduction: Reduction, buffers: Buffers) -> Tensor:
        """The answer `(batch, *out)` in float64."""
        x, top = self.alternatives(buffers)
        value = reduction.value(x).to(top.dtype) + top
        return torch.where(self.empty.reshape(buffers.batch, *([1] * len(self.row.out))), 0.0, value)


def fill_tangents(program: Program, reduction: Reduction, buffers: Buffers, tangents: list[Tensor]) -> Buffers:
    """Directional derivatives of every cell, given those of the fields."""
    dots = Buffers(tangents, torch.zeros_like(buffers.charts, dtype=buffers.narrow))
    for block in program.blocks:
        plans = [plan(row) for row in block.rows]
        for t in range(block.count):
            for p in plans:
                a = alternatives(p, views(p, buffers, t), buffers, late=False)
                late, moved = moves(p, dots, t)
                if a.x is not None and moved is not None:
                    rise = (reduction.slope(a.x) * moved).sum(-1)
                    late = rise if late is None else rise + late
                if late is not None:
                    store(dots.charts, p.row.target, t, late)
    return dots


def moves(p: Plan, dots: Buffers, t: int, turns: int | None = None) -> tuple[Tensor | None, Tensor | None]:
    """Tangents of a row's late factors `(batch, [turns,] *out)` and of its alternatives `(batch, [turns,] *out, k)`."""
    v = views(p, dots, t, turns, bare=False)
    late = None
    for f in v.late:
        late = f if late is None else late + f
    if not p.chooses:
        return late, None
    xs = []
    for term, inner in zip(p.row.terms, v.inner, strict=True):
        x = torch.zeros((*v.lead, *p.row.out, *term.summed), dtype=dots.narrow, device=dots.charts.device)
        for f in inner:
            x = x + f
        xs.append(x.reshape(*v.lead, *p.row.out, term.size))
    return late, xs[0] if len(xs) == 1 else torch.cat(xs, -1)
