"""Reverse without a tape: the table backwards, each local choice recomputed from the charts.

A loop is handled a stretch of turns at a time: the choices of all its turns at once, then only what one turn passes to
the one before it in sequence, then the fields' share of all turns at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import accumulate, look
from semiring_struct.executors.eager.forward import Answer, moves
from semiring_struct.executors.eager.local import Buffers, alternatives, split
from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Block, Row, RowTerm, Window
from semiring_struct.semirings import Reduction

STRETCH = 1 << 19  # alternatives (over the batch) whose choices are held at once


@dataclass
class Choice:
    """Local choices `(batch, [turns,] *out, k)` of a row and their tangents; None where there is nothing to choose."""

    weights: Tensor | None
    bend: Tensor | None

    def at(self, i: int) -> Choice:
        return Choice(*(None if c is None else c.select(1, i) for c in (self.weights, self.bend)))


class Reverse:
    """One backward sweep. `dots` (tangents of all buffers) adds a second channel: the derivative of the first."""

    def __init__(
        self,
        program: Program,
        reduction: Reduction,
        buffers: Buffers,
        dots: Buffers | None = None,
        generator: torch.Generator | None = None,
    ):
        self.program, self.reduction, self.buffers, self.dots, self.generator = (
            program, reduction, buffers, dots, generator,
        )  # fmt: skip
        self.adjoint = self._zeros()
        self.adjoint_dot = self._zeros() if dots is not None else None

    def _zeros(self) -> Buffers:
        shape, kind = self.buffers.charts.shape, self.buffers.narrow
        fields = [
            torch.zeros((shape[0], math.prod(s)), dtype=kind, device=self.buffers.charts.device)
            for s in self.program.field_shapes
        ]
        return Buffers(fields, torch.zeros(shape, dtype=kind, device=self.buffers.charts.device))

    def run(self, answer: Answer, seed: Tensor) -> Tensor | None:
        """From `seed (batch, *out)` on the answer; returns the answer's tangent where there is a second channel."""
        rise = self._answer(answer, seed.to(self.buffers.narrow))
        for block in reversed(self.program.blocks):
            if block.count == 1:
                self._row(block.rows[0])
            else:
                self._loop(block)
        return rise

    def _answer(self, answer: Answer, seed: Tensor) -> Tensor | None:
        a = answer.alternatives(self.buffers)
        assert a.x is not None
        live = ~answer.empty.reshape(-1, *([1] * (a.x.dim() - 1)))
        rise, bend = None, None
        if self.dots is None:
            weights = self.reduction.weights(a.x, self.generator) * live
        else:
            shape = (self.buffers.batch, *answer.row.out)
            pieces = []
            for factors, term in zip(answer.gather(self.dots), answer.row.terms, strict=True):
                moved = sum(factors, a.x.new_zeros((*shape, *term.summed)))
                pieces.append(moved.reshape(*shape, -1).to(self.buffers.narrow))
            moved = torch.cat(pieces, -1) if pieces else torch.zeros_like(a.x)
            weights, bend = self.reduction.weights_and_bend(a.x, moved, self.generator)
            weights, bend = weights * live, bend * live
            rise = (self.reduction.slope(a.x) * live * moved).sum(-1)
        for channel, w in ((self.adjoint, weights), (self.adjoint_dot, bend)):
            if channel is None or w is None:
                continue
            flow, start = w * seed.unsqueeze(-1), 0
            for term, places in zip(answer.row.terms, answer.places, strict=True):
                piece = flow.narrow(-1, start, term.size).reshape(self.buffers.batch, -1)
                start += term.size
                for f, at in zip(term.factors, places, strict=True):
                    channel[f.buffer].scatter_add_(1, at, piece)
        return rise

    def _choice(self, row: Row, t: int, turns: int | None) -> Choice:
        a = alternatives(row, self.buffers, t, turns, late=False)
        if a.x is None:
            return Choice(None, None)
        if self.dots is None:
            return Choice(self.reduction.weights(a.x, self.generator), None)
        _, moved = moves(row, self.dots, t, turns)
        assert moved is not None
        return Choice(*self.reduction.weights_and_bend(a.x, moved, self.generator))

    def _row(self, row: Row) -> None:
        self._spread(row, self._choice(row, 0, None), 0, None, charts=True, fields=True)

    def _loop(self, block: Block) -> None:
        per_turn = self.buffers.batch * sum(math.prod(r.out) * r.alternatives for r in block.rows)
        stretch = max(1, STRETCH // max(per_turn, 1))
        for end in range(block.count, 0, -stretch):
            start = max(0, end - stretch)
            choices = [self._choice(row, start, end - start) for row in block.rows]
            for t in reversed(range(start, end)):
                for row, choice in zip(reversed(block.rows), reversed(choices), strict=True):
                    self._spread(row, choice.at(t - start), t, None, charts=True, fields=False)
            for row, choice in zip(block.rows, choices, strict=True):
                self._spread(row, choice, start, end - start, charts=False, fields=True)

    def _spread(self, row: Row, choice: Choice, t: int, turns: int | None, charts: bool, fields: bool) -> None:
        """Pass the adjoint of a row's cells on to its factors: to those in charts, in fields, or both."""
        parts, here = split(row), len(self.buffers.fields)

        def wanted(f: Window) -> bool:
            return charts if f.buffer == here else fields

        if not any(wanted(f) for f in (*parts.late, *(f for inner in parts.inner for f in inner))):
            return
        g = look(self.adjoint.charts, row.target, t, turns)
        g_dot = None if self.adjoint_dot is None else look(self.adjoint_dot.charts, row.target, t, turns)
        for channel, flow in ((self.adjoint, g), (self.adjoint_dot, g_dot)):
            for f in parts.late:
                if channel is not None and flow is not None and wanted(f):
                    extra = (...,) + (None,) * (len(f.sizes) - len(row.out))
                    accumulate(channel[f.buffer], f, t, turns, flow[extra])
        start = 0
        for term, inner in zip(row.terms, parts.inner, strict=True):
            targets = [f for f in inner if wanted(f)]
            if targets and choice.weights is not None:
                piece = Choice(
                    choice.weights.narrow(-1, start, term.size),
                    None if choice.bend is None else choice.bend.narrow(-1, start, term.size),
                )
                self._term(term, targets, piece, g, g_dot, t, turns)
            start += term.size

    def _term(
        self, term: RowTerm, targets: list[Window], choice: Choice, g: Tensor, g_dot: Tensor | None, t: int,
        turns: int | None,
    ) -> None:  # fmt: skip
        assert choice.weights is not None
        rank = g.dim() - (1 if turns is None else 2)
        flows: dict[bool, tuple[Tensor, Tensor | None]] = {}
        for f in targets:
            summed_out = turns is None and rank > 0 and not any(f.strides[:rank])
            if summed_out not in flows:
                flows[summed_out] = self._flows(choice, g, g_dot, summed_out)
            for channel, flow in zip((self.adjoint, self.adjoint_dot), flows[summed_out], strict=True):
                if channel is not None and flow is not None:
                    accumulate(channel[f.buffer], f, t, turns, self._unflatten(flow, term, summed_out, rank))

    @staticmethod
    def _unflatten(flow: Tensor, term: RowTerm, summed_out: bool, rank: int) -> Tensor:
        if summed_out:
            return flow.reshape(flow.shape[0], *([1] * rank), *term.summed)
        return flow.reshape(*flow.shape[:-1], *term.summed)

    @staticmethod
    def _flows(
        choice: Choice, g: Tensor, g_dot: Tensor | None, summed_out: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Adjoint times choice, per alternative; summed over the cells at once where the factor is shared by all."""
        w, b = choice.weights, choice.bend
        assert w is not None
        if summed_out:
            batch, k = w.shape[0], w.shape[-1]
            rows, flat = g.reshape(batch, 1, -1), w.reshape(batch, -1, k)
            flow = torch.bmm(rows, flat).squeeze(1)
            if b is None or g_dot is None:
                return flow, None
            dot = torch.bmm(rows, b.reshape(batch, -1, k)) + torch.bmm(g_dot.reshape(batch, 1, -1), flat)
            return flow, dot.squeeze(1)
        flow = w * g.unsqueeze(-1)
        return flow, None if b is None or g_dot is None else b * g.unsqueeze(-1) + w * g_dot.unsqueeze(-1)
