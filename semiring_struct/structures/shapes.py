"""Fields' shapes in letters (`"n-1 c c"`): one line per field gives validation, messages, tying and default lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from semiring_struct.errors import ProgramError, ShapeError

_TOKEN = re.compile(r"([^\W\d_])(?:([+-])(\d+))?$")

# a declared size is a letter plus a constant; nothing but tuples, which compiled graphs take as constants
Dim = tuple[str, int]
Declaration = tuple[tuple[str, tuple[Dim, ...]], ...]
"""The shapes of all fields of a structure, by name."""


def parse(who: str, shapes: Mapping[str, str]) -> Declaration:
    """The `shapes` of class `who`; raises `ProgramError` for a size that is no letter plus a constant."""
    fields = []
    for name, text in shapes.items():
        try:
            fields.append((name, tuple(_dim(t) for t in text.split())))
        except ProgramError as error:
            raise ProgramError(f"{who}: `shapes` of {name}: {error}") from None
    return tuple(fields)


def _dim(token: str) -> Dim:
    found = _TOKEN.match(token)
    if not found:
        constant = "; a size that is always the same gets a letter too, and may be checked in `prepare`"
        raise ProgramError(
            f"a declared size is a letter with an optional +k or -k, such as 'n-1'; got {token!r}"
            f"{constant if token.isdigit() else ''}"
        )
    letter, sign, number = found.groups()
    return letter, int(f"{sign}{number}") if sign else 0


def check_ranks(declared: Declaration, who: str, event_dims: tuple[int, ...]) -> None:
    """Raise `ProgramError` where `shapes` and `event_dim` of a class say different things."""
    ranks = tuple(len(dims) for _, dims in declared)
    if ranks != event_dims:
        names = ", ".join(f"{name} {len(dims)}" for name, dims in declared)
        said, needed = (x if len(x) != 1 else next(iter(x)) for x in (event_dims, ranks))
        raise ProgramError(
            f"{who}: `shapes` declares {len(ranks)} fields of these dims: {names}; `event_dim` says {said}. "
            f"Make `event_dim` {needed}, or mend `shapes`"
        )


def solve(
    declared: Declaration, who: str, shapes: Sequence[tuple[int, ...]], sides: Sequence[str] = ()
) -> dict[str, int]:
    """The letters' values. A dim of size 1 where more is declared is tied: one value for the whole dim.

    The letters of `sides` may be 0, for an empty sequence; a dim that would be smaller still is empty as well.
    """
    letters: dict[str, int] = {}
    pairs = [
        (letter, shift, size)
        for (_, dims), shape in zip(declared, shapes, strict=True)
        for (letter, shift), size in zip(dims, shape, strict=True)
    ]
    for letter, shift, size in [*(p for p in pairs if p[2] != 1), *(p for p in pairs if p[2] == 1)]:
        if letter not in letters:
            letters[letter] = size - shift
    for letter, shift, size in pairs:
        if size != 1 and size != _at_least_0(letters[letter] + shift):
            raise ShapeError(_complaint(declared, who, shapes))
    if bad := [letter for letter, v in letters.items() if v < (0 if letter in sides else 1)]:
        raise ShapeError(f"{_complaint(declared, who, shapes)}: {' and '.join(bad)} must be at least 1")
    return letters


def sizes(declared: Declaration, letters: Mapping[str, int]) -> list[tuple[int, ...]]:
    """The full shapes of the fields."""
    return [tuple(_at_least_0(letters[letter] + shift) for letter, shift in dims) for _, dims in declared]


def _at_least_0(size: int) -> int:
    return size if size > 0 else 0  # decided, where `max` of a symbolic size is another symbol


def _complaint(declared: Declaration, who: str, shapes: Sequence[tuple[int, ...]]) -> str:
    needed = ", ".join(f"{name} (*batch, {', '.join(map(_shown, dims))})" for name, dims in declared)
    got = ", ".join(f"{name} {tuple(s)}" for (name, _), s in zip(declared, shapes, strict=True))
    return f"{who} needs log_potentials of shapes {needed}; got, after the batch dims, {got}"


def _shown(dim: Dim) -> str:
    letter, shift = dim
    return letter if shift == 0 else f"{letter}{shift:+d}"
