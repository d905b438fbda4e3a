"""Programs by number: compiled graphs and operators carry integers, not objects."""

from __future__ import annotations

from collections.abc import Callable

from semiring_struct.programs.program import Program

Shapes = tuple[tuple[int, ...], ...]
_SOURCES: list[Callable[[Shapes, tuple[int, ...]], Program]] = []


def register(record: Callable[[Shapes, tuple[int, ...]], Program]) -> int:
    """A number for `record(field_shapes, full_lengths)`, which is expected to keep what it has recorded."""
    _SOURCES.append(record)
    return len(_SOURCES) - 1


def program_of(source: int, field_shapes: Shapes, lengths: tuple[int, ...]) -> Program:
    """The program that source `source` records for these shapes."""
    return _SOURCES[source](field_shapes, lengths)
