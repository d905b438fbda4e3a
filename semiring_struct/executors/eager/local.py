"""One row at a time: its alternatives, centred, and what a reduction makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import look
from semiring_struct.programs.table import Row, RowTerm, Window, outer


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
        return self.fields[0].dtype

    @property
    def batch(self) -> int:
        return self.charts.shape[0]


@dataclass(frozen=True)
class Split:
    """A row's factors: those inside the ⊕ (per term), and those that multiply its result (`late`)."""

    inner: tuple[tuple[Window, ...], ...]
    late: tuple[Window, ...]


@lru_cache(maxsize=65536)
def split(row: Row) -> Split:
    """A lone term's factors that do not vary over its alternatives wait until after the ⊕."""
    if len(row.terms) != 1:
        return Split(tuple(t.factors for t in row.terms), ())
    factors, rank = row.terms[0].factors, len(row.out)
    late = tuple(f for f in factors if outer(f, rank))
    return Split((tuple(f for f in factors if f not in late),), late)


@lru_cache(maxsize=65536)
def _bare(w: Window, rank: int) -> Window | None:
    """The window without its out dims, if it does not vary over them."""
    if any(w.strides[:rank]) or not rank:
        return None
    return Window(w.buffer, w.offset, (1,) * rank + w.sizes[rank:], w.strides, w.step, w.per_length)


@dataclass
class Alternatives:
    """`x (batch, [turns,] *out, k)` centred, with `top` taken off; None where the row has one alternative per cell."""

    x: Tensor | None
    top: Tensor | None
    late: Tensor | None

    def total(self, value: Tensor | None) -> Tensor:
        if value is not None:
            assert self.top is not None
            value = value.to(self.top.dtype).add_(self.top)
            return value if self.late is None else value.add_(self.late)
        assert self.late is not None
        return self.late


def alternatives(row: Row, buffers: Buffers, t: int = 0, turns: int | None = None, late: bool = True) -> Alternatives:
    """Gather and multiply the factors of a row's cells at turn `t`, or at `turns` turns from `t`."""
    parts = split(row)
    after = _product(parts.late, buffers, t, turns, row) if late and parts.late else None
    if len(row.terms) == 1 and not row.terms[0].summed:
        if late and after is None:
            lead = (buffers.batch,) if turns is None else (buffers.batch, turns)
            after = buffers.charts.new_zeros((*lead, *row.out))
        return Alternatives(None, None, after)
    if len(row.terms) == 1:
        x, shift = _term(row.terms[0], parts.inner[0], row, buffers, t, turns, centre=True)
    else:
        terms = zip(row.terms, parts.inner, strict=True)
        xs = [_term(term, inner, row, buffers, t, turns, centre=False)[0] for term, inner in terms]
        x, shift = torch.cat([v.to(buffers.charts.dtype) for v in xs], -1), None
    top = x.amax(-1, keepdim=True)
    top = top.masked_fill_(top == -torch.inf, 0.0)
    x = (x - top).to(buffers.narrow) if x.dtype != buffers.narrow else x.sub_(top)
    top = top.squeeze(-1).to(buffers.charts.dtype)
    return Alternatives(x, top if shift is None else top + shift, after)


def _product(factors: tuple[Window, ...], buffers: Buffers, t: int, turns: int | None, row: Row) -> Tensor:
    total = None
    for f in factors:
        rank = len(row.out)
        thin = Window(f.buffer, f.offset, f.sizes[:rank], f.strides[:rank], f.step, f.per_length)
        v = look(buffers[f.buffer], thin, t, turns)
        total = v.to(buffers.charts.dtype) if total is None else total + v
    assert total is not None
    return total


def _term(
    term: RowTerm, factors: tuple[Window, ...], row: Row, buffers: Buffers, t: int, turns: int | None, centre: bool
) -> tuple[Tensor, Tensor | None]:
    """The alternatives of one term, flat, always a new tensor; and what was taken off them, per cell."""
    x, shift, fresh = None, None, False
    lead, rank = (1 if turns is None else 2), len(row.out)
    for f in factors:
        bare = _bare(f, rank) if centre and f.buffer == len(buffers.fields) else None
        v = look(buffers[f.buffer], f if bare is None else bare, t, turns)
        if bare is not None and v.dtype != buffers.narrow:
            most = v.amax(list(range(lead + rank, v.dim())), keepdim=True)
            most = most.masked_fill_(most == -torch.inf, 0.0)
            v = (v - most).to(buffers.narrow)
            most = most.reshape(most.shape[: lead + rank])
            shift = most if shift is None else shift + most
        x, fresh = (v, bare is not None) if x is None else (x + v, True)
    head = (buffers.batch,) if turns is None else (buffers.batch, turns)
    full = (*head, *row.out, *term.summed)
    if x is None:
        x, fresh = torch.zeros(full, dtype=buffers.narrow, device=buffers.charts.device), True
    if x.shape != full:
        x, fresh = x.expand(full), False
    flat = x.reshape(*head, *row.out, -1) if len(term.summed) != 1 else x
    return (flat if fresh or flat.data_ptr() != x.data_ptr() else flat.clone()), shift
