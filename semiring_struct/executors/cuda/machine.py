"""The CUDA machine: the table in kernels, behind the seam. Triton is imported when it is first used."""

from __future__ import annotations

import math
import os
import re
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.cuda.encode import Code, encode
from semiring_struct.executors.eager import Eager
from semiring_struct.executors.eager.paths import best, walk_of
from semiring_struct.executors.machine import SWITCH, Grow, Job, Machine, Paths, refuse_nan
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
TRITON = 3, 5  # the oldest that compiles all kernels
WARPS = 4  # per instance; twice as many where a thread would hold more than its registers take


class Rule(NamedTuple):
    """A reduction in the form that the kernels take: see `columns.SOFT` and after."""

    kind: int
    temperature: float = 1.0
    alpha: float = 1.0

    @property
    def value(self) -> Rule:
        """What the totals are: noisy choices are made among the shares of a log-sum."""
        return Rule(at.SOFT) if self.kind in (at.DRAW, at.GUMBEL, at.HARD) else self

    @property
    def jumps(self) -> bool:
        """Whether choices are piecewise constant, so that there is no second order."""
        return self.kind in (at.MOST, at.DRAW)


def rule_of(reduction: Reduction) -> Rule:
    """The rule of one of the `KNOWN` reductions."""
    if isinstance(reduction, MaxReduction):
        return Rule(at.MOST)
    if isinstance(reduction, SampleReduction):
        return Rule(at.DRAW)
    if isinstance(reduction, GumbelSoftmaxReduction):
        return Rule(at.HARD if reduction.hard else at.GUMBEL, reduction.temperature)
    if isinstance(reduction, EntmaxReduction):
        return Rule(at.TSALLIS, reduction.temperature, reduction.alpha)
    if isinstance(reduction, SparsemaxReduction):
        return Rule(at.TSALLIS, reduction.temperature, 2.0)
    return Rule(at.SOFT, reduction.temperature if isinstance(reduction, SoftmaxReduction) else 1.0)


@lru_cache(maxsize=1)
def _without_triton() -> str | None:
    """Why triton compiles no kernel of this machine, or None. Imports it."""
    if find_spec("triton") is None:
        return "triton is not installed: pip install 'semiring-struct[cuda]'"
    try:
        version = import_module("triton").__version__
    except Exception as error:  # another version of Python or of a driver than it was built for
        return f"triton is installed, but cannot be imported: {error}"
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < TRITON:
        return f"triton {version} does not compile its kernels: it takes {'.'.join(map(str, TRITON))} or newer"
    return None


@lru_cache(maxsize=256)
def _coded(program: Program, device: torch.device) -> tuple[Code, Tensor]:
    """The code of a program, and its integers on a device: copied there once."""
    code = encode(program)
    return code, torch.from_numpy(code.words).to(device)


@lru_cache(maxsize=256)
def _settings(rule: Rule, device: torch.device) -> Tensor:
    """The settings of a rule on a device: as float64, which numbers handed to a kernel are not."""
    return torch.tensor([rule.temperature, 1 / rule.temperature, rule.alpha], dtype=torch.float64, device=device)


class _Run:
    """One launch: a program for each instance, over fields laid one after the other."""

    def __init__(self, job: Job, rule: Rule):
        self.job, self.rule = job, rule
        self.device = job.lengths.device
        self.code, self.words = _coded(job.program, self.device)
        self.batch, self.out = job.fields[0].shape[0], math.prod(job.program.answer.out)
        self.fields = torch.cat(job.fields, 1).contiguous()
        self.lengths = job.lengths.to(torch.int64).contiguous()
        self.narrow = self.fields.dtype

    def go(self, kernel: Any, *buffers: Tensor) -> None:
        """Launch a kernel over the fields, the lengths and its buffers."""
        (high, wide), (pull_high, pull_wide) = self.code.tile, self.code.pull_tile
        chain = self.code.chain if self.rule.kind in (at.SOFT, at.MOST) else 0
        product = self.code.product if self.rule.kind == at.SOFT else 0
        sizes = {"A": high, "B": wide, "PULL_A": pull_high, "PULL_B": pull_wide, "CHAIN": chain, "PRODUCT": product}
        tiles = {name: size for name, size in sizes.items() if name in kernel.arg_names}
        shared = warps(kernel, self.rule.kind, chain, product)
        with torch.cuda.device_of(self.fields):
            kernel[(self.batch,)](
                self.words, self.fields, self.lengths, _settings(self.rule, self.device), *buffers, LAYOUT=at.LAYOUT,
                KIND=self.rule.kind, **tiles, num_warps=shared, num_stages=1, maxnreg=registers(shared),
                enable_fp_fusion=True,
            )  # fmt: skip

    def key(self) -> Tensor:
        """The stream of the noise; a kernel would be compiled for each kind of integer it is handed."""
        return torch.full((1,), self.job.seed, dtype=torch.int64, device=self.device)

    def empty(self, size: int, kind: torch.dtype) -> Tensor:
        """A buffer of which nothing is read before it is written."""
        return torch.empty((self.batch, size), dtype=kind, device=self.device)

    def zeros(self, size: int) -> Tensor:
        """A buffer that sums are added to, in the dtype of the fields."""
        return torch.zeros((self.batch, size), dtype=self.narrow, device=self.device)

    def scratch(self) -> Tensor:
        """What a backward pass keeps of the cells of one row."""
        return self.empty(at.PLANES * self.code.room, torch.float64)

    def flat(self, seed: Tensor) -> Tensor:
        """The adjoint of the answer `(batch, out)` in the dtype of the fields."""
        return seed.detach().to(self.narrow).reshape(self.batch, self.out).contiguous()

    def shaped(self, answer: Tensor) -> Tensor:
        """The answer with the dims it has in the program."""
        return answer.reshape(self.batch, *self.job.program.answer.out)

    def split(self, slopes: Tensor) -> list[Tensor]:
        """What is laid one after the other, as a tensor of its own per field."""
        if len(self.job.fields) == 1:
            return [slopes]
        sizes = [f.shape[1] for f in self.job.fields]
        return [s.clone(memory_format=torch.contiguous_format) for s in slopes.split(sizes, 1)]


def warps(kernel: Any, kind: int, chain: int, product: int) -> int:
    """How many warps share a tile: by the registers that compiled kernels were seen to use."""
    heavy = kind in (at.TSALLIS, at.GUMBEL) or chain > 32 or product > 0 or "seed_dot" in kernel.arg_names
    return 2 * WARPS if heavy else WARPS


def registers(shared: int) -> int:
    """The most a thread may use: all there are, so that nothing is spilled to fit a second block beside the first."""
    return min(255, (1 << 16) // (32 * shared))


@final
class Cuda(Machine):
    """Every reduction that the library has, in kernels: total, gradient, curvature. Walks are the eager machine's."""

    name = "cuda"

    def __init__(self) -> None:
        self._walks = Eager()

    def refuse(self, program: Program, reduction: Reduction | None, device: torch.device) -> str | None:
        """Without CUDA tensors or Triton, and for reductions of one's own."""
        if device.type != "cuda":
            return f"runs on CUDA devices; the potentials are on {device}"
        if torch.version.hip is not None:
            return "its launches limit the registers of a thread (maxnreg), which Triton takes for NVIDIA's GPUs only"
        if reduction is None:
            return "the semiring has no reduction, so only its own `mul` and `sum` can run it"
        if type(reduction) not in KNOWN:
            return f"{type(reduction).__name__} is not among the reductions that its kernels have"
        if (missing := _without_triton()) is not None:
            return missing
        if os.environ.get(SWITCH) != self.name:
            return f"no GPU has run it yet; {SWITCH}={self.name} chooses it"
        return None

    def total(self, job: Job) -> tuple[Tensor, Tensor]:
        """One forward launch. Under graph capture NaN is not looked for, since the answer would have to come back."""
        from semiring_struct.executors.cuda.forward import forward

        if not _capturing(job):
            refuse_nan(job.program, job.fields)
        run = _Run(job, rule_of(job.reduction).value)
        charts = run.empty(job.program.cells, torch.float64)
        if not run.code.full:
            charts.fill_(-torch.inf)
        value = run.empty(run.out, torch.float64)
        run.go(forward, charts, value)
        return run.shaped(value), charts

    def gradient(self, job: Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
        """One backward launch over the charts."""
        from semiring_struct.executors.cuda.reverse import reverse

        run = _Run(job, rule_of(job.reduction))
        slopes, adjoint = torch.zeros_like(run.fields), run.zeros(run.code.adjoints)
        run.go(reverse, run.key(), charts.contiguous(), run.flat(seed), run.scratch(), adjoint, slopes)
        return run.split(slopes)

    def curvature(self, job: Job, charts: Tensor, seed: Tensor, tangents: list[Tensor]) -> list[Tensor]:
        """A forward launch of tangents, then a backward launch with two channels; none where choices only jump."""
        from semiring_struct.executors.cuda.forward import tangent
        from semiring_struct.executors.cuda.reverse import dual

        rule, cells = rule_of(job.reduction), job.program.cells
        run, charts = _Run(job, rule.value), charts.contiguous()
        moved = torch.cat([t.detach().to(run.narrow) for t in tangents], 1).contiguous()
        dots, rise, bent = run.zeros(cells), run.empty(run.out, run.narrow), torch.zeros_like(run.fields)
        run.go(tangent, charts, moved, dots, rise)
        if not rule.jumps:
            run.rule = rule
            still, one, two = run.zeros(run.out), run.zeros(run.code.adjoints), run.zeros(run.code.adjoints)
            run.go(dual, run.key(), charts, run.flat(seed), run.scratch(), one, bent, moved, dots, still, two)
        return [run.shaped(rise), *run.split(bent)]

    def best(self, job: Job) -> Paths:
        """A walk that takes the largest alternative."""
        return best(walk_of(job, self.total(job)[1]))

    def draws(self, job: Job, charts: Tensor, seed: Tensor, samples: int) -> Paths:
        """Walks that draw from the local choices."""
        return self._walks.draws(job, charts, seed, samples)

    def k_best(self, job: Job, charts: Tensor, k: int) -> Paths:
        """Walks that compete."""
        return self._walks.k_best(job, charts, k)

    def beam(self, job: Job, charts: Tensor, k: int, start: Tensor, grow: Grow) -> Paths:
        """Walks that compete."""
        return self._walks.beam(job, charts, k, start, grow)


def _capturing(job: Job) -> bool:
    return job.lengths.is_cuda and torch.cuda.is_current_stream_capturing()
