"""The results as a Markdown table with its conditions, and as a plot."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from benchmarks import scaling
from benchmarks.contenders import OURS


def markdown(document: dict[str, Any]) -> str:
    """Everything a reader needs: conditions, times and ratios, memory, overhead."""
    where = document["conditions"]
    versions = ", ".join(f"{name} {v}" for name, v in where["versions"].items() if v != "not installed")
    lines = [
        (
            f"{where['processor']}, {where['cores']} cores, {where['threads']} threads used, "
            f"load {where['load_average']}, {where['system']}, Python {where['python']}, {where['date']}."
        ),
        f"{versions}. Executor: {where['executor']}.",
    ]
    entries = document["entries"]
    tables = _times(entries), _memory(entries), scaling.table(document["scaling"]), _overhead(document["overhead"])
    for rows in tables:
        if len(rows) > 1:
            lines += ["", *_table(rows)]
    return "\n".join(lines) + "\n"


def _table(rows: list[list[str]]) -> list[str]:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return [head, "|" + " --- |" * len(rows[0]), *body]


def _times(entries: list[dict[str, Any]]) -> list[list[str]]:
    head = ["first call, ms", "median, ms", "least, ms", "times ours", "our log_partitions", "agrees"]
    rows = [["case", "query", "contender", *head]]
    for entry in entries:
        for name, r in entry["contenders"].items():
            start = [entry["case"], entry["query"], name]
            if "median_ms" not in r:
                rows.append([*start, "", f"left out: {r['left_out']}", "", "", "", ""])
                continue
            agrees = {True: "yes", False: "NO", None: ""}[r["agrees"]]
            times = [f"{r[key]:.2f}" for key in ("first_ms", "median_ms", "least_ms")]
            theirs = "" if name == OURS else f"{r['times_ours']:.1f}"
            forward = f"{r['log_partitions']:.1f}" if "log_partitions" in r else ""
            rows.append([*start, *times, theirs, forward, agrees])
    return rows


def _memory(entries: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["case", "query", "contender", "inputs, MiB", "outputs, MiB", "held by the call, MiB", "peak / (in + out)"]]
    for entry in entries:
        for name, r in entry["contenders"].items():
            m = r.get("memory", {"error": ""})
            if "error" in m:
                continue
            size = m["inputs_mb"] + m["outputs_mb"]
            share = f"{(m['inputs_mb'] + m['call_mb']) / size:.1f}" if size else ""
            figures = [f"{m[key]:.1f}" for key in ("inputs_mb", "outputs_mb", "call_mb")]
            rows.append([entry["case"], entry["query"], name, *figures, share])
    return rows


def _overhead(found: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["case", "query", "second call, ms", "outside the machine, ms"]]
    rows += [[r["case"], r["query"], f"{r['total_ms']:.3f}", f"{r['outside_ms']:.3f}"] for r in found]
    return rows


def plot(document: dict[str, Any], path: Path) -> str:
    """One bar per case, query and peer: how many times longer than ours it takes; or how cost grows.

    Returns what was done.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return "no plot: matplotlib is not installed"
    from matplotlib.figure import Figure

    if document["scaling"]:
        figure = Figure(figsize=(8, 6), layout="constrained")
        scaling.draw(document["scaling"], figure.subplots())
        figure.savefig(path)
        return f"written: {path}"
    bars = [
        (f"{entry['case']} {entry['query']}: {name}", r["times_ours"])
        for entry in document["entries"]
        for name, r in entry["contenders"].items()
        if name != OURS and "times_ours" in r
    ]
    if not bars:
        return "no plot: no peer took part"
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(bars)), layout="constrained")
    axes = figure.subplots()
    labels, ratios = zip(*reversed(bars), strict=True)
    axes.barh(labels, ratios)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("times as long as semiring_struct (median over rounds)")
    figure.savefig(path)
    return f"written: {path}"
