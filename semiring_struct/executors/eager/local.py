"""One row at a time: its alternatives, centred, ready for a reduction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import look
from semiring_struct.programs.table import Block, Row, Window, outer

STRETCH = 1 << 19  # alternatives (over the batch) whose choices are held at once: they stay in cache


@dataclass
class Buffers:
    """The fields `(batch, size)` in their own dtype, then the charts `(batch, cells)` in float64.

    Charts keep more digits than float32 fields, so that totals of thousands of large potentials stay exact while
    exponentials, which only ever see differences, run in the fields' dtype (`narrow`).
    """

    fields: list[Tensor]
    charts: Tensor

    def __getitem__(self, buffer: int) -> Tensor:
        return self.fields[buffer] if buffer < len(self.fields) else self.charts

    @property
    def narrow(self) -> torch.dtype:
        """The dtype of exponentials and gradients."""
        return self.fields[0].dtype

    @property
    def batch(self) -> int:
        """How many instances."""
        return self.charts.shape[0]


@dataclass(frozen=True, eq=False)
class Plan:
    """A row's factors, sorted once: those inside the ⊕ per term, and those that multiply its result (`late`).

    `bare[i][j]` is the factor `inner[i][j]` without its out dims, where it has none and its row has a single term.
    """

    row: Row
    inner: tuple[tuple[Window, ...], ...]
    late: tuple[Window, ...]
    bare: tuple[tuple[Window | None, ...], ...]
    thin: tuple[Window, ...]

    @property
    def chooses(self) -> bool:
        """Whether a cell has more than one alternative to choose from."""
        return len(self.row.terms) != 1 or bool(self.row.terms[0].summed)


@lru_cache(maxsize=65536)
def plan(row: Row) -> Plan:
    """A lone term's factors that do not vary over its alternatives wait until after the ⊕."""
    rank, single = len(row.out), len(row.terms) == 1
    late = tuple(f for f in row.terms[0].factors if outer(f, rank)) if single else ()
    inner = tuple(tuple(f for f in t.factors if f not in late) for t in row.terms)
    bare = tuple(tuple(_bare(f, rank) if single else None for f in factors) for factors in inner)
    thin = tuple(Window(f.buffer, f.offset, f.sizes[:rank], f.strides[:rank], f.step, f.per_length) for f in late)
    return Plan(row, inner, late, bare, thin)


def _bare(w: Window, rank: int) -> Window | None:
    if any(w.strides[:rank]) or not rank:
        return None
    return Window(w.buffer, w.offset, (1,) * rank + w.sizes[rank:], w.strides, w.step, w.per_length)


@dataclass
class Views:
    """The factors of a row as tensors, laid out like the plan's `inner` (bare where it can be) and `late`."""

    inner: Sequence[Sequence[Tensor]]
    late: Sequence[Tensor]
    lead: tuple[int, ...]


def views(p: Plan, buffers: Buffers, t: int = 0, turns: int | None = None, bare: bool = True) -> Views:
    """The factors at turn `t`, or at `turns` turns from `t` on."""
    slim = bare and buffers.charts.dtype != buffers.narrow

    def see(f: Window, b: Window | None) -> Tensor:
        keep = f if b is None or not slim or f.buffer != len(buffers.fields) else b
        return look(buffers[f.buffer], keep, t, turns)

    inner = [[see(f, b) for f, b in zip(fs, bs, strict=True)] for fs, bs in zip(p.inner, p.bare, strict=True)]
    late = [look(buffers[f.buffer], f, t, turns) for f in p.thin]
    return Views(inner, late, (buffers.batch,) if turns is None else (buffers.batch, turns))


def views_by_turn(p: Plan, buffers: Buffers, count: int) -> Iterator[Views]:
    """The same for each turn of a loop in turn, all views made at once."""
    factors = [*p.late, *(f for inner in p.inner for f in inner)]
    if count == 1 or any(f.step < 0 or min(f.strides, default=0) < 0 for f in factors):
        for t in range(count):                               # a view turned around is a copy: made when it is read
            yield views(p, buffers, t)
        return
    whole = views(p, buffers, 0, count)
    inner = [[v.unbind(1) for v in vs] for vs in whole.inner]
    late = [v.unbind(1) for v in whole.late]
    for t in range(count):
        yield Views([[v[t] for v in vs] for vs in inner], [v[t] for v in late], (buffers.batch,))


@dataclass
class Alternatives:
    """`x (batch, [turns,] *out, k)` centred, with `top` taken off; None where the row has one alternative per cell."""

    x: Tensor | None
    top: Tensor | None
    late: Tensor | None

    def total(self, value: Tensor | None) -> Tensor:
        """The cells, from the reduction's value of `x`."""
        if value is None or self.top is None:
            return self.late if self.late is not None else torch.zeros((), device="cpu")
        value = value.to(self.top.dtype).add_(self.top)
        return value if self.late is None else value.add_(self.late)


def alternatives(p: Plan, v: Views, buffers: Buffers, late: bool = True) -> Alternatives:
    """Multiply the factors of a row's cells, and centre: the largest alternative of each cell is taken off."""
    wide = buffers.charts.dtype
    after = None
    if late:
        for f in v.late:
            after = f.to(wide) if after is None else after + f
    if not p.chooses:
        return Alternatives(None, None, after)
    if len(p.row.terms) == 1:
        x, shift = _term(p, 0, v, buffers)
    else:
        x, shift = torch.cat([_term(p, i, v, buffers)[0].to(wide) for i in range(len(p.row.terms))], -1), None
    top = floor(x.amax(-1, keepdim=True))
    x = (x - top).to(buffers.narrow) if x.dtype != buffers.narrow else x.sub_(top)
    top = top.squeeze(-1).to(wide)
    return Alternatives(x, top if shift is None else top.add_(shift), after)


def stretches(block: Block, batch: int) -> list[tuple[int, int]]:
    """The turns of a loop in pieces `start, end` that hold no more than `STRETCH` alternatives at once."""
    per_turn = batch * sum(math.prod(r.out) * r.alternatives for r in block.rows)
    size = max(1, STRETCH // max(per_turn, 1))
    return [(t, min(t + size, block.count)) for t in range(0, block.count, size)]


def floor(top: Tensor) -> Tensor:
    """In place: the smallest finite number for -inf, which keeps -inf when it is taken off or added back."""
    return top.clamp_min_(torch.finfo(top.dtype).min)


def _term(p: Plan, i: int, v: Views, buffers: Buffers) -> tuple[Tensor, Tensor | None]:
    """The alternatives of one term, flat, always a new tensor; and what was taken off them, per cell."""
    x, shift, fresh, rank = None, None, False, len(p.row.out)
    lead, summed = len(v.lead), p.row.terms[i].summed
    for f, w in zip(v.inner[i], p.bare[i], strict=True):
        part, own = f, False
        if w is not None and f.dtype != buffers.narrow:
            # a chart factor shared by all cells: its largest entry comes off in float64, the rest is narrow
            most = floor(f.amax(list(range(lead + rank, f.dim())), keepdim=True))
            part, own = (f - most).to(buffers.narrow), True
            most = most.reshape(most.shape[: lead + rank])
            shift = most if shift is None else shift + most
        x, fresh = (part, own) if x is None else (x + part, True)
    full = (*v.lead, *p.row.out, *summed)
    if x is None:
        x, fresh = torch.zeros(full, dtype=buffers.narrow, device=buffers.charts.device), True
    if x.shape != full:
        x, fresh = x.expand(full), False
    if len(summed) != 1:
        flat = x.reshape(*v.lead, *p.row.out, p.row.terms[i].size)
        fresh = fresh or flat.data_ptr() != x.data_ptr()
        x = flat
    return (x if fresh else x.clone()), shift
