"""Labels: the compact integer form of an event, as a code that every part writes into."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.ops import counted, operator, over_batch, prefix_mask, tally

BLANK = -1


@dataclass(frozen=True)
class LabelCode:
    """What a used part says about the labels: part `p` of a field writes `values[p, q]` into flat slot `slots[p, q]`.

    `fields[f]` is None where field `f` says nothing, else `(slots, values)`, both `(parts, q)`; slot -1 writes nothing.
    Slots that no used part writes hold -1. `shape` is the labels' shape for one instance. Given `slots`, the parts
    write into that many slots, and the labels are what was written, in the order of the slots, -1 after it.
    """

    shape: tuple[int, ...]
    fields: tuple[tuple[Tensor, Tensor] | None, ...]
    slots: int | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape) if self.slots is None else self.slots

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
        return self.labels(out[:, : self.size] + BLANK)

    def write(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Used parts `(paths, uses)` per field, -1 for none -> labels `(paths, *shape)`; no dense event is built."""
        return self.labels(tally(parts, self.fields, self.size))

    def labels(self, written: Tensor) -> Tensor:
        """What was written, `(paths, size)` with -1 for nothing, as labels `(paths, *shape)`."""
        if self.slots is not None:
            wanted = math.prod(self.shape)
            order = (written == BLANK).to(torch.uint8).argsort(dim=1, stable=True)[:, :wanted]
            written = torch.nn.functional.pad(written.gather(1, order), (0, wanted - order.shape[1]), value=BLANK)
        return written.reshape(written.shape[0], *self.shape)

    def _slots(self, slots: Tensor) -> Tensor:
        return torch.where(slots < 0, self.size, slots)


Fault = tuple[Tensor, str]
"""Where labels are none of a structure, boolean `(batch, ...)`, and what is asked of them."""


@dataclass(frozen=True)
class Encoded:
    """The entries that labels use, per field `(batch, uses)`, -1 for none; and the faults of those that form nothing.

    An instance with a fault uses no entry.
    """

    parts: tuple[Tensor, ...]
    faults: tuple[Fault, ...] = ()

    @staticmethod
    def of(parts: tuple[Tensor, ...], *faults: Fault) -> Encoded:
        """Entries of which those of instances with a fault are still to be blanked: they may be of any value."""
        bad = flagged(faults)
        return Encoded(parts if bad is None else tuple(torch.where(bad[:, None], BLANK, p) for p in parts), faults)

    @property
    def bad(self) -> Tensor | None:
        """Which instances `(batch,)` have a fault; None where nothing could be wrong."""
        return flagged(self.faults)


def flagged(faults: tuple[Fault, ...]) -> Tensor | None:
    """Which instances `(batch,)` have any of the faults."""
    bad = None
    for flags, _ in faults:
        each = flags.flatten(1).any(1) if flags.dim() > 1 else flags
        bad = each if bad is None else bad | each
    return bad


def code_of(*columns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Stack `(slot, value)` pairs, each shaped like the field, into one field's code."""
    slots = torch.stack([s.flatten() for s, _ in columns], -1)
    values = torch.stack([v.flatten() for _, v in columns], -1)
    return slots, values


def dense(used: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Entries used `(paths, uses)`, -1 for none, as an event `(paths, *shape)`: how often each entry is used."""
    return _counted(used, math.prod(shape), dtype).reshape(used.shape[0], *shape)


@operator("dense")
def _counted(used: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    return counted(used, size, dtype)


@torch.library.register_fake(_counted)
def _(used, size, dtype):
    return used.new_empty((used.shape[0], size), dtype=dtype)


torch.library.register_vmap(_counted, over_batch(_counted))


def stored(used: Tensor, full: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Flat indices into a field of sizes `full`, as indices into the field as stored, where a tied dim has size 1."""
    if full == shape:
        return used
    out, below, step, run = torch.zeros_like(used), 1, 1, 1
    for size, kept in [*zip(reversed(full), reversed(shape), strict=True), (0, 1)]:
        if kept == size:
            run *= size  # neighbouring dims that are kept go together
            continue
        if run > 1:
            out = out + used // below % run * step
        below, step, run = below * run * size, step * run, 1
    return torch.where(used < 0, BLANK, out)


def where_used(used: Tensor, entry: Tensor) -> Tensor:
    """`entry` where `used`, else -1, flattened to `(batch, uses)`."""
    return torch.where(used, entry, BLANK).flatten(1)


def item_code(n: int) -> tuple[Tensor, Tensor]:
    """The code of a field of `n` items, each of which writes its own index: the labels of sets."""
    item = torch.arange(n)
    return code_of((item, item))


def items_used(who: str, labels: Tensor, lengths: Tensor) -> tuple[Tensor, Fault]:
    """The items `(batch, most)` that sorted labels name, -1 for none; and where they are no set.

    A set has no more items than its instance has positions: what stands in later slots is ignored.
    """
    labels = torch.where(prefix_mask(lengths[:, 0], labels.shape[1]), labels, BLANK)
    used = labels >= 0
    unsorted = used[:, 1:] & ((labels[:, 1:] <= labels[:, :-1]) | ~used[:, :-1])
    bad = (labels < BLANK) | (labels >= lengths) | torch.nn.functional.pad(unsorted, (1, 0))
    message = f"{who} labels are items in ascending order, each below the length, then -1"
    return where_used(used, labels), (bad, message)
