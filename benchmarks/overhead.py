"""Time that a second call of the same shape spends outside the machine: checks, lookups, and shaping of answers."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmarks import ours
from benchmarks.cases import Case, queries
from semiring_struct import executors
from semiring_struct.executors import machine
from semiring_struct.executors.machine import SWITCH
from semiring_struct.programs import Program
from semiring_struct.semirings import Reduction

T = TypeVar("T")


class Stopwatch(executors.Machine):
    """Hands every job on to the machine that would have taken it, and adds up the time spent there."""

    name = "stopwatch"

    def __init__(self) -> None:
        self.handing_on, self.inside = False, 0.0

    def refuse(self, program: Program, reduction: Reduction | None, device: torch.device) -> str | None:
        """Only while it looks for the machine to hand a job to."""
        return "a stopwatch computes nothing" if self.handing_on else None

    def _timed(self, work: Callable[[executors.Machine], T], program: Program, reduction: Reduction) -> T:
        self.handing_on = True
        able, _ = executors.choose(program, reduction, torch.device("cpu"))
        self.handing_on = False
        start = time.perf_counter()
        out = work(able)
        self.inside += time.perf_counter() - start
        return out

    def total(self, job: executors.Job) -> tuple[Tensor, Tensor]:
        """Timed."""
        return self._timed(lambda m: m.total(job), job.program, job.reduction)

    def gradient(self, job: executors.Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
        """Timed."""
        return self._timed(lambda m: m.gradient(job, charts, seed), job.program, job.reduction)

    def curvature(self, job: executors.Job, charts: Tensor, seed: Tensor, tangents: list[Tensor]) -> list[Tensor]:
        """Timed."""
        return self._timed(lambda m: m.curvature(job, charts, seed, tangents), job.program, job.reduction)

    def best(self, job: executors.Job) -> executors.Paths:
        """Timed."""
        return self._timed(lambda m: m.best(job), job.program, job.reduction)

    def draws(self, job: executors.Job, charts: Tensor, seed: Tensor, samples: int) -> executors.Paths:
        """Timed."""
        return self._timed(lambda m: m.draws(job, charts, seed, samples), job.program, job.reduction)

    def best_labels(self, job: executors.Job, code: executors.Code) -> tuple[Tensor, Tensor]:
        """Timed."""
        return self._timed(lambda m: m.best_labels(job, code), job.program, job.reduction)

    def best_events(self, job: executors.Job) -> tuple[Tensor, list[Tensor]]:
        """Timed."""
        return self._timed(lambda m: m.best_events(job), job.program, job.reduction)

    def drawn_labels(
        self, job: executors.Job, seed: Tensor, samples: int, code: executors.Code
    ) -> tuple[Tensor, Tensor]:
        """Timed."""
        return self._timed(lambda m: m.drawn_labels(job, seed, samples, code), job.program, job.reduction)

    def k_best(self, job: executors.Job, charts: Tensor, k: int) -> executors.Paths:
        """Timed."""
        return self._timed(lambda m: m.k_best(job, charts, k), job.program, job.reduction)

    def k_best_labels(
        self, job: executors.Job, charts: Tensor, k: int, code: executors.Code
    ) -> tuple[Tensor, Tensor]:
        """Timed."""
        return self._timed(lambda m: m.k_best_labels(job, charts, k, code), job.program, job.reduction)

    def beam(
        self, job: executors.Job, charts: Tensor, k: int, start: Tensor, grow: executors.Grow
    ) -> executors.Paths:
        """Timed, the query's ranking of candidates included."""
        return self._timed(lambda m: m.beam(job, charts, k, start, grow), job.program, job.reduction)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """The first machine that the library asks, withdrawn afterwards."""
    if os.environ.get(SWITCH):
        raise RuntimeError(f"unset {SWITCH} to measure the overhead: it leaves no room for the stopwatch")
    watch = Stopwatch()
    executors.offer(watch)
    try:
        yield watch
    finally:
        machine._MACHINES.remove(watch)


def measure(case: Case, wanted: Sequence[str], calls: int = 30) -> list[dict[str, Any]]:
    """Per query, medians over `calls` calls after two that do not count: milliseconds in all, and outside."""
    rows, potentials = [], case.potentials()
    for query in queries(case, wanted):
        run = ours.prepare(case, query, potentials)
        if run is None:
            continue
        whole, outside = [], []
        with stopwatch() as watch:
            for _ in range(calls + 2):
                watch.inside, start = 0.0, time.perf_counter()
                run.call()
                whole.append(1e3 * (time.perf_counter() - start))
                outside.append(whole[-1] - 1e3 * watch.inside)
        total, beyond = (round(statistics.median(x[2:]), 4) for x in (whole, outside))
        rows.append({"case": case.name, "query": query, "total_ms": total, "outside_ms": beyond})
    return rows
