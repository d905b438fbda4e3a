"""Fields' shapes in letters (`"n-1 c c"`): one line per field gives validation, messages, tying and default lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semiring_struct.errors import ProgramError, ShapeError

_TOKEN = re.compile(r"([^\W\d_])(?:([+-])(\d+))?$")


@dataclass(frozen=True)
class Dim:
    """One declared size: a letter plus a constant."""

    letter: str
    shift: int

    @staticmethod
    def parse(token: str) -> Dim:
        found = _TOKEN.match(token)
        if not found:
            constant = "; a size that is always the same gets a letter too, and may be checked in `prepare`"
            raise ProgramError(
                f"a declared size is a letter with an optional +k or -k, such as 'n-1'; got {token!r}"
                f"{constant if token.isdigit() else ''}"
            )
        letter, sign, number = found.groups()
        return Dim(letter, int(f"{sign}{number}") if sign else 0)

    def __str__(self) -> str:
        return self.letter if self.shift == 0 else f"{self.letter}{self.shift:+d}"


@dataclass(frozen=True)
class Declaration:
    """The shapes of all fields of a structure, by name."""

    fields: tuple[tuple[str, tuple[Dim, ...]], ...]

    @staticmethod
    def parse(who: str, shapes: Mapping[str, str]) -> Declaration:
        """The `shapes` of class `who`; raises `ProgramError` for a size that is no letter plus a constant."""
        fields = []
        for name, text in shapes.items():
            try:
                fields.append((name, tuple(Dim.parse(t) for t in text.split())))
            except ProgramError as error:
                raise ProgramError(f"{who}: `shapes` of {name}: {error}") from None
        return Declaration(tuple(fields))

    def check_ranks(self, who: str, event_dims: tuple[int, ...]) -> None:
        """Raise `ProgramError` where `shapes` and `event_dim` of a class say different things."""
        declared = tuple(len(dims) for _, dims in self.fields)
        if declared != event_dims:
            names = ", ".join(f"{name} {len(dims)}" for name, dims in self.fields)
            said, needed = (x if len(x) != 1 else next(iter(x)) for x in (event_dims, declared))
            raise ProgramError(
                f"{who}: `shapes` declares {len(declared)} fields of these dims: {names}; `event_dim` says {said}. "
                f"Make `event_dim` {needed}, or mend `shapes`"
            )

    def needed(self) -> str:
        return ", ".join(f"{name} (*batch, {', '.join(map(str, dims))})" for name, dims in self.fields)

    def solve(self, who: str, shapes: Sequence[tuple[int, ...]], sides: Sequence[str] = ()) -> dict[str, int]:
        """The letters' values. A dim of size 1 where more is declared is tied: one value for the whole dim.

        The letters of `sides` may be 0, for an empty sequence; a dim that would be smaller still is empty as well.
        """
        letters: dict[str, int] = {}
        pairs = [
            (dim, size)
            for (_, dims), shape in zip(self.fields, shapes, strict=True)
            for dim, size in zip(dims, shape, strict=True)
        ]
        for tied in (False, True):
            for dim, size in pairs:
                if (size == 1) == tied and dim.letter not in letters:
                    letters[dim.letter] = size - dim.shift
        for dim, size in pairs:
            if size not in (1, max(letters[dim.letter] + dim.shift, 0)):
                raise ShapeError(self._complaint(who, shapes))
        if bad := [letter for letter, v in letters.items() if v < (0 if letter in sides else 1)]:
            raise ShapeError(f"{self._complaint(who, shapes)}: {' and '.join(bad)} must be at least 1")
        return letters

    def sizes(self, letters: Mapping[str, int]) -> list[tuple[int, ...]]:
        return [tuple(max(letters[d.letter] + d.shift, 0) for d in dims) for _, dims in self.fields]

    def _complaint(self, who: str, shapes: Sequence[tuple[int, ...]]) -> str:
        got = ", ".join(f"{name} {tuple(s)}" for (name, _), s in zip(self.fields, shapes, strict=True))
        return f"{who} needs log_potentials of shapes {self.needed()}; got, after the batch dims, {got}"
