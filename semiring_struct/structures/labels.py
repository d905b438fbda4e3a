"""Labels: the compact integer form of an event, as a code that every part writes into."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLANK = -1


@dataclass(frozen=True)
class LabelCode:
    """What a used part says about the labels: part `p` of a field writes `values[p, q]` into flat slot `slots[p, q]`.

    `fields[f]` is None where field `f` says nothing, else `(slots, values)`, both `(parts, q)`; slot -1 writes nothing.
    Slots that no used part writes hold -1. `shape` is the labels' shape for one instance.
    """

    shape: tuple[int, ...]
    fields: tuple[tuple[Tensor, Tensor] | None, ...]

    @property
    def size(self) -> int:
        return int(torch.Size(self.shape).numel())

    def read(self, events: tuple[Tensor, ...]) -> Tensor:
        """Flat dense events `(batch, parts)` per field -> labels `(batch, *shape)`."""
        batch = events[0].shape[0]
        out = torch.zeros((batch, self.size + 1), dtype=torch.int64, device=events[0].device)
        for event, code in zip(events, self.fields, strict=True):
            if code is None:
                continue
            used = event.round().to(torch.int64)
            for slots, values in zip(code[0].unbind(1), code[1].unbind(1), strict=True):
                out = out.index_add(1, self._slots(slots).to(out.device), used * (values - BLANK).to(out.device))
        return (out[:, : self.size] + BLANK).reshape(batch, *self.shape)

    def write(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Used parts `(paths, uses)` per field, -1 for none -> labels `(paths, *shape)`; no dense event is built."""
        paths = parts[0].shape[0]
        out = torch.zeros((paths, self.size + 1), dtype=torch.int64, device=parts[0].device)
        for used, code in zip(parts, self.fields, strict=True):
            if code is None:
                continue
            for slots, values in zip(code[0].unbind(1), code[1].unbind(1), strict=True):
                at = torch.where(used < 0, self.size, self._slots(slots).to(out.device)[used])
                out = out.scatter_add(1, at, (values - BLANK).to(out.device)[used])
        return (out[:, : self.size] + BLANK).reshape(paths, *self.shape)

    def _slots(self, slots: Tensor) -> Tensor:
        return torch.where(slots < 0, self.size, slots)


def code_of(*columns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Stack `(slot, value)` pairs, each shaped like the field, into one field's code."""
    slots = torch.stack([s.flatten() for s, _ in columns], -1)
    values = torch.stack([v.flatten() for _, v in columns], -1)
    return slots, values


def dense(used: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Entries used `(paths, uses)`, -1 for none, as an event `(paths, *shape)`: how often each entry is used."""
    size = math.prod(shape)
    out = used.new_zeros((used.shape[0], size), dtype=dtype)  # of `used`, so that it is mapped where that is
    if size:
        out.scatter_add_(1, used.clamp(min=0), (used >= 0).to(dtype))
    return out.reshape(used.shape[0], *shape)


def stored(used: Tensor, full: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Flat indices into a field of sizes `full`, as indices into the field as stored, where a tied dim has size 1."""
    if full == shape:
        return used
    out, rest, step = torch.zeros_like(used), used.clamp(min=0), 1
    for size, kept in zip(reversed(full), reversed(shape), strict=True):
        if kept == size:
            out += rest % size * step
        rest, step = rest // size, step * kept
    return torch.where(used < 0, BLANK, out)


def where_used(used: Tensor, entry: Tensor) -> Tensor:
    """`entry` where `used`, else -1, flattened to `(batch, uses)`."""
    return torch.where(used, entry, BLANK).flatten(1)
