"""Programs by description: compiled and exported graphs carry text, from which any process finds the program."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache

from semiring_struct.programs.description import Described, rebuilt
from semiring_struct.programs.program import Program

Shapes = tuple[tuple[int, ...], ...]
PROGRAMS = 1024  # programs that are remembered, those used last


class Source(Described):
    """What records programs, one for each shape of its fields."""

    @abstractmethod
    def record(self, field_shapes: Shapes, lengths: tuple[int, ...]) -> Program:
        """The program for these field shapes and full lengths, recorded anew."""


@lru_cache(maxsize=PROGRAMS)
def program_of(source: str, field_shapes: Shapes, lengths: tuple[int, ...]) -> Program:
    """The program that the described source records for these shapes, once.

    Raises `ProgramError` where this process cannot rebuild the source (see `description`).
    """
    return rebuilt(source, Source).record(field_shapes, lengths)
