"""Gold dependency trees over the tokens of real expressions, from `ast`.

The rule. A syntax node is headed by its first own token (`+` heads `a + b`, `[` heads `[a, b]`,
`if` heads `a if b else c`), except that the name after the dot heads an attribute and that a call or an indexing is
headed by the head of what is called or indexed. A node's other own tokens, and the heads of its children, hang on that
head. Brackets that group a child hang on the child's head. Every node covers adjacent tokens and is entered by one arc
only, so the trees are projective.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from .corpus import SourceFile
from .tokens import Token, tokens_of

SHORTEST, LONGEST = 3, 20
ROOT = 0
WHOLE = {"JoinedStr", "TemplateStr"}  # strings with expressions inside (the second since Python 3.14): one token here


@dataclass(frozen=True)
class Parse:
    """An expression's tokens (a kind, or the text itself for keywords and operators) and the head of each.

    Tokens count from 1; `heads[i]` is the head of token `i + 1`, and head 0 is the root symbol.
    """

    symbols: tuple[str, ...]
    texts: tuple[str, ...]
    heads: tuple[int, ...]
    file: str


def is_projective(heads: tuple[int, ...]) -> bool:
    """Is this a tree under one root symbol with one root token, no two arcs crossing?"""
    if sum(head == ROOT for head in heads) != 1:
        return False
    for word in range(1, len(heads) + 1):
        seen, at = set(), word
        while at != ROOT:
            if at in seen:
                return False
            seen.add(at)
            at = heads[at - 1]
    arcs = [(min(head, word), max(head, word)) for word, head in enumerate(heads, 1)]
    return not any(a < c < b < d for a, b in arcs for c, d in arcs)


def expressions_of(tree: ast.AST) -> Iterator[ast.expr]:
    """Expressions that no larger expression contains, in source order."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            yield node
        else:
            yield from expressions_of(node)


def parses_of(file: SourceFile) -> tuple[list[Parse], int]:
    """The file's expressions of `SHORTEST` to `LONGEST` tokens with their gold trees, and how many were refused.

    Refused are expressions whose positions in `ast` and `tokenize` disagree and trees that are not projective; the rule
    leaves none of the latter, but every tree is checked.
    """
    tokens = [token for token in tokens_of(file.text) if token.kind != "comment"]
    builder = _Builder(file.text, tokens)
    parses, refused = [], 0
    for node in expressions_of(file.tree):
        try:
            first, end = builder.covers(node)
            heads = builder.heads(node) if SHORTEST <= end - first <= LONGEST else None
        except _MisplacedError:
            refused += 1
            continue
        if heads is None:
            continue
        if not is_projective(heads):
            refused += 1
            continue
        chosen = tokens[first:end]
        symbols = tuple(token.text if token.kind in ("keyword", "op") else token.kind for token in chosen)
        parses.append(Parse(symbols, tuple(token.text for token in chosen), heads, file.name))
    return parses, refused


class _MisplacedError(ValueError):
    """A syntax node that does not begin and end where tokens do."""


class _Builder:
    """Walks one file's syntax nodes with its tokens at hand; token numbers are the file's, from 0."""

    def __init__(self, text: str, tokens: list[Token]):
        self.lines = text.split("\n")
        self.tokens = tokens
        self.starts = [token.start for token in tokens]
        self.ends = [token.end for token in tokens]

    def column(self, row: int, offset: int) -> int:
        """`ast` counts bytes, `tokenize` characters."""
        line = self.lines[row - 1]
        return offset if line.isascii() else len(line.encode()[:offset].decode())

    def covers(self, node: ast.expr | ast.keyword | ast.arg) -> tuple[int, int]:
        """First token of a node and the one after its last."""
        start = (node.lineno, self.column(node.lineno, node.col_offset))
        row, offset = node.end_lineno or node.lineno, node.end_col_offset or 0
        end = (row, self.column(row, offset))
        first, last = bisect_left(self.starts, start), bisect_left(self.ends, end)
        if last == len(self.ends) or self.starts[first] != start or self.ends[last] != end:
            raise _MisplacedError
        return first, last + 1

    def heads(self, node: ast.expr) -> tuple[int, ...]:
        """Heads of a node's tokens, counted from 1 inside the node, 0 for the token that heads it all."""
        first, end = self.covers(node)
        self.head_of: dict[int, int] = {}
        top = self.attach(node, first, end)
        return tuple(ROOT if i == top else self.head_of[i] - first + 1 for i in range(first, end))

    def attach(self, node: ast.AST, first: int, end: int) -> int:
        """Hangs the tokens `first .. end-1` of a node on its head, and returns the head."""
        own: list[int] = []
        children: list[int] = []
        at = first
        parts = self.children(node)
        for child, (left, right) in parts:
            called = isinstance(node, ast.Call) and child is not node.func
            floor = at + 1 if called and child is parts[1][0] else at
            ceiling = end - 1 if called else end
            outer_left, outer_right = self.grouped(left, right, floor, ceiling)
            head = self.attach(child, left, right)
            for i in [*range(outer_left, left), *range(right, outer_right)]:
                self.head_of[i] = head
            own.extend(range(at, outer_left))
            children.append(head)
            at = outer_right
        own.extend(range(at, end))
        head = self.choose(node, own, children)
        for i in [*own, *children]:
            if i != head:
                self.head_of[i] = head
        return head

    def grouped(self, left: int, right: int, floor: int, ceiling: int) -> tuple[int, int]:
        """Widens a child by the pairs of round brackets around it that are not the parent's own."""
        while left > floor and right < ceiling and self.tokens[left - 1].text == "(" and self.tokens[right].text == ")":
            left, right = left - 1, right + 1
        return left, right

    def children(self, node: ast.AST) -> list[tuple[ast.AST, tuple[int, int]]]:
        """A node's nearest descendants that have a place in the text, in the order of the text."""
        found = []
        inner = () if type(node).__name__ in WHOLE else ast.iter_child_nodes(node)
        for child in inner:
            if isinstance(child, ast.expr | ast.keyword | ast.arg):
                found.append((child, self.covers(child)))
            else:
                found.extend(self.children(child))
        return sorted(found, key=lambda entry: entry[1])

    @staticmethod
    def choose(node: ast.AST, own: list[int], children: list[int]) -> int:
        if isinstance(node, ast.Call | ast.Subscript) or not own:  # `x[*y]` holds a tuple without a token of its own
            return children[0]
        return own[-1] if isinstance(node, ast.Attribute) else own[0]
