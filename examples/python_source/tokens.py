"""Gold tokens of a source text, from `tokenize`, under six kinds."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("name", "keyword", "number", "string", "op", "comment")

_KIND_OF = {
    tokenize.NAME: "name",
    tokenize.NUMBER: "number",
    tokenize.STRING: "string",
    tokenize.OP: "op",
    tokenize.COMMENT: "comment",
}
# Python 3.12 and later split an f-string into pieces; before, it was one token. On every version it is one string here.
_STRING_OPENS = {getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")} - {None}
_STRING_CLOSES = {getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")} - {None}


@dataclass(frozen=True)
class Token:
    """A token and where it stands: `start` and `end` are (line from 1, column from 0), `end` exclusive."""

    kind: str
    text: str
    start: tuple[int, int]
    end: tuple[int, int]


def tokens_of(text: str) -> Iterator[Token]:
    """The tokens that have a kind, in order; line ends and indentation have none."""
    lines = text.split("\n")  # not splitlines(), which also breaks at form feeds
    opened: list[tuple[int, int]] = []
    for piece in tokenize.generate_tokens(io.StringIO(text).readline):
        if piece.type in _STRING_OPENS:
            opened.append(piece.start)
        elif piece.type in _STRING_CLOSES:
            start = opened.pop()
            if not opened:
                yield Token("string", _between(lines, start, piece.end), start, piece.end)
        elif not opened and piece.type in _KIND_OF:
            kind = "keyword" if keyword.iskeyword(piece.string) else _KIND_OF[piece.type]
            yield Token(kind, piece.string, piece.start, piece.end)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    rows = lines[start[0] - 1 : end[0]]
    rows[-1] = rows[-1][: end[1]]
    rows[0] = rows[0][start[1] :]
    return "\n".join(rows)
