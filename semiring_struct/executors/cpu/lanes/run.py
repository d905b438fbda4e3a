"""The passes by lanes, and the layout of the charts that they leave. Numba is imported when they are first used."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu.memory import empty
from semiring_struct.executors.machine import Job, refuse_nan
from semiring_struct.semirings.log import LogReduction
from semiring_struct.semirings.max import MaxReduction
from semiring_struct.semirings.smooth import SoftmaxReduction

FEW = 4  # instances for which it pays to work on as many as there are lanes


def soft(job: Job) -> bool:
    """Whether it takes log-sums: their gradients are taken by lanes too."""
    return isinstance(job.reduction, LogReduction | SoftmaxReduction)


def fit(job: Job) -> bool:
    """Whether totals are taken by lanes: of log-sums and maxima, for some instances of a program that gains by it."""
    from semiring_struct.executors.cpu.encode import side_by_side

    if job.fields[0].shape[0] < FEW or not (soft(job) or isinstance(job.reduction, MaxReduction)):
        return False
    return side_by_side(job.program, soft(job))


def _go(job: Job, run: Callable[..., None], charts: Tensor, answer: Tensor, slopes: list[Tensor]) -> bool:
    """Share the groups out among threads, each with a state of its own; whether a field was refused."""
    from semiring_struct.executors.cpu.choices import rule_of
    from semiring_struct.executors.cpu.encode import encode
    from semiring_struct.executors.cpu.lanes.state import REFUSED, State
    from semiring_struct.executors.cpu.lanes.vectors import LANES
    from semiring_struct.executors.cpu.state import address
    from semiring_struct.executors.cpu.threads import SMALL, share_out

    code, rule, refused = encode(job.program, LANES), rule_of(job.reduction), []
    like = np.float32(0) if job.fields[0].dtype == torch.float32 else np.float64(0)
    lengths = job.lengths.to(torch.int64).contiguous()

    def piece(start: int, end: int) -> None:
        state = State(code, job.fields, lengths, charts, answer, slopes)
        run(rule, like, address(code), address(state.words), start, end)
        refused.append(state.words[REFUSED])

    batch = charts.shape[0]
    share_out(piece, -(-batch // LANES), job.program.cost.alternatives * batch < SMALL)
    return any(refused)


def total(job: Job) -> tuple[Tensor, Tensor]:
    """As `Machine.total`; the charts are for `gradient` and `by_instance` alone."""
    from semiring_struct.executors.cpu.lanes.passes import forward_lanes

    batch, shape = job.fields[0].shape[0], job.program.answer.out
    charts = empty((batch, job.program.cells), torch.float64)
    value = torch.empty((batch, math.prod(shape)), dtype=torch.float64)
    if _go(job, forward_lanes, charts, value, []):
        refuse_nan(job.program, job.fields)
    return value.reshape(batch, *shape), charts


def gradient(job: Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
    """As `Machine.gradient`, `seed (batch, out)` in the dtype of the fields."""
    from semiring_struct.executors.cpu.lanes.passes import reverse_lanes

    slopes = [empty((f.shape[0], f.shape[1]), f.dtype) for f in job.fields]
    _go(job, reverse_lanes, charts.contiguous(), seed, slopes)
    return slopes


def by_instance(job: Job, charts: Tensor) -> Tensor:
    """Charts `(batch, cells)` with each instance's cells side by side, as all but the passes by lanes read them."""
    if not (fit(job) and charts.numel()):
        return charts
    from semiring_struct.executors.cpu.lanes.vectors import LANES

    groups = charts.contiguous().reshape(-1).split(LANES * charts.shape[1])
    return torch.cat([g.reshape(charts.shape[1], -1).T for g in groups])
