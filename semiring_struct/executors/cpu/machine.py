"""The CPU machine: the table in compiled code, behind the seam. Numba is imported when it is first used."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu import columns as at
from semiring_struct.executors.cpu import lanes, reuse
from semiring_struct.executors.cpu.visits import Charts, Visitor
from semiring_struct.executors.eager import Eager
from semiring_struct.executors.machine import Code, Grow, Job, Machine, Paths, refuse_nan
from semiring_struct.kernels.dispatch import without_numba
from semiring_struct.ops import empty
from semiring_struct.programs import Program
from semiring_struct.semirings import Reduction
from semiring_struct.semirings.gumbel import GumbelSoftmaxReduction
from semiring_struct.semirings.log import LogReduction
from semiring_struct.semirings.max import MaxReduction
from semiring_struct.semirings.sample import SampleReduction
from semiring_struct.semirings.smooth import EntmaxReduction, SoftmaxReduction, SparsemaxReduction

KNOWN = (
    LogReduction, MaxReduction, SampleReduction, SoftmaxReduction, SparsemaxReduction, EntmaxReduction,
    GumbelSoftmaxReduction,
)  # fmt: skip


NEAR = 1 << 19  # bytes of fields and charts that stay in a cache from one pass to the next


class _Run:
    """One pass over all instances: fields, lengths and whatever else it reads and writes, by slot of the state."""

    def __init__(self, job: Job, channels: int = 0):
        from semiring_struct.executors.cpu.encode import encode

        self.job, self.channels = job, channels
        self.code = encode(job.program)
        self.narrow = job.fields[0].dtype
        self.kind = np.float32 if self.narrow == torch.float32 else np.float64
        self.batch, self.out = job.fields[0].shape[0], math.prod(job.program.answer.out)
        self.batched = {at.LENGTHS_ALL: job.lengths.to(torch.int64).contiguous()}
        self.banks = {(at.FIELDS_ALL, at.FIELDS_NOW): job.fields}
        self.words = {at.OUT: self.out, at.KEY: job.seed}

    def answer(self) -> Tensor:
        """Write values and charts; returns the values."""
        self.batched[at.CHARTS_ALL] = empty((self.batch, self.job.program.cells), torch.float64)
        return self.value()

    def value(self) -> Tensor:
        """Write values."""
        self.batched[at.VALUE_ALL] = torch.empty((self.batch, self.out), dtype=torch.float64, device="cpu")
        return self.batched[at.VALUE_ALL]

    def slopes(self) -> list[Tensor]:
        """Write slopes."""
        chosen = isinstance(self.job.reduction, MaxReduction | SampleReduction)
        slopes = self._like_fields()
        for x, as_it_is in zip(slopes, reuse.uncleared(self.job.program, not chosen), strict=True):
            if not as_it_is:
                x.zero_()
        self.banks[at.SLOPES_ALL, at.SLOPES_NOW] = slopes
        return slopes

    def keep(self) -> None:
        """Let a forward pass keep chances for a backward pass over the same few instances."""
        slopes = self.banks[at.SLOPES_ALL, at.SLOPES_NOW]
        self.banks[at.KEPT_ALL, at.KEPT_NOW] = slopes if reuse.over_slopes() else self._like_fields()

    def _like_fields(self) -> list[Tensor]:
        return [empty(tuple(f.shape), f.dtype) for f in self.job.fields]

    def _lines(self, both: bool, visited: bool, noted: bool) -> dict[int, tuple[int, torch.dtype]]:
        """By slot, what lies in a thread's own buffers of each of a few instances: how many numbers of which kind."""
        cells, choices = self.job.program.cells, int(self.code[at.CHOICES])
        lines = {}
        if visited:
            lines[at.CHARTS_ALL] = cells, torch.float64
        if noted:
            lines[at.PICKS_ALL] = cells, torch.int32
        if both:
            lines[at.MASSES_ALL] = cells + 1, self.narrow
        if both and 0 < choices * self.narrow.itemsize <= at.KEPT_BYTES:
            lines[at.CHANCES_ALL] = choices, self.narrow
        return lines

    def go(self, *runs: Callable[..., None], visitor: Visitor | None = None, noted: bool = False) -> None:
        """Share the instances out among threads, each with a state of its own; a few at a time where there are passes.

        What one pass has read or found is then still near when the next one reads it. Charts that are visited are kept
        nowhere; where picks are `noted`, a visit does not read the fields again.
        """
        from semiring_struct.executors.cpu.choices import rule_of
        from semiring_struct.executors.cpu.state import State, address
        from semiring_struct.executors.cpu.threads import SMALL, share_out

        rule, refused, cost = rule_of(self.job.reduction), [], self.job.program.cost
        lines = self._lines(len(runs) > 1, visitor is not None, noted)
        near = sum(n * kind.itemsize for n, kind in lines.values()) + (0 if noted else cost.bytes)
        few = reuse.instances(max(1, NEAR // max(near, 1)) if lines else max(self.batch, 1), self.batch)

        def piece(start: int, end: int) -> None:
            with State(self.code, self.narrow, self.channels) as state:
                for slot, x in self.batched.items():
                    state.batched(slot, x)
                for (slot, now), tensors in self.banks.items():
                    state.bank(slot, now, tensors)
                for slot, word in self.words.items():
                    state.words[slot] = word
                own = {slot: torch.empty((few, n), dtype=kind, device="cpu") for slot, (n, kind) in lines.items()}
                visit = visitor and visitor()
                for first in range(start, end, few):
                    last = min(first + few, end)
                    for slot, x in own.items():
                        state.passing(slot, x, first)
                    for run in runs:
                        run(rule, self.kind(0), address(self.code), address(state.words), first, last)
                    if visit:
                        charts, picks = own[at.CHARTS_ALL], own.get(at.PICKS_ALL)
                        at_picks = 0 if picks is None else picks.data_ptr()
                        visit(Charts(charts.data_ptr(), at_picks, self.job.program.cells, 1), first, last)
                refused.append(state.words[at.REFUSED])

        share_out(piece, self.batch, cost.alternatives * self.batch < SMALL)
        if any(refused):
            refuse_nan(self.job.program, self.job.fields)


@final
class Cpu(Machine):
    """Runs in compiled code every reduction that the library has; beams with other keys are the eager machine's."""

    name = "cpu"

    def __init__(self) -> None:
        self._walks = Eager()

    def refuse(self, program: Program, reduction: Reduction | None, device: torch.device) -> str | None:
        """Without numba, for a semiring of one's own, on another device."""
        if device.type != "cpu":
            return f"runs on the CPU; the potentials are on {device}"
        if reduction is None:
            return "the semiring has no reduction, so only its own `mul` and `sum` can run it"
        if type(reduction) not in KNOWN:
            return f"{type(reduction).__name__} is not among the reductions it has compiled forms of"
        return without_numba()

    def total(self, job: Job) -> tuple[Tensor, Tensor]:
        """One forward pass."""
        from semiring_struct.executors.cpu.forward import forward

        if lanes.fit(job):
            return lanes.total(job)
        run = _Run(job)
        value = run.answer()
        run.go(forward)
        return value.reshape(run.batch, *job.program.answer.out), run.batched[at.CHARTS_ALL]

    def gradient(self, job: Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
        """One backward pass over the charts."""
        from semiring_struct.executors.cpu.reverse import reverse

        if lanes.fit(job) and lanes.soft(job):
            return lanes.gradient(job, charts, _flat(seed, job))
        run = _Run(job, channels=1)
        run.batched |= {at.CHARTS_ALL: charts.contiguous(), at.SEED_ALL: _flat(seed, job)}
        slopes = run.slopes()
        run.go(reverse)
        return slopes

    def total_and_gradient(self, job: Job) -> tuple[Tensor, list[Tensor]]:
        """Both passes over a few instances at a time."""
        from semiring_struct.executors.cpu.forward import forward
        from semiring_struct.executors.cpu.reverse import reverse

        if lanes.fit(job):
            return lanes.total_and_gradient(job) if lanes.soft(job) else super().total_and_gradient(job)
        run = _Run(job, channels=1)
        value, slopes = run.answer(), run.slopes()
        run.keep()
        run.batched[at.SEED_ALL] = torch.ones_like(value, dtype=run.narrow)
        run.go(forward, reverse)
        return value.reshape(run.batch, *job.program.answer.out), slopes

    def curvature(self, job: Job, charts: Tensor, seed: Tensor, tangents: list[Tensor]) -> list[Tensor]:
        """A forward pass of tangents, then a backward pass with two channels."""
        from semiring_struct.executors.cpu.dual import dual

        run = _Run(job, channels=3)
        bent = [torch.zeros(f.shape, dtype=f.dtype, device="cpu") for f in job.fields]
        rise = torch.empty((run.batch, run.out), dtype=run.narrow, device="cpu")
        still = torch.zeros(run.out, dtype=run.narrow, device="cpu")
        run.batched |= {at.CHARTS_ALL: charts.contiguous(), at.SEED_ALL: _flat(seed, job), at.RISE_ALL: rise}
        run.banks[at.SLOPES_ALL, at.SLOPES_NOW] = bent
        run.banks[at.DOTS_ALL, at.DOTS_NOW] = [t.to(run.narrow) for t in tangents]
        run.words[at.STILL_NOW] = still.data_ptr()
        run.go(dual)
        return [rise.reshape(run.batch, *job.program.answer.out), *bent]

    def best(self, job: Job) -> Paths:
        """A walk that takes the largest alternative, after the forward pass of the same few instances."""
        from semiring_struct.executors.cpu import walks

        return walks.best(job, partial(_visit, job)) if walks.able(job) else self._walks.best(job)

    def draws(self, job: Job, charts: Tensor, seed: Tensor, samples: int) -> Paths:
        """Walks that draw from the local choices, those of the eager machine up to the rounding of the choices."""
        from semiring_struct.executors.cpu import walks

        if not walks.able(job):
            return self._walks.draws(job, charts, seed, samples)
        return walks.draws(job, charts, seed, samples)

    def k_best(self, job: Job, charts: Tensor, k: int) -> Paths:
        """Every cell that the k best use ranks its own derivations, as far as they are asked for."""
        from semiring_struct.executors.cpu import walks

        return walks.k_best(job, charts, k) if walks.able(job) else self._walks.k_best(job, charts, k)

    def best_events(self, job: Job) -> tuple[Tensor, list[Tensor]]:
        """The same walk, which counts what it uses as it goes."""
        from semiring_struct.executors.cpu import walks

        return walks.best_events(job, partial(_visit, job)) if walks.able(job) else super().best_events(job)

    def best_labels(self, job: Job, code: Code) -> tuple[Tensor, Tensor]:
        """The same walk, which writes labels as it goes."""
        from semiring_struct.executors.cpu import walks

        return walks.best_labels(job, partial(_visit, job), code) if walks.able(job) else super().best_labels(job, code)

    def k_best_labels(self, job: Job, charts: Tensor, k: int, code: Code) -> tuple[Tensor, Tensor]:
        """The same, written as labels."""
        from semiring_struct.executors.cpu import walks

        if not walks.able(job):
            return super().k_best_labels(job, charts, k, code)
        return walks.k_best_labels(job, charts, k, code)

    def drawn_labels(self, job: Job, seed: Tensor, samples: int, code: Code) -> tuple[Tensor, Tensor]:
        """Walks that write labels as they go, in one call with the forward pass where all choices are weighed."""
        from semiring_struct.executors.cpu import walks

        if not walks.able(job):
            return super().drawn_labels(job, seed, samples, code)
        return walks.drawn_labels(job, lambda: self.total(job)[1], seed, samples, code)

    def beam(self, job: Job, charts: Tensor, k: int, start: Tensor, grow: Grow) -> Paths:
        """Walks that compete."""
        return self._walks.beam(job, charts, k, start, grow)


def _visit(job: Job, visitor: Visitor, noted: bool) -> None:
    """One forward pass; the charts of every few instances are visited as soon as they are filled."""
    from semiring_struct.executors.cpu.forward import forward

    if lanes.fit(job):
        lanes.visit(job, visitor, noted)
    else:
        run = _Run(job)
        run.value()
        run.go(forward, visitor=visitor, noted=noted)


def _flat(seed: Tensor, job: Job) -> Tensor:
    """The adjoint of the answer `(batch, out)` in the dtype of the fields."""
    return seed.detach().to(job.fields[0].dtype).reshape(seed.shape[0], math.prod(seed.shape[1:])).contiguous()
