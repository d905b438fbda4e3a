"""NaN and +inf: refused where a structure can use them, and without any influence past an instance's length.

What is checked is checked where fields are read anyway. Only where something was found, it is asked what could use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from semiring_struct import executors
from semiring_struct.executors import NotFiniteError, not_finite
from semiring_struct.ops import first_index, known_all, refuse_where
from semiring_struct.semirings import MaxSemiring
from semiring_struct.structures import DynamicProgram, dense

if TYPE_CHECKING:
    from semiring_struct.inference.door import Door

Run = TypeVar("Run", bound=Callable)


def ignoring_padding(run: Run) -> Run:
    """A run of a call that is made once more, without what lies past lengths, where it met NaN or +inf.

    Its noise must follow from its arguments, so that both times it is the same.
    """

    @wraps(run)
    def call(door: Door, *given: Any) -> Any:
        try:
            return run(door, *given)
        except NotFiniteError:
            pass
        return run(usable(door), *given)

    return cast("Run", call)


def checked(door: Door) -> Door:
    """The call, for arithmetic on its fields: with 0 in place of NaN and +inf past lengths; others are refused.

    Inside a compiled graph any NaN or +inf is.
    """
    if torch.compiler.is_compiling():
        refuse_infinite(door)
        return door
    return door if all(known_all(f.detach() < torch.inf) for f in door.fields) else usable(door)


def refuse_infinite(door: Door) -> None:
    """Raise `NotFiniteError` naming a field that holds NaN or +inf, wherever it stands."""
    for name, f in zip(door.structure.field_names, door.fields, strict=True):
        refuse_where(~(f < torch.inf).all(), not_finite(name), NotFiniteError)


def usable(door: Door) -> Door:
    """The call with 0 in place of NaN and +inf that no structure of the instance's length can use.

    Raises `ValueError` naming field, entry and instance where one can, or where the instance is not shorter than its
    fields. The gradient of what is replaced is 0.
    """
    bad = [~(f.detach() < torch.inf) for f in door.fields]
    full = torch.tensor(door.full, dtype=torch.int64, device=door.lengths.device)
    short = (door.lengths < full).any(-1).reshape(door.batch)
    for name, flags, used, event in zip(door.structure.field_names, bad, _used(door, bad), door.events, strict=True):
        refused = first_index(flags & (used | ~_wide(short, len(event))))
        if refused is not None:
            at = len(refused) - len(event)
            raise ValueError(not_finite(name, refused[at:], refused[:at]))
    return door.with_fields([torch.where(b, 0.0, f) for b, f in zip(bad, door.fields, strict=True)])


def _wide(flags: Tensor, dims: int) -> Tensor:
    return flags.reshape(*flags.shape, *[1] * dims)


def _used(door: Door, bad: Sequence[Tensor]) -> list[Tensor]:
    """Which of the `bad` entries a structure of the instance's length can use, some of them if there are several.

    The best structure, where each of these scores 1 and all others 0, uses one if any structure does: exact however
    rare such structures are. Fields that are prepared from bad entries are those that change with what stands there.
    """
    with torch.no_grad(), executors.quiet(door.lengths.device):
        allowed = [torch.where(f.detach() == -torch.inf, 0.0, f.detach()) for f in door.fields]
        zero, one = (door.with_fields([torch.where(b, x, f) for b, f in zip(bad, allowed, strict=True)])
                     for x in (0.0, 1.0))  # fmt: skip
        marks = [_marked(a, b) for a, b in zip(zero.flat, one.flat, strict=True)]
        events = _best(door, marks)
        if events is None:
            return _within(door)
        found = [((e > 0) & (m > 0)).to(m.dtype) for e, m in zip(events, marks, strict=True)]
        if not door.structure.prepares:
            return [(f > 0).reshape(b.shape) for f, b in zip(found, bad, strict=True)]
        back = [(g != 0) & b for g, b in zip(zero.pull_back(found), bad, strict=True)]
        lost = _any(found, 1).reshape(door.batch) & ~_any(back, len(door.batch))
        return [x | _wide(lost, x.dim() - lost.dim()) for x in back]


def _marked(zero: Tensor, one: Tensor) -> Tensor:
    """1 where fields prepared from two fillings differ, else 0; what is forbidden in both stays so."""
    return torch.where(torch.maximum(zero, one) == -torch.inf, -torch.inf, (zero != one).to(zero.dtype))


def _any(flags: Sequence[Tensor], batch: int) -> Tensor:
    """Whether any field of an instance has a flag, in `batch` dims."""
    return torch.stack([f.reshape(*f.shape[:batch], -1).bool().any(-1) for f in flags]).any(0)


def _best(door: Door, fields: list[Tensor]) -> list[Tensor] | None:
    """A best structure for these fields of the program, as a structure's events; None where there is no way to it."""
    structure = door.structure
    if structure.offers("best"):
        feasible, *parts = structure.best(tuple(fields), door.lengths)
        events = [dense(p, tuple(f.shape[1:]), f.dtype) for p, f in zip(parts, fields, strict=True)]
        return [e * _wide(feasible, e.dim() - 1) for e in events]
    if not isinstance(structure, DynamicProgram):
        return None
    how = structure.handle, door.full, MaxSemiring().reduction
    return executors.total_and_gradient(fields, door.lengths, *how)[1]


def _within(door: Door) -> list[Tensor]:
    """What lies within the lengths by the declared shapes, where nothing tells what structures use."""
    structure, sides = door.structure, dict(zip(door.structure.sides, door.lengths.unbind(-1), strict=True))
    out = [torch.ones(f.shape, dtype=torch.bool, device=f.device) for f in door.fields]
    if structure.declaration is None or structure.prepares:
        return out
    for i, (event, (_, dims)) in enumerate(zip(door.events, structure.declaration, strict=True)):
        for axis, (size, (letter, shift)) in enumerate(zip(event, dims, strict=True)):
            if letter in sides and size == door.sizes[letter] + shift:
                length = _wide(sides[letter].reshape(door.batch), 1) + shift
                kept = torch.arange(size, device=length.device) < length
                out[i] = out[i] & kept.reshape(*door.batch, *[1] * axis, size, *[1] * (len(event) - axis - 1))
    return out
