"""The public door: check what came, bring it to one batch dim and float32 or float64, and give answers their shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError, UnsupportedQueryError
from semiring_struct.inference.fields import HALVES
from semiring_struct.inference.finite import checked
from semiring_struct.ops import common_dtype
from semiring_struct.programs import Program
from semiring_struct.structures import DynamicProgram, Structure, bounds_of


@dataclass(frozen=True)
class Door:
    """One call's arguments, checked. `fields` are the log-potentials `(*batch, *event)`, all float32 or all float64.

    `flat` are the program's (prepared) fields `(B, *event)`, `sizes` the values of the shapes' letters, `lengths`
    `(B, sides)`, `form` the type the potentials came in, so that events leave in the same.
    """

    structure: Structure
    fields: tuple[Tensor, ...]
    flat: tuple[Tensor, ...]
    batch: tuple[int, ...]
    sizes: dict[str, int]
    full: tuple[int, ...]
    lengths: Tensor
    form: type | None

    @property
    def program(self) -> Program:
        """The recorded program; only a `DynamicProgram` has one."""
        if not isinstance(self.structure, DynamicProgram):
            raise UnsupportedQueryError(f"{type(self.structure).__name__} gives no program, which this query needs")
        return self.structure.program(tuple(tuple(f.shape[1:]) for f in self.flat), self.full)

    @property
    def events(self) -> tuple[tuple[int, ...], ...]:
        """The event shape of each field."""
        dims = self.structure.event_dims
        return tuple(tuple(f.shape[f.dim() - d :]) for f, d in zip(self.fields, dims, strict=True))

    def pack(self, fields: Sequence[Tensor]) -> Any:
        """Fields in the form the potentials came in."""
        if self.form is None:
            return fields[0]
        return self.form(*fields) if hasattr(self.form, "_fields") else self.form(fields)

    def unpack(self, value: Any, what: str) -> tuple[Tensor, ...]:
        """The reverse: a tensor or tuple with one entry per field."""
        fields = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if len(fields) != len(self.fields) or not all(isinstance(f, Tensor) for f in fields):
            names = ", ".join(self.structure.field_names)
            raise TypeError(f"{what} needs one tensor per field ({names}); got {type(value).__name__} of {len(fields)}")
        return fields

    def event(self, value: Any, what: str) -> tuple[Tensor, ...]:
        """An event's fields `(*sample, *batch, *event)`; raises `ShapeError` where one does not fit."""
        fields = self.unpack(value, what)
        for name, e, shape in zip(self.structure.field_names, fields, self.events, strict=True):
            cut = max(e.dim() - len(shape), 0)
            if tuple(e.shape[cut:]) != shape or not fit(e.shape[:cut], self.batch):
                raise ShapeError(f"{what}: {name} needs shape (*sample, *{self.batch}, *{shape}); got {tuple(e.shape)}")
        return fields

    def lead(self, value: Any, what: str) -> tuple[int, ...]:
        """The batch dims of an argument with one tensor `(*batch, *event)` per field."""
        given = zip(self.unpack(value, what), self.events, strict=True)
        return joined([tuple(v.shape[: max(v.dim() - len(event), 0)]) for v, event in given], what)

    def extra_dims(self, values: Sequence[Tensor], what: str) -> int:
        """How many trailing dims of their own `values` have, one tensor per field; `ShapeError` where one does not fit.

        Values that have them are `(*batch, *event, *extra)`, with as many batch dims as the potentials. Other values
        are `(*batch, *event)`, with any number of batch dims. Batch dims broadcast with those of the potentials.
        """
        events, own = self.events, len(self.batch)
        extras = {v.dim() - len(event) - own for v, event in zip(values, events, strict=True)}
        extra = max(extras)
        if len(extras) == 1 and extra > 0 and all(
            tuple(v.shape[own : own + len(event)]) == event and fit(v.shape[:own], self.batch)
            for v, event in zip(values, events, strict=True)
        ):
            return extra
        for name, v, event in zip(self.structure.field_names, values, events, strict=True):
            cut = max(v.dim() - len(event), 0)
            if tuple(v.shape[cut:]) != event or not fit(v.shape[:cut], self.batch):
                raise ShapeError(
                    f"{what}: {name} needs shape (*batch, {', '.join(map(str, event))}), its batch dims broadcasting "
                    f"with {self.batch}, or that shape and then dims of its own; got {tuple(v.shape)}"
                )
        return 0

    def with_fields(self, fields: Sequence[Tensor]) -> Door:
        """The same call with other log-potentials of the same shapes."""
        given = tuple(fields)
        return replace(self, fields=given, flat=_flatten(self.structure, given, self.form, self.batch))

    def pull_back(self, slopes: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Derivatives by the program's fields `(*lead, B, *shape)` as such by the potentials: `prepare` backwards.

        At most one lead dim. Differentiable; carried by compiled graphs and `torch.func`.
        """
        lead = slopes[0].dim() > self.flat[0].dim()
        if lead and not len(slopes[0]):
            return tuple(f.new_zeros((0, *f.shape)) for f in self.fields)
        structure, form, batch, given = self.structure, self.form, self.batch, self.fields
        if lead and torch.compiler.is_compiling():  # mapped, it would bind symbolic sizes to numbers
            given, batch = tuple(f.expand(len(slopes[0]), *f.shape) for f in given), (len(slopes[0]), *batch)
            slopes, lead = [s.flatten(0, 1) for s in slopes], False
        back = torch.func.vjp(lambda *fields: _flatten(structure, fields, form, batch), *given)[1]
        return (torch.func.vmap(back) if lead else back)(tuple(slopes))

    def shape(self, x: Tensor, lead: tuple[int, ...] = ()) -> Tensor:
        """`(prod(lead) * B, ...)` -> `(*lead, *batch, ...)`."""
        return x.reshape((*lead, *self.batch, *x.shape[1:])) if lead or len(self.batch) != 1 else x


def fit(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether batch dims broadcast together."""
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(one), reversed(other), strict=False))


def open_door(
    structure: Structure, log_potentials: Any, lengths: Any = None,
    beside: Callable[[Door], tuple[int, ...]] | None = None,
) -> Door:  # fmt: skip
    """Check structure, potentials and lengths; errors about them come from here and from the operators.

    `beside` gives the batch dims of another argument, with which those of the potentials and lengths broadcast; it is
    handed the call without lengths.
    """
    if not isinstance(structure, Structure):
        raise TypeError(f"a query needs a structure, such as ss.LinearChain(); got {type(structure).__name__}")
    form = type(log_potentials) if isinstance(log_potentials, (tuple, list)) else None
    fields = tuple(log_potentials) if isinstance(log_potentials, (tuple, list)) else (log_potentials,)
    chosen = structure.resolve(fields) if all(isinstance(f, Tensor) for f in fields) else structure
    if not isinstance(chosen, Structure):
        raise TypeError(f"{type(structure).__name__}.resolve must return a structure; got {type(chosen).__name__}")
    _check_fields(chosen, fields)
    dims = chosen.event_dims
    batch = _batch(chosen, fields)
    sizes = chosen.letters([tuple(f.shape[f.dim() - d :]) for f, d in zip(fields, dims, strict=True)])
    kind = common_dtype(fields)
    fields = tuple(f if f.dtype == kind else f.to(kind) for f in fields)
    full, device = tuple(sizes[letter] for letter in chosen.sides), fields[0].device
    if beside is not None:
        whole = bounds_of(type(chosen).__name__, None, full, batch, device)
        other = beside(Door(chosen, fields, fields, batch, sizes, full, whole, form))
        batch = joined([batch, other], f"{type(chosen).__name__}: log_potentials and another argument")
    fields = tuple(_over(batch, f, d) for f, d in zip(fields, dims, strict=True))
    bounds = bounds_of(type(chosen).__name__, lengths, full, batch, device)
    if not chosen.prepares:
        return Door(chosen, fields, _flatten(chosen, fields, form, batch), batch, sizes, full, bounds, form)
    # a machine sees prepared fields only: those may leave parts out, and have other names
    ready = checked(Door(chosen, fields, fields, batch, sizes, full, bounds, form))
    return ready.with_fields(ready.fields)


def _over(batch: tuple[int, ...], field: Tensor, event_dim: int) -> Tensor:
    """A field with all batch dims."""
    lead = field.dim() - event_dim
    return field if tuple(field.shape[:lead]) == batch else field.expand(*batch, *field.shape[lead:])


def _check_fields(structure: Structure, fields: tuple[Any, ...]) -> None:
    who, names = type(structure).__name__, structure.field_names
    if len(fields) != len(structure.event_dims) or not all(isinstance(f, Tensor) for f in fields):
        got = ", ".join(type(f).__name__ for f in fields)
        raise TypeError(f"{who} needs log_potentials with one tensor per field ({', '.join(names)}); got {got}")
    for name, f, d in zip(names, fields, structure.event_dims, strict=True):
        if f.dtype not in (*HALVES, torch.float32, torch.float64):
            raise TypeError(f"{who}: {name} must be floating point; got {f.dtype}. Convert with .float()")
        if f.dim() < d:
            declared = structure.shapes.get(name, "").split()
            shapes = f" of shape (*batch, {', '.join(declared)})" if declared else ""
            raise ShapeError(f"{who} needs {name}{shapes}, {d} dims or more; got {tuple(f.shape)}")
    devices = {f.device for f in fields}
    if len(devices) > 1:
        raise ValueError(f"{who} needs all fields on one device; got {', '.join(sorted(map(str, devices)))}")


def _batch(structure: Structure, fields: tuple[Tensor, ...]) -> tuple[int, ...]:
    leads = [tuple(f.shape[: f.dim() - d]) for f, d in zip(fields, structure.event_dims, strict=True)]
    if all(lead == leads[0] for lead in leads):
        return leads[0]  # `broadcast_shapes` takes longer than all the rest of the door
    try:
        return tuple(torch.broadcast_shapes(*leads))
    except RuntimeError:
        shown = ", ".join(f"{n} {tuple(f.shape)}" for n, f in zip(structure.field_names, fields, strict=True))
        raise ShapeError(
            f"{type(structure).__name__}: the batch dims {leads} of {shown} do not broadcast together"
        ) from None


def joined(leads: Sequence[Sequence[int]], what: str) -> tuple[int, ...]:
    """Batch dims that broadcast together, as they do; `ShapeError` where they do not."""
    given = [tuple(lead) for lead in leads]
    try:
        return tuple(torch.broadcast_shapes(*given))
    except RuntimeError:
        raise ShapeError(f"{what}: the batch dims {given} do not broadcast together") from None


def _flatten(
    structure: Structure, fields: tuple[Tensor, ...], form: type | None, batch: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Prepare, then one batch dim; a field shared by the whole batch keeps its stride 0."""
    if structure.prepares:
        given = fields[0] if form is None else (form(*fields) if hasattr(form, "_fields") else form(fields))
        ready = structure.prepare(given)
        fields = _over_batch(structure, tuple(ready) if isinstance(ready, (tuple, list)) else (ready,), batch)
    if len(batch) == 1:
        return fields
    count = math.prod(batch)
    return tuple(f.reshape(count, *f.shape[len(batch) :]) for f in fields)


def _over_batch(structure: Structure, fields: tuple[Tensor, ...], batch: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Prepared fields with all batch dims; only `field_dim` can tell which dims those are."""
    dims = structure.field_dim if isinstance(structure.field_dim, tuple) else (structure.field_dim,) * len(fields)
    out = []
    for f, d in zip(fields, dims, strict=True):
        lead = tuple(f.shape[: len(batch)] if d is None else f.shape[: f.dim() - d])
        fits = lead == batch if d is None else torch.broadcast_shapes(lead, batch) == batch
        if not fits:
            raise ShapeError(
                f"{type(structure).__name__}.prepare must return fields of shape (*batch, ...) with batch {batch}; got "
                f"{tuple(f.shape)}. Set `field_dim` (trailing dims of each field) to let batch dims broadcast"
            )
        out.append(f if d is None else _over(batch, f, d))
    return tuple(out)
