"""Lines of source with a gold tag on every character."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .corpus import SourceFile
from .tokens import KINDS, Token, tokens_of

OUTSIDE = 0  # blanks between tokens
NUM_TAGS = 1 + 2 * len(KINDS)
WIDEST = 80

Span = tuple[int, int, str]


@dataclass(frozen=True)
class Line:
    """One line without its indentation; `tags[i]` belongs to character `text[i]`."""

    text: str
    tags: tuple[int, ...]
    file: str


def begin(kind: str) -> int:
    """The tag of a token's first character."""
    return 1 + 2 * KINDS.index(kind)


def inside(kind: str) -> int:
    """The tag of a token's later characters."""
    return 2 + 2 * KINDS.index(kind)


def follows(before: int, after: int) -> bool:
    """May tag `after` stand right after tag `before`? Inside tags continue a token of their own kind only."""
    is_inside = after != OUTSIDE and after % 2 == 0
    return not is_inside or before in (after - 1, after)


def spans_of(tags: Iterable[int]) -> set[Span]:
    """The tokens `(start, end, kind)` that a tag sequence spells.

    A sequence that breaks the rule of `follows` is read as generously as usual: a stray inside tag opens a new token.
    """
    spans: set[Span] = set()
    start, last = 0, OUTSIDE
    tags = [*tags, OUTSIDE]
    for i, tag in enumerate(tags):
        continues = tag != OUTSIDE and tag % 2 == 0 and follows(last, tag)
        if last != OUTSIDE and not continues:
            spans.add((start, i, KINDS[(last - 1) // 2]))
        if not continues:
            start = i
        last = tag
    return spans


def lines_of(file: SourceFile) -> tuple[list[Line], int]:
    """The file's lines that can be tagged on their own, and how many cannot.

    A token over several lines (a docstring) has no beginning or end on some of them, so that one line alone does not
    show what it is: such lines are left out. A line wider than `WIDEST` is cut after its last token that fits.
    """
    rows: dict[int, list[Token]] = defaultdict(list)
    torn: set[int] = set()
    for token in tokens_of(file.text):
        if token.start[0] == token.end[0]:
            rows[token.start[0]].append(token)
        else:
            torn.update(range(token.start[0], token.end[0] + 1))
    texts = file.text.split("\n")
    lines = [_line(texts[row - 1], tokens, file.name) for row, tokens in sorted(rows.items()) if row not in torn]
    kept = [line for line in lines if line is not None]
    return kept, len(torn) + len(lines) - len(kept)


def _line(text: str, tokens: list[Token], file: str) -> Line | None:
    first = tokens[0].start[1]
    fitting = [token for token in tokens if token.end[1] - first <= WIDEST]
    if not fitting:
        return None
    tags = [OUTSIDE] * (fitting[-1].end[1] - first)
    for token in fitting:
        left, right = token.start[1] - first, token.end[1] - first
        tags[left:right] = [begin(token.kind)] + [inside(token.kind)] * (right - left - 1)
    return Line(text[first : first + len(tags)], tuple(tags), file)
