"""Any semiring, by its own `lift`, `mul` and `sum`: the specification that every other way of running must agree with.

Gradients, where they are asked for, come from autograd's tape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import look, store
from semiring_struct.executors.eager.forward import Answer
from semiring_struct.executors.eager.local import Buffers
from semiring_struct.executors.machine import NotFiniteError, not_finite
from semiring_struct.ops import may_be_differentiated, pick, refuse_where
from semiring_struct.programs import Program, Row, RowTerm
from semiring_struct.semirings import Semiring


def total(program: Program, semiring: Semiring, fields: list[Tensor], lengths: Tensor) -> Tensor:
    """The answer's element: `fields (batch, *event)` lifted here -> `(s, batch, *out)`."""
    for name, f in zip(program.field_names, fields, strict=True):
        refuse_where(~(f.detach() < torch.inf), not_finite(name), NotFiniteError)
    lifted = [semiring.lift(f) for f in fields]
    # made from all fields, as under `vmap` only what is mapped can take what is
    blank = sum((torch.zeros_like(f.flatten(1).sum(1)) for f in fields), torch.zeros((), device=lengths.device))
    zero = semiring.zero(blank.to(fields[0].dtype)[:, None].expand(-1, program.cells).contiguous())
    s, batch = zero.shape[:2]
    taped = may_be_differentiated(*lifted)
    flat = [f.reshape(s * batch, math.prod(f.shape[2:])).contiguous() for f in lifted]
    run = _Run(program, semiring, flat, zero.reshape(s * batch, program.cells), s, taped)
    for block in program.blocks:
        for t in range(block.count):
            for row in block.rows:
                run.row(row, t)
    return run.answer(Answer(program, lengths))


class _Run:
    """Elements as `(s * batch, cells)`: the semiring's own axis shares the batch dim of every window."""

    def __init__(
        self, program: Program, semiring: Semiring, fields: list[Tensor], charts: Tensor, s: int, taped: bool
    ):
        self.program, self.semiring, self.s, self.taped = program, semiring, s, taped
        self.buffers = Buffers(fields, charts)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(self.s, x.shape[0] // self.s, *x.shape[1:])

    def row(self, row: Row, t: int) -> None:
        terms = [self._term([self._read(f, t) for f in term.factors], term, row) for term in row.terms]
        value = self.semiring.sum(torch.cat(terms, -1), -1)
        if self.taped:
            self.buffers.charts = self.buffers.charts.clone()
        store(self.buffers.charts, row.target, t, value.reshape(self.buffers.batch, *row.out))

    def _read(self, f, t: int) -> Tensor:
        return self._split(look(self.buffers[f.buffer], f, t))

    def _term(self, factors: list[Tensor], term: RowTerm, row: Row) -> Tensor:
        """All alternatives of a term `(s, batch, *out, k)`."""
        batch = self.buffers.batch // self.s
        shape = (batch, *row.out, *term.summed)
        if factors:
            x = factors[0]
            for f in factors[1:]:
                x = self.semiring.mul(x, f)
        else:
            x = self.semiring.one(torch.zeros(shape, dtype=self._plain(), device=self.buffers.charts.device))
        return x.expand(self.s, *shape).reshape(self.s, batch, *row.out, term.size)

    def _plain(self) -> torch.dtype:
        kind = self.buffers.charts.dtype
        return kind if kind.is_floating_point else torch.float64

    def answer(self, answer: Answer) -> Tensor:
        row, batch = answer.row, self.buffers.batch // self.s
        terms = []
        for term, places in zip(row.terms, answer.places, strict=True):
            factors = []
            for f, at in zip(term.factors, places, strict=True):
                buffer = self._split(self.buffers[f.buffer])
                factors.append(pick(buffer, 2, at.expand(self.s, -1, -1)).reshape(self.s, batch, *f.sizes))
            terms.append(self._term(factors, term, row))
        like = torch.zeros((batch, *row.out), dtype=self._plain(), device=self.buffers.charts.device)
        value = self.semiring.sum(torch.cat(terms, -1), -1) if terms else self.semiring.zero(like)
        empty = answer.empty.reshape(batch, *([1] * len(row.out)))
        return torch.where(empty, self.semiring.one(like), value)
