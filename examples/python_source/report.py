"""The demo's findings as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .closeup import ParsedExpression, TaggedLine
from .parsing import Parsing
from .spans import OUTSIDE
from .tagging import Tagging
from .tokens import KINDS
from .train import Curve

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
        row("MAP", spelled(seen.says.mode)),
        "",
        *(row(f"best {i}", spelled(tags), f"p = {p:.3g}") for i, (p, tags) in enumerate(seen.says.best, 1)),
        "",
        *(row(f"sample {i}", spelled(tags), f"p = {p:.3g}") for i, (p, tags) in enumerate(seen.says.samples, 1)),
        "",
        "  marginals in tenths (. = below 0.05, * = above 0.95)",
        row("begins", _tenths(seen.says.marginals[:, 1::2].sum(-1).tolist())),
    ]
    for k, kind in enumerate(KINDS):
        rows.append(row(f"is {kind}", _tenths(seen.says.marginals[:, 1 + 2 * k : 3 + 2 * k].sum(-1).tolist())))
    rows.append(f"\n  entropy {seen.says.entropy:.3f} nats: as uncertain as {math.exp(seen.says.entropy):.3g} equal readings")
    return "\n".join(rows)


def _tenths(probabilities: Sequence[float]) -> str:
    digits = []
    for p in probabilities:
        tenth = round(10 * p)
        digits.append("*" if tenth >= 10 else str(tenth) if tenth else ".")
    return "".join(digits)


def parse_report(seen: ParsedExpression) -> str:
    """A row per token: its head in gold and MAP, what the marginals say, its head in the best trees and samples."""
    says, names = seen.says, ["(root)", *seen.parse.texts]
    trees = [heads for _, heads in [*says.best, *says.samples]]
    titles = [f"best {i}" for i in range(1, len(says.best) + 1)] + [f"smp {i}" for i in range(1, len(says.samples) + 1)]
    rows = [
        "    One held-out expression, the one of its size that the tree model is least sure of",
        f"    {seen.parse.file}; heads by number; p = marginal of the MAP head; next = the head after it by marginal;",
        "    a dot in the best trees and the samples (smp) = the MAP head",
        "",
        f"    {'':<3}{'token':<16}{'gold':>5}{'MAP':>5}{'p':>6}{'next':>6}{'p':>6}  " + "".join(f"{t:>8}" for t in titles),
    ]
    for i, gold in enumerate(seen.parse.heads, 1):
        ours, column = says.mode[i], says.marginals[:, i]
        other = int(column.scatter(0, torch.tensor(ours), -1.0).argmax())
        told = f"{gold:>5}{ours:>5}{column[ours].item():>6.2f}{other:>6}{column[other].item():>6.2f}  "
        choices = "".join(f"{'.' if heads[i] == ours else heads[i]:>8}" for heads in trees)
        rows.append(f"    {i:<3}{names[i][:15]:<16}{told}{choices}")
    chances = "".join(f"{p:>8.2g}" for p, _ in [*says.best, *says.samples])
    rows.append(f"    {'':<3}{'probability of the tree':<46}{chances}")
    rows.append(f"\n    entropy {says.entropy:.3f} nats: as uncertain as {math.exp(says.entropy):.3g} equal trees")
    return "\n".join(rows)


def _learning(name: str, curves: dict[str, Curve]) -> str:
    return f"{curves[name].seconds:>9.1f} s" if name in curves else ""


def summary(tagging: Tagging, parsing: Parsing, seconds: float, seed: int) -> str:
    """The closing table."""
    tags, trees = tagging.data, parsing.data
    rows = [
        f"Summary (seed {seed}, {seconds:.0f} s)",
        "",
        f"(a) tags of characters: {len(tags.train)} lines to learn from, {len(tags.test)} held out, from other files",
        f"    ({tags.dropped} lines left out: part of a token over several lines, or too wide)",
        f"    {'':<40}{'accuracy':>10}{'precision':>11}{'recall':>10}{'span F1':>10}{'learning':>11}",
    ]
    for name, tag in tagging.scores.items():
        rows.append(f"    {name:<40}{tag.accuracy:>10.4f}{tag.precision:>11.4f}{tag.recall:>10.4f}{tag.f1:>10.4f}{_learning(name, tagging.curves)}")
    rows += [
        "",
        f"(b) trees of expressions: {len(trees.train)} to learn from, {len(trees.test)} held out, from other files",
        f"    ({trees.refused} refused by the check that gold trees are projective)",
        f"    {'':<40}{'attachment':>10}{'all right':>11}{'are trees':>10}{'learning':>21}",
    ]
    for name, parse in parsing.scores.items():
        rows.append(f"    {name:<40}{parse.attachment:>10.4f}{parse.whole:>11.4f}{parse.trees:>10.4f}{_learning(name, parsing.curves):>21}")
    return "\n".join(rows)
