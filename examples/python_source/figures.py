"""The demo's findings as one figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # writes files on machines without a screen

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Arc

from .closeup import ParsedExpression, TaggedLine
from .parsing import Parsing
from .spans import NUM_TAGS, OUTSIDE
from .tagging import Tagging
from .tokens import KINDS
from .train import Curve

MAP_ARC, GOLD_ARC, OTHER_ARC = "tab:blue", "tab:red", "grey"
ARC_COLOURS = {MAP_ARC: "in the best tree", GOLD_ARC: "gold, not in the best tree", OTHER_ARC: "neither"}
TAG_NAMES = ["blank", *(f"{kind}{part}" for kind in KINDS for part in ("", " …"))]


def draw(tagging: Tagging, parsing: Parsing, line: TaggedLine, expression: ParsedExpression, path: Path) -> None:
    """Writes the figure: marginals of the line, arcs of the expression, learning curves of both experiments."""
    figure = plt.figure(figsize=(11, 10.5), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(1.15, 1.1, 0.9))
    draw_marginals(figure.add_subplot(grid[0, :]), line)
    draw_arcs(figure.add_subplot(grid[1, :]), expression)
    draw_curves(figure.add_subplot(grid[2, 0]), tagging.curves, "Tagger: span F1 on a quarter of the held-out lines")
    draw_curves(figure.add_subplot(grid[2, 1]), parsing.curves, "Parser: attachment score on held-out expressions")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_marginals(ax: Axes, seen: TaggedLine) -> None:
    """Probability of each tag at each character; a ring marks the gold tag, a dot that of the best sequence."""
    image = ax.imshow(seen.says.marginals.T.numpy(), aspect="auto", cmap="Blues", vmin=0, vmax=1)
    places = range(len(seen.line.tags))
    ax.scatter(places, seen.line.tags, s=34, facecolors="none", edgecolors="tab:orange", label="gold")
    ax.scatter(places, seen.says.mode, s=6, color="tab:orange", label="MAP")
    ax.set_xticks(places, list(seen.line.text), family="monospace", parse_math=False)
    ax.set_yticks(range(NUM_TAGS), TAG_NAMES, fontsize=8)
    ax.axhline(OUTSIDE + 0.5, color="lightgrey", linewidth=0.8)
    ax.set_title(f"Marginals of one held-out line (entropy {seen.says.entropy:.2f} nats)")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, frameon=False, borderpad=0.1)
    ax.figure.colorbar(image, ax=ax, pad=0.01)


def draw_arcs(ax: Axes, seen: ParsedExpression, least: float = 0.03) -> None:
    """Every arc of marginal `least` or more, as wide as it is probable; blue in the best tree, red if gold alone."""
    words = len(seen.parse.texts)
    highest = 1.0
    for word in range(1, words + 1):
        for head in range(words + 1):
            p = seen.says.marginals[head, word].item()
            ours, gold = seen.says.mode[word] == head, seen.parse.heads[word - 1] == head
            if p < least and not ours and not gold:
                continue
            colour = MAP_ARC if ours else GOLD_ARC if gold else OTHER_ARC
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
    ax.set_title(f"Arcs of one held-out expression, line width = marginal (entropy {seen.says.entropy:.2f} nats)")
    ax.legend([Line2D([], [], color=c) for c in ARC_COLOURS], list(ARC_COLOURS.values()), loc="upper right", fontsize=8)


def draw_curves(ax: Axes, curves: dict[str, Curve], label: str) -> None:
    """Held-out score by training step."""
    for name, curve in curves.items():
        ax.plot(curve.steps, curve.scores, marker="o", markersize=3, label=name)
    ax.set_xlabel("training step")
    ax.set_title(label, fontsize=10)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="lower right")
