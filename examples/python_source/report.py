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
    rows += ["", f"  entropy {_nats(seen.says.entropy)} readings"]
    return "\n".join(rows)


def _tenths(probabilities: Sequence[float]) -> str:
    digits = []
    for p in probabilities:
        tenth = round(10 * p)
        digits.append("*" if tenth >= 10 else str(tenth) if tenth else ".")
    return "".join(digits)


def _nats(entropy: float) -> str:
    return f"{entropy:.3f} nats: as uncertain as {math.exp(entropy):.3g} equally likely"


def parse_report(seen: ParsedExpression) -> str:
    """A row per token: its head in gold and MAP, what the marginals say, its head in the best trees and samples."""
    says, names = seen.says, ["(root)", *seen.parse.texts]
    weighed = [*says.best, *says.samples]
    titles = [f"top{i}" for i in range(1, len(says.best) + 1)] + [f"smp{i}" for i in range(1, len(says.samples) + 1)]
    rows = [
        "(c) One held-out expression, the one of its size that the tree model is least sure of",
        f"    {seen.parse.file}; heads by number, 0 = root; p = marginal; next = the likeliest head but for the MAP's",
        "    in the best trees (top) and the samples (smp) a dot is the MAP head",
        "",
        f"  {'':<3}{'token':<14}{'gold':>4}{'MAP':>5}{'p':>6}{'next':>6}{'p':>6}  {''.join(f'{t:>7}' for t in titles)}",
    ]
    for i, gold in enumerate(seen.parse.heads, 1):
        ours, column = says.mode[i], says.marginals[:, i]
        other = int(column.scatter(0, torch.tensor(ours), -1.0).argmax())
        told = f"{gold:>4}{ours:>5}{column[ours].item():>6.2f}{other:>6}{column[other].item():>6.2f}  "
        choices = "".join(f"{'.' if heads[i] == ours else heads[i]:>7}" for _, heads in weighed)
        rows.append(f"  {i:<3}{names[i][:13]:<14}{told}{choices}")
    chances = "".join(f"{p:>7.3f}" if p >= 0.001 else f"{p:>7.0e}" for p, _ in weighed)
    rows.append(f"  {'':<3}{'probability of the tree':<43}{chances}")
    rows += ["", f"    entropy {_nats(says.entropy)} trees"]
    return "\n".join(rows)


def _row(name: str, cells: Sequence[str | float]) -> str:
    shown = [f"{cell:.4f}" if isinstance(cell, float) else cell for cell in cells]
    return f"    {name:<38}" + "".join(f"{cell:>11}" for cell in shown).rstrip()


def _learning(curves: dict[str, Curve], name: str) -> str:
    return f"{curves[name].seconds:.1f} s" if name in curves else ""


def summary(tagging: Tagging, parsing: Parsing, seconds: float, seed: int) -> str:
    """The closing table."""
    tags, trees = tagging.data, parsing.data
    rows = [
        f"Summary (seed {seed}, {seconds:.0f} s; learning = processor time of the training steps)",
        "",
        f"(a) tags of characters: {len(tags.train)} lines to learn from, {len(tags.test)} held out, from other files",
        f"    ({tags.dropped} lines left out: part of a token over several lines, or too wide)",
        _row("", ["accuracy", "precision", "recall", "span F1", "learning"]),
    ]
    for name, tag in tagging.scores.items():
        rows.append(_row(name, [tag.accuracy, tag.precision, tag.recall, tag.f1, _learning(tagging.curves, name)]))
    rows += [
        "",
        f"(b) trees of expressions: {len(trees.train)} to learn from, {len(trees.test)} held out, from other files",
        f"    ({trees.refused} refused by the check that gold trees are projective)",
        _row("", ["attachment", "all right", "are trees", "", "learning"]),
    ]
    for name, parse in parsing.scores.items():
        rows.append(_row(name, [parse.attachment, parse.whole, parse.trees, "", _learning(parsing.curves, name)]))
    return "\n".join(rows)
