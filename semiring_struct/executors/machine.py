"""The seam: what a machine offers, and the choice among machines with the reasons for it.

A machine runs any program from its table. It may refuse one, with a reason that `ss.explain` shows.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, counted, tally
from semiring_struct.programs import Program
from semiring_struct.semirings import Reduction

SWITCH = "SEMIRING_STRUCT_EXECUTOR"


@dataclass(frozen=True)
class Job:
    """One run: a program under a reduction, on `fields (batch, size)` of one dtype and `lengths (batch, sides)`.

    Windows count in entries of an instance, so fields have unit stride within one: see `operators.flat`.
    """

    program: Program
    reduction: Reduction
    fields: list[Tensor]
    lengths: Tensor
    seed: int = 0

    def __post_init__(self) -> None:
        for field in self.fields:
            if field.stride(-1) != 1 and field.shape[-1] > 1 and field.shape[0]:
                raise RuntimeError(f"fields of a job have unit stride within an instance; got {field.stride()}")

    def generator(self) -> torch.Generator | None:
        """The noise of a noisy reduction, the same each time it is asked for."""
        if not self.reduction.noisy:
            return None
        return torch.Generator(self.lengths.device).manual_seed(self.seed)


class NotFiniteError(ValueError):
    """A field that a machine was given holds NaN or +inf."""


def not_finite(name: str, entry: Sequence[int] = (), instance: Sequence[int] = ()) -> str:
    """The message about a field that holds NaN or +inf, and where it does if that is known."""
    at = f", first at entry {tuple(entry)}" if entry else ""
    of = f" of instance {tuple(instance)}" if instance else ""
    return f"{name} holds NaN or +inf{at}{of}; log_potentials are finite, or -inf for a forbidden part"


def refuse_nan(program: Program, fields: list[Tensor]) -> None:
    """Raise `NotFiniteError` naming a field that holds NaN or +inf: one pass, as the largest entry of NaN is NaN."""
    for name, shape, field in zip(program.field_names, program.field_shapes, fields, strict=True):
        if field.numel() and not bool(field.detach().amax() < torch.inf):
            first = int((~(field.detach() < torch.inf)).flatten().int().argmax())
            entry = torch.unravel_index(torch.tensor(first % field.shape[1], device="cpu"), shape) if shape else ()
            raise NotFiniteError(not_finite(name, [int(i) for i in entry], [first // field.shape[1]]))


@dataclass
class Paths:
    """Chosen derivations `(paths,)`: per field slot, the entries used `(paths, steps)`, -1 for none.

    `fields` names the field of each slot. `feasible` is False where no derivation exists; `key` is what they were
    ranked by and `log_prob` the log-probability, both `(paths,)` float64.
    """

    fields: tuple[int, ...]
    used: list[Tensor]
    feasible: Tensor
    key: Tensor | None = None
    log_prob: Tensor | None = None

    def parts(self, count: int) -> tuple[Tensor, ...]:
        """Per field, all entries used `(paths, uses)`, -1 for none."""
        blank = torch.full_like(self.feasible[:, None], -1, dtype=torch.int64)
        return tuple(
            torch.cat([blank, *(u for f, u in zip(self.fields, self.used, strict=True) if f == i)], 1)
            for i in range(count)
        )

    def ranked(self) -> Tensor:
        """The keys, `-inf` where no derivation exists."""
        if self.key is None:
            raise RuntimeError("only paths that compete have keys")
        return self.key.masked_fill(~self.feasible, NEG_INF)


@dataclass(frozen=True)
class Code:
    """What used entries write into the `width` labels of a path; see `ops.tally`."""

    fields: tuple[tuple[Tensor, Tensor] | None, ...]
    width: int


class Form(Enum):
    """In what form a walk gives the structures that it found, if not as the labels of a `Code`."""

    ENTRIES = "entries used, `(paths, uses)` per field, -1 for none"
    EVENTS = "how often each entry is used, `(paths, *shape)` per field"


class Machine(ABC):
    """Runs any program from its table, on tensors without autograd. `charts` is the machine's own record of a run."""

    name: ClassVar[str]

    @abstractmethod
    def refuse(self, program: Program, reduction: Reduction | None, device: torch.device) -> str | None:
        """Why this machine will not take the job, or None."""

    @abstractmethod
    def total(self, job: Job) -> tuple[Tensor, Tensor]:
        """`(batch, *out)` and the charts `(batch, cells)`, both float64; refuses NaN and +inf (see `refuse_nan`)."""

    @abstractmethod
    def gradient(self, job: Job, charts: Tensor, seed: Tensor) -> list[Tensor]:
        """`seed (batch, *out)` times the gradient of the total, one tensor `(batch, size)` per field."""

    def total_and_gradient(self, job: Job) -> tuple[Tensor, list[Tensor]]:
        """The total, and its gradient per field `(batch, size)`, for callers that need no charts."""
        value, charts = self.total(job)
        return value, self.gradient(job, charts, torch.ones_like(value))

    @abstractmethod
    def curvature(self, job: Job, charts: Tensor, seed: Tensor, tangents: list[Tensor]) -> list[Tensor]:
        """The total's derivative along `tangents` `(batch, *out)`, then `seed` times the Hessian times `tangents`."""

    @abstractmethod
    def best(self, job: Job) -> Paths:
        """One best derivation per instance, the first alternative on ties (a job of maxima)."""

    @abstractmethod
    def draws(self, job: Job, charts: Tensor, seed: Tensor, samples: int) -> Paths:
        """Exact draws (charts of log-sums), `samples * batch` of them; path `p` is of instance `p % batch`.

        The choice at step `t` of path `p` uses `ops.uniform_at(seed, p * longest + t)`: all machines draw alike.
        """

    @abstractmethod
    def k_best(self, job: Job, charts: Tensor, k: int) -> Paths:
        """The k best derivations per instance (charts of maxima), path `i * batch + b` the i-th of instance `b`.

        `key` is the score. The first is the one that `best` takes; the order of tied ones is each machine's own.
        """

    @abstractmethod
    def beam(self, job: Job, charts: Tensor, k: int, start: Tensor, grow: Grow) -> Paths:
        """The k derivations of largest key per instance, path `i * batch + b` the i-th of instance `b`; see `Grow`."""

    def best_events(self, job: Job) -> tuple[Tensor, list[Tensor]]:
        """`best`, as `feasible (batch,)` and how often each entry of a field is used, per field like the field."""
        paths = self.best(job)
        used = zip(paths.parts(len(job.fields)), job.fields, strict=True)
        return paths.feasible, [counted(u, f.shape[1], f.dtype) for u, f in used]

    def best_labels(self, job: Job, code: Code) -> tuple[Tensor, Tensor]:
        """`best`, as `feasible (batch,)` and labels `(batch, width)`."""
        paths = self.best(job)
        return paths.feasible, tally(paths.parts(len(job.fields)), code.fields, code.width)

    def k_best_labels(self, job: Job, charts: Tensor, k: int, code: Code) -> tuple[Tensor, Tensor]:
        """`k_best`, as scores `(paths,)`, `-inf` where there are fewer, and labels `(paths, width)`."""
        paths = self.k_best(job, charts, k)
        return paths.ranked(), tally(paths.parts(len(job.fields)), code.fields, code.width)

    def drawn_labels(self, job: Job, seed: Tensor, samples: int, code: Code) -> tuple[Tensor, Tensor]:
        """A job of log-sums and `draws` from it, as `feasible (paths,)` and labels `(paths, width)`."""
        paths = self.draws(job, self.total(job)[1], seed, samples)
        return paths.feasible, tally(paths.parts(len(job.fields)), code.fields, code.width)


# (key, log_prob, log-weights of the alternatives (batch, k, choices)) -> keys and log-probabilities of the children.
# No child's key exceeds its parent's and one attains it, so the k best partial derivations begin the k best whole ones.
Grow = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

_MACHINES: list[Machine] = []


def offer(machine: Machine) -> Machine:
    """Add a machine; later ones are asked first."""
    _MACHINES.insert(0, machine)
    return machine


def choose(program: Program, reduction: Reduction | None, device: torch.device) -> tuple[Machine, dict[str, str]]:
    """The first machine that does not refuse, and why the ones before it did.

    The environment variable SEMIRING_STRUCT_EXECUTOR, if set, names the only machine to use.
    """
    only = os.environ.get(SWITCH)
    if only and only not in {m.name for m in _MACHINES}:
        raise ValueError(f"{SWITCH}={only!r} names no machine; there are {sorted(m.name for m in _MACHINES)}")
    refused = {}
    for machine in _MACHINES:
        reason = f"{SWITCH}={only}" if only and machine.name != only else machine.refuse(program, reduction, device)
        if reason is None:
            return machine, refused
        refused[machine.name] = reason
    raise RuntimeError(f"no machine takes this program: {refused}")
