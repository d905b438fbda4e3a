"""How cost grows: one size of a case multiplied, time beside it, and the slope of the line on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks import session
from benchmarks.cases import FAMILIES, Case
from benchmarks.contenders import OURS

FACTORS = (1, 2, 4, 8)


def measure(cases: Sequence[Case], letter: str, options: session.Options, say: session.Say) -> list[dict[str, Any]]:
    """One entry per case, query and contender: sizes along `letter`, medians in ms, and the slope.

    Every case that has the letter is measured as it is and with that size multiplied by 2, 4 and 8.
    """
    found: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for case in cases:
        letters = FAMILIES[case.family].letters.split()
        if letter not in letters:
            say(f"{case.name} has no size {letter}")
            continue
        grown = [case.grown(letter, factor) for factor in FACTORS]
        for entry, bigger in _entries(grown, options, say):
            for name, result in entry["contenders"].items():
                if "median_ms" in result:
                    key = case.name, entry["query"], name
                    found.setdefault(key, []).append((bigger.sizes[letters.index(letter)], result["median_ms"]))
    return [
        {"case": c, "query": q, "contender": who, "letter": letter, "points": points, "slope": slope(points)}
        for (c, q, who), points in found.items()
        if len(points) > 1
    ]


def _entries(grown: Sequence[Case], options: session.Options, say: session.Say) -> list[tuple[dict[str, Any], Case]]:
    return [(entry, case) for case in grown for entry in session.run([case], options, say)]


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Of the least-squares line through the logarithms: 1 where time grows in proportion to size."""
    x, y = [math.log(size) for size, _ in points], [math.log(ms) for _, ms in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Lines for a Markdown table, the head first."""
    lines = [["case", "query", "contender", "size", "median, ms", "slope"]]
    for row in rows:
        points = row["points"]
        times = ", ".join(f"{ms:.2f}" for _, ms in points)
        sizes = f"{row['letter']} = {', '.join(str(size) for size, _ in points)}"
        lines.append([row["case"], row["query"], row["contender"], sizes, times, f"{row['slope']:.2f}"])
    return lines


def draw(rows: Sequence[dict[str, Any]], axes: Any) -> None:
    """One line per row on logarithmic axes."""
    for row in rows:
        sizes, times = zip(*row["points"], strict=True)
        label = f"{row['case']} {row['query']}, {row['contender']}: slope {row['slope']:.2f}"
        axes.plot(sizes, times, "-" if row["contender"] == OURS else "--", marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel=rows[0]["letter"], ylabel="median, ms")
    axes.legend(fontsize="small")
