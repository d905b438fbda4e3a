"""The demo's findings as one figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # writes files on machines without a screen

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Arc

from .closeup import ParsedExpression, TaggedLine
from .parsing import Parsing
from .spans import NUM_TAGS, OUTSIDE
from .tagging import Tagging
from .tokens import KINDS
from .train import Curve

TAG_NAMES = ["blank", *(f"{kind}{part}" for kind in KINDS for part in ("", " …"))]


def draw(tagging: Tagging, parsing: Parsing, line: TaggedLine, expression: ParsedExpression, path: Path) -> None:
    """Writes the figure: marginals of the line, arcs of the expression, learning curves of both experiments."""
    figure = plt.figure(figsize=(11, 10.5), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(1.15, 1.1, 0.9))
    draw_marginals(figure.add_subplot(grid[0, :]), line)
    draw_arcs(figure.add_subplot(grid[1, :]), expression)
    draw_curves(figure.add_subplot(grid[2, 0]), tagging.curves, "exact-span F1, held-out lines")
    draw_curves(figure.add_subplot(grid[2, 1]), parsing.curves, "attachment score, held-out expressions")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_marginals(ax: Axes, seen: TaggedLine) -> None:
    """Probability of each tag at each character; a ring marks the gold tag."""
    image = ax.imshow(seen.marginals.T.numpy(), aspect="auto", cmap="Blues", vmin=0, vmax=1)
    places = range(len(seen.line.tags))
    ax.scatter(places, seen.line.tags, s=22, facecolors="none", edgecolors="tab:orange", label="gold")
    ax.set_xticks(places, list(seen.line.text), family="monospace", parse_math=False)
    ax.set_yticks(range(NUM_TAGS), TAG_NAMES, fontsize=8)
    ax.axhline(OUTSIDE + 0.5, color="lightgrey", linewidth=0.8)
    ax.set_title(f"Marginals of one line (entropy {seen.entropy:.2f} nats)")
    ax.legend(loc="upper right", fontsize=8)
    ax.figure.colorbar(image, ax=ax, pad=0.01)


def draw_arcs(ax: Axes, seen: ParsedExpression, least: float = 0.03) -> None:
    """Every arc of marginal `least` or more, as wide as it is probable; blue in the best tree, red if gold alone."""
    words = len(seen.parse.texts)
    highest = 1.0
    for word in range(1, words + 1):
        for head in range(words + 1):
            p = seen.marginals[head, word].item()
            ours, gold = seen.heads[word - 1] == head, seen.parse.heads[word - 1] == head
            if p < least and not ours and not gold:
                continue
            colour = "tab:blue" if ours else "tab:red" if gold else "grey"
            span = abs(head - word)
            highest = max(highest, span)
            middle = ((head + word) / 2, 0)
            style = {"linewidth": max(0.4, 3.5 * p), "color": colour, "alpha": 1.0 if ours or gold else 0.7}
            ax.add_patch(Arc(middle, span, span, theta1=0, theta2=180, **style))
        ax.plot(word, 0, marker="v", markersize=5, color="black", clip_on=False, zorder=3)
    for place, text in enumerate(["root", *seen.parse.texts]):
        shown = text if len(text) <= 14 else text[:13] + "…"
        ax.text(place, -0.25, shown, ha="right", va="top", family="monospace", rotation=30, parse_math=False)
    ax.set_xlim(-0.7, words + 0.5)
    ax.set_ylim(-0.2 * highest, highest / 2 + 0.3)
    ax.axis("off")
    ax.set_title(f"Arcs of one expression, line width = marginal (entropy {seen.entropy:.2f} nats)")


def draw_curves(ax: Axes, curves: dict[str, Curve], label: str) -> None:
    """Held-out score by training step."""
    for name, curve in curves.items():
        ax.plot(curve.steps, curve.scores, marker="o", markersize=3, label=name)
    ax.set_xlabel("training step")
    ax.set_ylabel(label)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="lower right")
