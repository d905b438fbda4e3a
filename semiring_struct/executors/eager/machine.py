"""The eager machine: forward, reverse and dual runs behind the seam."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.executors.eager.forward import Answer, fill, fill_tangents
from semiring_struct.executors.eager.local import Buffers
from semiring_struct.executors.eager.paths import beam, best, draws, k_best, walk_of
from semiring_struct.executors.eager.reverse import Reverse
from semiring_struct.executors.machine import Grow, Job, Machine, Paths, refuse_nan
from semiring_struct.programs import Program
from semiring_struct.semirings import Reduction


@final
class Eager(Machine):
    """Refuses nothing."""

    name = "eager"

    def refuse(self, program: Program, reduction: Reduction | None, device: torch.device) -> str | None:
        """Never."""
        return None

    def total(self, job: Job) -> tuple[Tensor, Tensor]:
        """One forward pass."""
        refuse_nan(job.program, job.fields)
        buffers = fill(job.program, job.reduction, job.fields)
        value = Answer(job.program, job.lengths).total(job.reduction, buffers)
        return value, buffers.charts

    def gradient(self, job: Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
        """One backward pass over the charts."""
        reverse = Reverse(job.program, job.reduction, Buffers(job.fields, charts), None, job.generator())
        reverse.run(Answer(job.program, job.lengths), seed)
        return reverse.adjoint.fields

    def curvature(self, job: Job, charts: Tensor, seed: Tensor, tangents: list[Tensor]) -> list[Tensor]:
        """A forward pass of tangents, then a backward pass with two channels."""
        buffers = Buffers(job.fields, charts)
        dots = fill_tangents(job.program, job.reduction, buffers, tangents)
        reverse = Reverse(job.program, job.reduction, buffers, dots, job.generator())
        rise = reverse.run(Answer(job.program, job.lengths), seed)
        if rise is None or reverse.adjoint_dot is None:
            raise RuntimeError("a run with tangents has a second channel")
        return [rise, *reverse.adjoint_dot.fields]

    def best(self, job: Job) -> Paths:
        """A walk that takes the largest alternative."""
        return best(walk_of(job, self.total(job)[1]))

    def draws(self, job: Job, charts: Tensor, seed: Tensor, samples: int) -> Paths:
        """Walks that draw from the local choices."""
        return draws(walk_of(job, charts), seed, samples)

    def k_best(self, job: Job, charts: Tensor, k: int) -> Paths:
        """Walks that compete by their best completions."""
        return k_best(walk_of(job, charts), k)

    def beam(self, job: Job, charts: Tensor, k: int, start: Tensor, grow: Grow) -> Paths:
        """Walks that compete."""
        return beam(walk_of(job, charts), k, start, grow)
