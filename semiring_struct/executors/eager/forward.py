"""Forward: fill the charts, row after row, under a reduction; and the charts' tangents."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import look, store
from semiring_struct.executors.eager.local import Alternatives, Buffers, alternatives, split
from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Row
from semiring_struct.semirings import Reduction


def fill(program: Program, reduction: Reduction, fields: list[Tensor]) -> Buffers:
    """All charts of all instances: `(batch, cells)` float64."""
    wide = torch.float64
    charts = torch.full((fields[0].shape[0], program.cells), -torch.inf, dtype=wide, device=fields[0].device)
    buffers = Buffers(fields, charts)
    for block in program.blocks:
        for t in range(block.count):
            for row in block.rows:
                a = alternatives(row, buffers, t)
                store(charts, row.target, t, a.total(None if a.x is None else reduction.value(a.x)))
    return buffers


class Answer:
    """The answer's alternatives, read at each instance's own length.

    An instance too short for the answer's cells to exist is the empty structure: its total is ⊗-one.
    """

    def __init__(self, program: Program, lengths: Tensor):
        self.program, self.row = program, program.answer
        least = torch.tensor(program.bound_shift, dtype=lengths.dtype, device=lengths.device)
        self.empty = (lengths < least).any(-1)
        self.places: list[list[Tensor]] = []
        for term in self.row.terms:
            self.places.append([self._addresses(f, lengths) for f in term.factors])

    def _addresses(self, window, lengths: Tensor) -> Tensor:  # noqa: ANN001
        cells = torch.from_numpy(window.at(0).addresses().reshape(1, -1)).to(lengths.device)
        for side, _, stride in window.per_length:
            cells = cells + lengths[:, side : side + 1] * stride
        if self.program.bound_shift and window.per_length:
            cells = torch.where(self.empty[:, None], 0, cells)
        return cells.expand(lengths.shape[0], -1)

    def gather(self, buffers: Buffers, fill_empty: bool = False) -> list[list[Tensor]]:
        """Per term and factor `(batch, *out, *summed)`."""
        return [
            [
                buffers[f.buffer].gather(1, at).reshape(-1, *f.sizes).to(buffers.charts.dtype)
                for f, at in zip(term.factors, places, strict=True)
            ]
            for term, places in zip(self.row.terms, self.places, strict=True)
        ]

    def alternatives(self, buffers: Buffers) -> Alternatives:
        """All alternatives `(batch, *out, k)`, centred; there is always a dim of alternatives here."""
        shape = (buffers.batch, *self.row.out)
        if not self.row.terms:
            x = buffers.charts.new_full((*shape, 1), -torch.inf)
        else:
            x = torch.cat([self._flat(fs, term, buffers) for fs, term in zip(self.gather(buffers), self.row.terms, strict=True)], -1)
        top = x.amax(-1, keepdim=True)
        top = top.masked_fill_(top == -torch.inf, 0.0)
        return Alternatives((x - top).to(buffers.narrow), top.squeeze(-1), None)

    def _flat(self, factors: list[Tensor], term, buffers: Buffers) -> Tensor:  # noqa: ANN001
        x = buffers.charts.new_zeros((buffers.batch, *self.row.out, *term.summed))
        for f in factors:
            x = x + f
        return x.reshape(buffers.batch, *self.row.out, -1)

    def total(self, reduction: Reduction, buffers: Buffers) -> Tensor:
        a = self.alternatives(buffers)
        assert a.x is not None
        value = a.total(reduction.value(a.x))
        return torch.where(self.empty.reshape(-1, *([1] * len(self.row.out))), 0.0, value)


def fill_tangents(program: Program, reduction: Reduction, buffers: Buffers, tangents: list[Tensor]) -> Buffers:
    """Directional derivatives of every cell, given those of the fields."""
    dots = Buffers(tangents, torch.zeros_like(buffers.charts, dtype=buffers.narrow))
    for block in program.blocks:
        for t in range(block.count):
            for row in block.rows:
                a = alternatives(row, buffers, t, late=False)
                late, moved = moves(row, dots, t)
                if a.x is not None:
                    assert moved is not None
                    rise = (reduction.slope(a.x) * moved).sum(-1)
                    late = rise if late is None else rise + late
                if late is not None:
                    store(dots.charts, row.target, t, late)
    return dots


def moves(row: Row, dots: Buffers, t: int, turns: int | None = None) -> tuple[Tensor | None, Tensor | None]:
    """Tangents of a row's late factors `(batch, [turns,] *out)`, and of its alternatives `(batch, [turns,] *out, k)`."""
    parts, rank = split(row), len(row.out)
    head = (dots.batch,) if turns is None else (dots.batch, turns)
    late = None
    for f in parts.late:
        v = look(dots[f.buffer], f, t, turns)
        v = v[(..., *([0] * (len(f.sizes) - rank)))] if len(f.sizes) > rank else v
        late = v if late is None else late + v
    if len(row.terms) == 1 and not row.terms[0].summed:
        return late, None
    xs = []
    for term, inner in zip(row.terms, parts.inner, strict=True):
        x = torch.zeros((*head, *row.out, *term.summed), dtype=dots.narrow, device=dots.charts.device)
        for f in inner:
            x = x + look(dots[f.buffer], f, t, turns)
        xs.append(x.reshape(*head, *row.out, -1))
    return late, xs[0] if len(xs) == 1 else torch.cat(xs, -1)
