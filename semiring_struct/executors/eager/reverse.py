"""Reverse without a tape: the table backwards, each local choice recomputed from the charts.

A loop is handled a stretch of turns at a time: the choices of all its turns at once, then only what one turn passes to
the one before it in sequence, then the fields' share of all turns at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import accumulate, look
from semiring_struct.executors.eager.forward import Answer, moves
from semiring_struct.executors.eager.local import Buffers, Plan, alternatives, plan, stretches, views
from semiring_struct.ops import add_at_
from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Block, Window
from semiring_struct.semirings import Reduction


@dataclass
class Choice:
    """Local choices `(batch, [turns,] *out, k)` of a row and their tangents; None where there is nothing to choose."""

    weights: Tensor | None
    bend: Tensor | None

    def of_term(self, start: int, size: int) -> Choice:
        """The alternatives of one term."""
        return Choice(*(None if c is None else c.narrow(-1, start, size) for c in (self.weights, self.bend)))

    def by_turn(self, turns: int) -> list[Choice]:
        """One choice per turn."""
        columns = [[None] * turns if c is None else c.unbind(1) for c in (self.weights, self.bend)]
        return [Choice(w, b) for w, b in zip(*columns, strict=True)]


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
        self.program, self.reduction, self.generator = program, reduction, generator
        self.buffers, self.dots = buffers, dots
        self.adjoint = self._zeros()
        self.adjoint_dot = self._zeros() if dots is not None else None

    def _zeros(self) -> Buffers:
        charts, kind = self.buffers.charts, self.buffers.narrow
        fields = []
        for i, shape in enumerate(self.program.field_shapes):
            whole = self.program.single_reader(i) is not None
            make = torch.empty if whole and self.program.reads_all(i) else torch.zeros
            fields.append(make((charts.shape[0], math.prod(shape)), dtype=kind, device=charts.device))
        return Buffers(fields, torch.zeros_like(charts, dtype=kind))

    def run(self, answer: Answer, seed: Tensor) -> Tensor | None:
        """From `seed (batch, *out)` on the answer; returns the answer's tangent where there is a second channel."""
        rise = self._answer(answer, seed.to(self.buffers.narrow))
        for block in reversed(self.program.blocks):
            if block.count == 1:
                p = plan(block.rows[0])
                choice = self._choice(p, 0, None)
                self._spread(p, choice, 0, None, lambda f: True)
            else:
                self._loop(block)
        return rise

    def _answer(self, answer: Answer, seed: Tensor) -> Tensor | None:
        x, _ = answer.alternatives(self.buffers)
        live = ~answer.empty.reshape(self.buffers.batch, *([1] * (x.dim() - 1)))
        rise, bend = None, None
        if self.dots is None:
            weights = self.reduction.weights(x, self.generator) * live
        else:
            moved = self._answer_moves(answer, x)
            rise = (self.reduction.slope(x) * live * moved).sum(-1)
            weights, bend = self.reduction.weights_and_bend(x, moved, self.generator)
            weights, bend = weights * live, bend * live
        for channel, w in ((self.adjoint, weights), (self.adjoint_dot, bend)):
            if channel is None or w is None:
                continue
            flow, start = w * seed.unsqueeze(-1), 0
            for term, places in zip(answer.row.terms, answer.places, strict=True):
                piece = flow.narrow(-1, start, term.size).flatten(1) if flow.dim() > 1 else flow
                start += term.size
                for f, at in zip(term.factors, places, strict=True):
                    add_at_(channel[f.buffer], at, piece)
        return rise

    def _answer_moves(self, answer: Answer, x: Tensor) -> Tensor:
        if self.dots is None or not answer.row.terms:
            return torch.zeros_like(x)
        shape, pieces = (self.buffers.batch, *answer.row.out), []
        for factors, term in zip(answer.gather(self.dots), answer.row.terms, strict=True):
            moved = sum(factors, x.new_zeros((*shape, *term.summed)))
            pieces.append(moved.reshape(*shape, term.size).to(self.buffers.narrow))
        return torch.cat(pieces, -1)

    def _choice(self, p: Plan, t: int, turns: int | None) -> Choice:
        if not p.chooses:
            return Choice(None, None)
        x = alternatives(p, views(p, self.buffers, t, turns), self.buffers, late=False).x
        if x is None:
            return Choice(None, None)
        if self.dots is None:
            return Choice(self.reduction.weights(x, self.generator), None)
        moved = moves(p, self.dots, t, turns)[1]
        moved = torch.zeros_like(x) if moved is None else moved
        return Choice(*self.reduction.weights_and_bend(x, moved, self.generator))

    def _loop(self, block: Block) -> None:
        plans = [plan(row) for row in block.rows]
        here = len(self.buffers.fields)
        for start, end in reversed(stretches(block, self.buffers.batch)):
            choices = [self._choice(p, start, end - start) for p in plans]
            turns = [c.by_turn(end - start) for c in choices]
            for t in reversed(range(start, end)):
                for p, choice in zip(reversed(plans), reversed(turns), strict=True):
                    self._spread(p, choice[t - start], t, None, lambda f: f.buffer == here)
            for p, choice in zip(plans, choices, strict=True):
                self._spread(p, choice, start, end - start, lambda f: f.buffer != here)

    def _spread(self, p: Plan, choice: Choice, t: int, turns: int | None, wanted: Callable[[Window], bool]) -> None:
        """Pass the adjoint of a row's cells on to those of its factors that are wanted."""
        late = [f for f in p.late if wanted(f)]
        inner = [[f for f in factors if wanted(f)] for factors in p.inner]
        if not late and not any(inner):
            return
        g = look(self.adjoint.charts, p.row.target, t, turns)
        g_dot = None if self.adjoint_dot is None else look(self.adjoint_dot.charts, p.row.target, t, turns)
        for channel, flow in ((self.adjoint, g), (self.adjoint_dot, g_dot)):
            for f in late:
                if channel is not None and flow is not None:
                    extra = (...,) + (None,) * (len(f.sizes) - len(p.row.out))
                    self._add(channel, f, t, turns, flow[extra])
        start = 0
        for term, factors in zip(p.row.terms, inner, strict=True):
            if factors and choice.weights is not None:
                self._term(term.summed, factors, choice.of_term(start, term.size), g, g_dot, t, turns)
            start += term.size

    def _add(self, channel: Buffers, f: Window, t: int, turns: int | None, value: Tensor) -> None:
        if f.buffer < len(channel.fields) and self.program.single_reader(f.buffer) is f:
            look(channel[f.buffer], f, t, turns).copy_(value)
        else:
            accumulate(channel[f.buffer], f, t, turns, value)

    def _term(
        self, summed: tuple[int, ...], factors: list[Window], choice: Choice, g: Tensor, g_dot: Tensor | None, t: int,
        turns: int | None,
    ) -> None:  # fmt: skip
        rank = g.dim() - (1 if turns is None else 2)
        flows: dict[bool, tuple[Tensor | None, Tensor | None]] = {}
        for f in factors:
            shared = turns is None and rank > 0 and not any(f.strides[:rank])
            if shared not in flows:
                flows[shared] = _summed_flows(choice, g, g_dot) if shared else _flows(choice, g, g_dot)
            for channel, flow in zip((self.adjoint, self.adjoint_dot), flows[shared], strict=True):
                if channel is not None and flow is not None:
                    lead = (flow.shape[0], *([1] * rank)) if shared else flow.shape[:-1]
                    self._add(channel, f, t, turns, flow.reshape(*lead, *summed))


def _flows(choice: Choice, g: Tensor, g_dot: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Adjoint times choice, per alternative, and its tangent."""
    w, b = choice.weights, choice.bend
    if w is None:
        return None, None
    flow = w * g.unsqueeze(-1)
    return flow, None if b is None or g_dot is None else b * g.unsqueeze(-1) + w * g_dot.unsqueeze(-1)


def _summed_flows(choice: Choice, g: Tensor, g_dot: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The same summed over a row's cells, at once, for factors that all cells share."""
    w, b = choice.weights, choice.bend
    if w is None:
        return None, None
    batch, cells = g.shape[0], math.prod(g.shape[1:])
    rows, flat = g.reshape(batch, 1, cells), w.reshape(batch, cells, w.shape[-1])
    flow = torch.bmm(rows, flat).squeeze(1)
    if b is None or g_dot is None:
        return flow, None
    dot = torch.bmm(rows, b.reshape(flat.shape)) + torch.bmm(g_dot.reshape(rows.shape), flat)
    return flow, dot.squeeze(1)
