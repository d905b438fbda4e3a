"""The demo's findings as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .closeup import ParsedExpression, TaggedLine
from .parsing import Parsing
from .spans import OUTSIDE
from .tagging import Tagging
from .tokens import KINDS

LETTERS = dict(zip(KINDS, "NKDSPC", strict=True))


def spelled(tags: Sequence[int]) -> str:
    """One letter per character: a capital where a token begins, small where it goes on, a dot between tokens."""
    letters = []
    for tag in tags:
        letter = "." if tag == OUTSIDE else LETTERS[KINDS[(tag - 1) // 2]]
        letters.append(letter if tag % 2 else letter.lower())
    return "".join(letters)


def line_report(seen: TaggedLine) -> str:
    """MAP, best four, samples and marginals, each under the characters it speaks of."""

    def row(name: str, text: str, note: str = "") -> str:
        return f"  {name:<14}{text}  {note}".rstrip()

    key = ", ".join(f"{letter} {kind}" for kind, letter in LETTERS.items())
    rows = [
        "(c) One held-out line, the one of its size that the chain is least sure of",
        f"    {seen.line.file}; {key}; capital = first character, . = blank",
        "",
        row("line", seen.line.text),
        row("gold", spelled(seen.line.tags)),
        row("MAP", spelled(seen.mode)),
        "",
        *(row(f"best {i}", spelled(tags), f"p = {p:.4f}") for i, (p, tags) in enumerate(seen.best, 1)),
        "",
        *(row(f"sample {i}", spelled(tags), f"p = {p:.2g}") for i, (p, tags) in enumerate(seen.samples, 1)),
        "",
        "  marginals in tenths (. = below 0.05, * = above 0.95)",
        row("begins", _tenths(seen.marginals[:, 1::2].sum(-1).tolist())),
    ]
    for k, kind in enumerate(KINDS):
        rows.append(row(f"is {kind}", _tenths(seen.marginals[:, 1 + 2 * k : 3 + 2 * k].sum(-1).tolist())))
    rows.append(f"\n  entropy {seen.entropy:.3f} nats: as uncertain as {math.exp(seen.entropy):.1f} equal readings")
    return "\n".join(rows)


def _tenths(probabilities: Sequence[float]) -> str:
    digits = []
    for p in probabilities:
        tenth = round(10 * p)
        digits.append("*" if tenth >= 10 else str(tenth) if tenth else ".")
    return "".join(digits)


def parse_report(seen: ParsedExpression) -> str:
    """A row per token: head in the best tree, its marginal, gold head."""
    rows = [
        "    One held-out expression, the one of its size that the tree model is least sure of",
        f"    {' '.join(seen.parse.texts)}",
        f"    {'token':<18}{'head':<18}{'marginal':>8}  gold",
    ]
    names = ["(root)", *seen.parse.texts]
    for i, (head, gold) in enumerate(zip(seen.heads, seen.parse.heads, strict=True), 1):
        p = seen.marginals[head, i].item()
        verdict = "same" if head == gold else names[gold]
        rows.append(f"    {names[i][:16]:<18}{names[head][:16]:<18}{p:>8.3f}  {verdict[:16]}")
    rows.append(f"    entropy {seen.entropy:.3f} nats")
    return "\n".join(rows)


def summary(tagging: Tagging, parsing: Parsing, seconds: float, seed: int) -> str:
    """The closing table."""
    tags, trees = tagging.data, parsing.data
    rows = [
        f"Summary (seed {seed}, {seconds:.0f} s)",
        "",
        f"(a) tags of characters: {len(tags.train)} lines to learn from, {len(tags.test)} held out, from other files",
        f"    ({tags.dropped} lines left out: part of a token over several lines, or too wide)",
        f"    {'':<40}{'accuracy':>10}{'precision':>11}{'recall':>10}{'span F1':>10}",
    ]
    for name, tag in tagging.scores.items():
        rows.append(f"    {name:<40}{tag.accuracy:>10.4f}{tag.precision:>11.4f}{tag.recall:>10.4f}{tag.f1:>10.4f}")
    rows += [
        "",
        f"(b) trees of expressions: {len(trees.train)} to learn from, {len(trees.test)} held out, from other files",
        f"    ({trees.refused} refused by the check that gold trees are projective)",
        f"    {'':<40}{'attachment':>10}{'all right':>11}{'are trees':>10}",
    ]
    for name, parse in parsing.scores.items():
        rows.append(f"    {name:<40}{parse.attachment:>10.4f}{parse.whole:>11.4f}{parse.trees:>10.4f}")
    return "\n".join(rows)
