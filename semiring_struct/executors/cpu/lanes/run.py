"""The passes by lanes, and the layout of the charts that they leave. Numba is imported when they are first used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu import reuse
from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.threads import SMALL, share_out, threads_for
from semiring_struct.executors.cpu.visits import Charts, Visitor
from semiring_struct.executors.machine import Job, refuse_nan
from semiring_struct.ops import empty
from semiring_struct.semirings.log import LogReduction
from semiring_struct.semirings.max import MaxReduction
from semiring_struct.semirings.smooth import SoftmaxReduction

FEW = 4  # instances that take one thread as long as a group of them side by side


def soft(job: Job) -> bool:
    """Whether it takes log-sums: their gradients are taken by lanes too."""
    return isinstance(job.reduction, LogReduction | SoftmaxReduction)


def fit(job: Job) -> bool:
    """Whether totals are taken by lanes: of log-sums and maxima, for some instances of a program that gains by it.

    With many threads each has few instances: a group of them would keep the others waiting.
    """
    from semiring_struct.executors.cpu.encode import side_by_side

    batch = job.fields[0].shape[0]
    if batch < FEW or not (soft(job) or isinstance(job.reduction, MaxReduction)):
        return False
    threads, groups = threads_for(batch, _small(job)), -(-batch // LANES)
    return FEW * -(-groups // threads) <= -(-batch // threads) and side_by_side(job.program, soft(job))


def _small(job: Job) -> bool:
    return job.program.cost.alternatives * len(job.lengths) < SMALL


def _go(
    job: Job, runs: Sequence[Callable[..., None]], charts: Tensor | None, value: Tensor | None,
    seed: Tensor | None, slopes: list[Tensor], visitor: Visitor | None = None, noted: bool = False,
) -> None:  # fmt: skip
    """Share the groups out among threads, each with a state of its own; of each group one pass after the other."""
    from semiring_struct.executors.cpu.choices import rule_of
    from semiring_struct.executors.cpu.lanes.state import CHARTS, PICKS, REFUSED, State
    from semiring_struct.executors.cpu.state import address

    rule, refused = rule_of(job.reduction), []
    like = np.float32(0) if job.fields[0].dtype == torch.float32 else np.float64(0)
    lengths, batch = job.lengths.to(torch.int64).contiguous(), len(job.lengths)
    step = reuse.groups(-(-batch // LANES))

    def piece(start: int, end: int) -> None:
        visit = visitor and visitor()
        for first in range(start, end, step):
            with State(job.program, job.fields, lengths, charts, value, seed, slopes, noted) as state:
                found = Charts(int(state.words[CHARTS]), int(state.words[PICKS]), 1, LANES)
                for group in range(first, min(first + step, end)):
                    for run in runs:
                        run(rule, like, address(state.code), address(state.words), group, group + 1)
                    if visit:
                        visit(found, group * LANES, min((group + 1) * LANES, batch))
                refused.append(state.words[REFUSED])

    share_out(piece, -(-batch // LANES), _small(job))
    if any(refused):
        refuse_nan(job.program, job.fields)


def _value(job: Job) -> Tensor:
    return torch.empty((len(job.lengths), math.prod(job.program.answer.out)), dtype=torch.float64, device="cpu")


def _slopes(job: Job) -> list[Tensor]:
    return [empty(tuple(f.shape), f.dtype) for f in job.fields]


def total(job: Job) -> tuple[Tensor, Tensor]:
    """As `Machine.total`."""
    from semiring_struct.executors.cpu.lanes.passes import forward_lanes

    value, charts = _value(job), empty((len(job.lengths), job.program.cells), torch.float64)
    _go(job, [forward_lanes], charts, value, None, [])
    return value.reshape(len(value), *job.program.answer.out), charts


def visit(job: Job, visitor: Visitor, noted: bool) -> None:
    """A forward pass; the charts of every group are visited as soon as they are filled."""
    from semiring_struct.executors.cpu.lanes.passes import forward_lanes

    _go(job, [forward_lanes], None, _value(job), None, [], visitor, noted)


def gradient(job: Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
    """As `Machine.gradient`, `seed (batch, out)` in the dtype of the fields."""
    from semiring_struct.executors.cpu.lanes.passes import reverse_lanes

    slopes = _slopes(job)
    _go(job, [reverse_lanes], charts.contiguous(), None, seed, slopes)
    return slopes


def total_and_gradient(job: Job) -> tuple[Tensor, list[Tensor]]:
    """As `Machine.total_and_gradient`: what the first pass has gathered serves the second."""
    from semiring_struct.executors.cpu.lanes.passes import forward_lanes, reverse_lanes

    value, slopes = _value(job), _slopes(job)
    seed = torch.ones_like(value, dtype=job.fields[0].dtype)
    _go(job, [forward_lanes, reverse_lanes], None, value, seed, slopes)
    return value.reshape(len(value), *job.program.answer.out), slopes
