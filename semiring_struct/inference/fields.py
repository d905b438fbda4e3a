"""Log-potentials and events as one tensor or a (named) tuple of them: handled alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Size, Tensor

HALVES = (torch.float16, torch.bfloat16)


def fields_of(value: Any) -> tuple[Any, ...]:
    """The fields of one tensor, or of a (named) tuple of tensors; likewise of their shapes."""
    return tuple(value) if isinstance(value, (tuple, list)) and not isinstance(value, Size) else (value,)


def pack_like(form: Any, fields: Iterable[Any]) -> Any:
    """Fields in the form of `form`: a bare entry, or the same kind of (named) tuple."""
    given = tuple(fields)
    if not isinstance(form, (tuple, list)):
        return given[0]
    return type(form)(*given) if hasattr(form, "_fields") else type(form)(given)


def map_fields(function: Callable[[Tensor], Any], value: Any) -> Any:
    """`function` of every field, in the same form."""
    return pack_like(value, [function(f) for f in fields_of(value)])


def as_lengths(sides: Iterable[Tensor]) -> Any:
    """One tensor per side as a query takes lengths: None for no side, a tensor for one, a tuple for several."""
    given = tuple(sides)
    if not given:
        return None
    return given if len(given) > 1 else next(iter(given))


def are_labels(value: Any) -> bool:
    """Whether a given value is integer labels: events are floating point or boolean."""
    return isinstance(value, Tensor) and not value.is_floating_point() and value.dtype != torch.bool


def double(log_potentials: Any) -> Any:
    """The potentials in float64: differences of large totals keep their digits. Leaves alone what is no potential."""
    if isinstance(log_potentials, (tuple, list)):
        return pack_like(log_potentials, [double(f) for f in log_potentials])
    floating = isinstance(log_potentials, Tensor) and log_potentials.dtype in (*HALVES, torch.float32)
    return log_potentials.double() if floating else log_potentials
