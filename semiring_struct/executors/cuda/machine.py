"""The CUDA machine: the table in kernels, behind the seam. Triton is imported when it is first used."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, final

import torch
from torch import Tensor

from semiring_struct.executors.cuda.encode import Code, encode
from semiring_struct.executors.eager import Eager
from semiring_struct.executors.machine import SWITCH, Grow, Job, Machine, Paths, refuse_nan
from semiring_struct.programs import Program
from semiring_struct.semirings import LogReduction, MaxReduction, Reduction

WARPS = 4


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return find_spec("triton") is not None


@lru_cache(maxsize=256)
def _coded(program: Program, device: torch.device) -> tuple[Code, Tensor]:
    """The code of a program, and its integers on a device: copied there once."""
    code = encode(program)
    return code, torch.from_numpy(code.words).to(device)


class _Run:
    """One launch: a program for each instance, over fields laid one after the other."""

    def __init__(self, job: Job):
        self.job = job
        self.code, self.words = _coded(job.program, job.lengths.device)
        self.batch, self.out = job.fields[0].shape[0], math.prod(job.program.answer.out)
        self.fields = torch.cat(job.fields, 1).contiguous()
        self.lengths = job.lengths.to(torch.int64).contiguous()
        self.most = isinstance(job.reduction, MaxReduction)

    def split(self, slopes: Tensor) -> list[Tensor]:
        """What is laid one after the other, as a tensor of its own per field."""
        if len(self.job.fields) == 1:
            return [slopes]
        return [s.clone(memory_format=torch.contiguous_format) for s in slopes.split(self._sizes(), 1)]

    def _sizes(self) -> list[int]:
        return [f.shape[1] for f in self.job.fields]


@final
class Cuda(Machine):
    """Log-sums and maxima in kernels: total and gradient. Curvature and walks are those of the eager machine."""

    name = "cuda"

    def __init__(self) -> None:
        self._eager = Eager()

    def refuse(self, program: Program, reduction: Reduction | None, device: torch.device) -> str | None:
        """Without CUDA tensors or Triton, and for reductions other than log-sums and maxima."""
        if device.type != "cuda":
            return f"runs on CUDA devices; the potentials are on {device}"
        if reduction is None:
            return "the semiring has no reduction, so only its own `mul` and `sum` can run it"
        if type(reduction) not in (LogReduction, MaxReduction):
            return f"{type(reduction).__name__} is not among the reductions that its kernels have: log-sums and maxima"
        if not _has_triton():
            return "triton is not installed: pip install 'semiring-struct[cuda]'"
        if os.environ.get(SWITCH) != self.name:
            return f"no GPU has run it yet; {SWITCH}={self.name} chooses it"
        return None

    def total(self, job: Job) -> tuple[Tensor, Tensor]:
        """One forward launch. Under graph capture NaN is not looked for, since the answer would have to come back."""
        from semiring_struct.executors.cuda.kernels import forward

        if not _capturing(job):
            refuse_nan(job.program, job.fields)
        run = _Run(job)
        charts = self._new(run, job.program.cells, torch.float64, -torch.inf)
        value = self._new(run, run.out, torch.float64, 0.0)
        high, wide = run.code.tile
        launch: Any = forward[(run.batch,)]
        with torch.cuda.device_of(run.fields):
            launch(
                run.words, run.fields, run.lengths, charts, value, MOST=run.most, A=high, B=wide, num_warps=WARPS,
                num_stages=1, enable_fp_fusion=True,
            )  # fmt: skip
        return value.reshape(run.batch, *job.program.answer.out), charts

    def gradient(self, job: Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
        """One backward launch over the charts."""
        from semiring_struct.executors.cuda.kernels import reverse

        run = _Run(job)
        slopes = torch.zeros_like(run.fields)
        adjoint = self._new(run, job.program.cells, slopes.dtype, 0.0)
        scratch = self._new(run, run.code.room, torch.float64, 0.0)
        flow = seed.detach().to(slopes.dtype).reshape(run.batch, run.out).contiguous()
        (high, wide), (pull_high, pull_wide) = run.code.tile, run.code.pull_tile
        launch: Any = reverse[(run.batch,)]
        with torch.cuda.device_of(run.fields):
            launch(
                run.words, run.fields, run.lengths, charts.contiguous(), flow, scratch, adjoint, slopes, MOST=run.most,
                A=high, B=wide, PULL_A=pull_high, PULL_B=pull_wide, num_warps=WARPS, num_stages=1,
                enable_fp_fusion=True,
            )  # fmt: skip
        return run.split(slopes)

    @staticmethod
    def _new(run: _Run, size: int, kind: torch.dtype, value: float) -> Tensor:
        return torch.full((run.batch, size), value, dtype=kind, device=run.fields.device)

    def curvature(self, job: Job, charts: Tensor, seed: Tensor, tangents: list[Tensor]) -> list[Tensor]:
        """The eager machine's, on the same device and charts."""
        return self._eager.curvature(job, charts, seed, tangents)

    def best(self, job: Job, charts: Tensor) -> Paths:
        """A walk that takes the largest alternative."""
        return self._eager.best(job, charts)

    def draws(self, job: Job, charts: Tensor, seed: Tensor, samples: int) -> Paths:
        """Walks that draw from the local choices."""
        return self._eager.draws(job, charts, seed, samples)

    def beam(self, job: Job, charts: Tensor, k: int, start: Tensor, grow: Grow) -> Paths:
        """Walks that compete."""
        return self._eager.beam(job, charts, k, start, grow)


def _capturing(job: Job) -> bool:
    return job.lengths.is_cuda and torch.cuda.is_current_stream_capturing()
