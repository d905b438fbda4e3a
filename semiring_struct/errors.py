"""The typed errors and warnings of the public door: each says what came, what was needed and what to do."""

from __future__ import annotations


class ShapeError(ValueError):
    """A tensor whose shape does not fit the structure's declared fields."""


class UnsupportedQueryError(NotImplementedError):
    """A query that this structure cannot answer; the message names the ones it offers."""


class InfeasibleError(ValueError):
    """An instance none of whose structures has a finite score; the message names its batch index."""


class ProgramError(ValueError):
    """A program that breaks the rules of the language: see `semiring_struct.programs.recorder`."""


class CacheWarning(UserWarning):
    """Compiled code cannot be kept, or what was kept is damaged: queries answer as ever, and begin more slowly."""
