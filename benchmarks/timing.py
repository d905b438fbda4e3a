"""Side by side: every round calls each contender in turn, so that a busy spell of the machine hits all alike."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

SHORTEST = 0.01
"""A sample of a fast call repeats it until about this many seconds are filled."""
MOST_REPEATS = 100


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    """Wall-clock seconds per call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def interleave(calls: Mapping[str, Callable[[], Any]], budget: float, least: int) -> dict[str, list[float]]:
    """Seconds per call, one entry per round: rounds until `budget` seconds are spent, at least `least` of them.

    The order of the calls turns with every round. One more call each, which does not count, goes before.
    """
    repeats = {name: math.ceil(SHORTEST / max(seconds(call), SHORTEST / MOST_REPEATS)) for name, call in calls.items()}
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    order, end, done = list(calls), time.perf_counter() + budget, 0
    while done < least or time.perf_counter() < end:
        gc.collect()
        gc.disable()
        try:
            for name in order:
                rounds[name].append(seconds(calls[name], repeats[name]))
        finally:
            gc.enable()
        order.append(order.pop(0))
        done += 1
    return rounds


def ratio(theirs: list[float], ours: list[float]) -> float:
    """How many times longer they take: the median over rounds of the ratio within a round."""
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
