"""One session: every case and query with every contender that can take part."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import memory
from benchmarks.cases import Case, queries
from benchmarks.contenders import OURS, Contender, find
from benchmarks.timing import interleave, ratio

Say = Callable[[str], object]
FORWARD = "log_partition"
"""Our own forward pass takes part in every round: what a query costs is told in its units, too."""


@dataclass(frozen=True)
class Options:
    """`seconds` and `rounds` are per query; `heavy` runs what needs many gigabytes; `memory` measures peaks as well."""

    queries: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    seconds: float = 5.0
    rounds: int = 3
    heavy: bool = False
    memory: bool = False


def contenders(names: Sequence[str], say: Say) -> dict[str, Contender]:
    """Ours, then those peers that are installed."""
    found = {OURS: find(OURS)}
    for name in names:
        try:
            found[name] = find(name)
        except ImportError as missing:
            say(f"{name} is left out: {missing}")
    return found


def run(cases: Sequence[Case], options: Options, say: Say = print) -> list[dict[str, Any]]:
    """One entry per case and query; what peers warn of themselves is not shown."""
    entries: list[dict[str, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        who = contenders(options.peers, say)
        for case in cases:
            for query in queries(case, options.queries):
                entries.append({"case": case.name, "query": query, "contenders": _compete(case, query, who, options)})
                say(_line(entries[-1]))
    return entries


def _line(entry: dict[str, Any]) -> str:
    timed = [f"{name} {r['median_ms']:.2f} ms" for name, r in entry["contenders"].items() if "median_ms" in r]
    return f"{entry['case']} {entry['query']}: {', '.join(timed)}"


def _compete(case: Case, query: str, who: dict[str, Contender], options: Options) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    calls: dict[str, Callable[[], Any]] = {}
    potentials, truth = case.potentials(), None
    forward = None if query == FORWARD else who[OURS].prepare(case, FORWARD, potentials)
    if forward is not None:
        forward.call()
        calls[FORWARD] = forward.call
    for name, contender in who.items():
        why = None if options.heavy else contender.heavy(case, query)
        prepared = contender.prepare(case, query, potentials) if why is None else None
        if why is not None:
            results[name] = {"left_out": why}
        if prepared is None:
            continue
        start = time.perf_counter()
        try:
            out = prepared.call()
        except (RuntimeError, MemoryError) as failure:
            results[name] = {"left_out": f"{type(failure).__name__}: {str(failure)[:200]}"}
            continue
        results[name] = {"first_ms": 1e3 * (time.perf_counter() - start)}
        value = prepared.read(out)
        truth = value if name == OURS else truth
        results[name]["agrees"] = None if truth is None or value is None else _agree(value, truth)
        calls[name] = prepared.call
        del out, value
    rounds = interleave(calls, options.seconds, options.rounds)
    if (unit := rounds.pop(FORWARD, None)) is not None:
        results[OURS]["log_partitions"] = ratio(rounds[OURS], unit)
    for name, spent in rounds.items():
        results[name] |= _figures(spent, rounds[OURS])
        if options.memory:
            results[name]["memory"] = memory.measure(case.name, query, name, torch.get_num_threads())
    return results


def _figures(spent: list[float], ours: list[float]) -> dict[str, Any]:
    return {
        "median_ms": 1e3 * statistics.median(spent),
        "least_ms": 1e3 * min(spent),
        "times_ours": ratio(spent, ours),
        "rounds_ms": [round(1e3 * seconds, 4) for seconds in spent],
    }


def _agree(value: torch.Tensor, truth: torch.Tensor) -> bool:
    """Up to float32 rounding, which grows with the sums."""
    return value.shape == truth.shape and torch.allclose(value.to(truth.dtype), truth, rtol=1e-3, atol=1e-3)
