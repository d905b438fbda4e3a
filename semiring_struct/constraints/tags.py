"""Tag schemes for spans, as rules of which tag may start, follow another, and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.ops import NEG_INF
from semiring_struct.structures import ChainPotentials, bounds_of
from semiring_struct.types import storable


@storable
class TagRules(NamedTuple):
    """Which tags may stand where, for `c` tags in the order in which they were given; all boolean, True = may.

    Shape: `start (c)`, `[to_tag]` may be the first; `transition (c, c)`, `[from_tag, to_tag]` may follow one another;
    `end (c)`, `[from_tag]` may be the last.
    """

    start: Tensor
    transition: Tensor
    end: Tensor


def bio(tags: Sequence[str]) -> TagRules:
    """BIO (IOB2): a span of type X is B-X, then any number of I-X; O is outside.

    `tags` name all tags, such as `["O", "B-PER", "I-PER"]`, or without types `["B", "I", "O"]`. Raises `ValueError` for
    a tag that is none of the scheme or comes twice, and for tags that could never occur among the ones given, such as
    I-X without B-X: the message names them. Cost: `O(c^2)`, once. Source: Tjong Kim Sang & Veenstra
    1999, sec. 2.1 [tjongkimsang1999]; Ratinov & Roth 2009, sec. 4 [ratinov2009].
    """
    return _rules(tags, "BIO", lambda before, after, same: after != "I" or (same and before in "BI"), "BO", "BIO")


def iob1(tags: Sequence[str]) -> TagRules:
    """IOB1: a span of type X is a run of I-X; its first tag is B-X only where a span of the same type ends before it.

    Arguments, errors and source as those of `bio`.
    """
    return _rules(tags, "BIO", lambda before, after, same: after != "B" or (same and before in "BI"), "IO", "BIO")


def bioes(tags: Sequence[str]) -> TagRules:
    """BIOES: a span of type X is S-X alone, or B-X, any number of I-X, then E-X; O is outside.

    Arguments, errors and source as those of `bio`.
    """
    return _closed(tags, last="E", alone="S")


def bioul(tags: Sequence[str]) -> TagRules:
    """BIOUL (BILOU): BIOES with L (last) for E and U (unit) for S. Arguments, errors and source as those of `bio`."""
    return _closed(tags, last="L", alone="U")


def follow(log_potentials: ChainPotentials, rules: TagRules, lengths: Any = None) -> ChainPotentials:
    """The potentials of a `LinearChain` with `-inf` for whatever breaks the rules; a tied transition stays tied.

    Shape: `emission (*batch, n, c)`, `transition (*batch, n-1 or 1, c, c)`, and the same back; the last position is
    that of `lengths`. Raises `ShapeError` where the number of tags differs.
    """
    emission, transition = log_potentials
    n, c = emission.shape[-2:]
    if rules.transition.shape != (c, c):
        raise ShapeError(f"follow needs rules for the {c} tags of the potentials; got {tuple(rules.transition.shape)}")
    start, move, end = (rule.to(emission.device) for rule in rules)
    batch = tuple(emission.shape[:-2])
    last = bounds_of("follow", lengths, (n,), batch, emission.device).reshape(*batch, 1) - 1
    at = torch.arange(n, device=emission.device)
    may = (start | (at != 0)[:, None]) & (end | (at != last)[..., None])
    return ChainPotentials(torch.where(may, emission, NEG_INF), torch.where(move, transition, NEG_INF))


def _closed(tags: Sequence[str], last: str, alone: str) -> TagRules:
    """The schemes that mark both ends of a span."""

    def may_follow(before: str, after: str, same: bool) -> bool:
        goes_on = after in "I" + last
        return same and goes_on if before in "BI" else not goes_on

    return _rules(tags, "BIO" + last + alone, may_follow, "BO" + alone, "O" + last + alone)


def _rules(
    tags: Sequence[str], scheme: str, may_follow: Callable[[str, str, bool], bool], starts: str, ends: str
) -> TagRules:
    """Rules from those of the letters of a scheme; `may_follow(letter, letter, same type)`."""
    split = [_split(tag, scheme) for tag in tags]
    if len(set(split)) != len(split) or not split:
        raise ValueError(f"{scheme} needs one tag or more, each once; got {list(tags)}")
    table = [[may_follow(a, b, x == y) for b, y in split] for a, x in split]
    start, end = ([letter in letters for letter, _ in split] for letters in (starts, ends))
    back = [list(column) for column in zip(*table, strict=True)]
    met = _reached(start, table) & _reached(end, back)
    if lost := [tag for i, tag in enumerate(tags) if i not in met]:
        raise ValueError(
            f"{scheme}: no string of {list(tags)} that follows the rules holds {', '.join(lost)}; add the tags that "
            "begin and end their spans, leave these out, or take the scheme they are written in"
        )
    return TagRules(*(torch.tensor(x, device="cpu") for x in (start, table, end)))


def _reached(begin: list[bool], table: list[list[bool]]) -> set[int]:
    """The tags that steps `table[from][to]` lead to from those to begin with, these included."""
    met = {i for i, may in enumerate(begin) if may}
    new = set(met)
    while new:
        new = {j for i in new for j, may in enumerate(table[i]) if may} - met
        met |= new
    return met


def _split(tag: str, scheme: str) -> tuple[str, str]:
    letter, dash, kind = tag.partition("-")
    known = len(letter) == 1 and letter in scheme
    if not known or (dash and not kind) or (letter == "O" and dash):
        raise ValueError(f"a tag of {scheme} is O, or one of its other letters with '-TYPE' or no type; got {tag!r}")
    return letter, kind
