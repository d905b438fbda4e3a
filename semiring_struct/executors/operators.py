"""Runs as opaque operators, so that compiled graphs, vmap and torch.func see one node and never the loops inside.

Operators carry tensors, integers and text: `source` describes what records the program, `reduction` the reduction
(see `programs.description`). So a graph that was exported finds both in another process, or refuses.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from semiring_struct.executors.machine import Job, Machine, choose
from semiring_struct.ops import constant, operator, over_batch
from semiring_struct.programs import Program, Writer, attributes, concrete, described, is_plain, program_of, rebuilt
from semiring_struct.semirings import Reduction

REDUCTIONS = 1024  # descriptions of reductions that are remembered
TEXT = "_description"  # the attribute of a frozen reduction that keeps its own


def description_of(reduction: Reduction) -> str:
    """The text that stands for a reduction in operators, by class and settings.

    A frozen one keeps it. A reduction made inside a compiled graph is no constant; its class and plain settings are.
    """
    traced = torch.compiler.is_compiling()
    if not traced and (known := reduction.__dict__.get(TEXT)) is not None:
        return known
    names = _setting_names(type(reduction))
    settings = [x for name in names or () for x in (name, getattr(reduction, name))]
    if names is None or not all(map(is_plain, settings)):
        return _described_whole(reduction)
    text = _described(type(reduction), *[concrete(x) for x in settings])
    if not traced:
        object.__setattr__(reduction, TEXT, text)
    return text


@constant
def _setting_names(kind: Any) -> tuple[str, ...] | None:
    """The fields of a frozen dataclass."""
    frozen = dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    return tuple(kind.__dataclass_fields__) if frozen else None


@constant
def _described(kind: type[Reduction], *settings: object) -> str:
    return _text(kind, *settings)


@lru_cache(maxsize=REDUCTIONS, typed=True)
def _text(kind: type[Reduction], *settings: object) -> str:
    return described(kind, False, *settings)


@constant
def _described_whole(reduction: Reduction) -> str:
    """By all its attributes; where these do not compare by value, as this one object."""
    return Writer(shapes=False).text_or_itself(reduction, attributes(reduction))


@lru_cache(maxsize=REDUCTIONS)
def reduction_of(description: str) -> Reduction:
    """The reduction that `description_of` described; raises `ProgramError` where this process cannot rebuild it."""
    return rebuilt(description, Reduction)


def job_of(fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str, seed: int) -> Job:
    """Flatten the fields, look the program up."""
    program = _program(fields, source, full)
    return Job(program, reduction_of(reduction), [flat(f) for f in fields], lengths, seed)


def flat(field: Tensor) -> Tensor:
    """`(batch, size)`, unit stride within an instance; a field shared by the batch stays shared."""
    out = field.detach().reshape(field.shape[0], math.prod(field.shape[1:]))
    if out.stride(-1) == 1 or out.shape[-1] <= 1:
        return out
    return out.contiguous() if out.numel() else out.new_empty(out.shape)  # without entries any strides are contiguous


def program_for(source: str, shapes: Sequence[tuple[int, ...]], full: Sequence[int]) -> Program:
    """The program of a source; `int` settles symbolic sizes, as a program is recorded for one shape."""
    return program_of(source, tuple(tuple(int(n) for n in s) for s in shapes), tuple(int(n) for n in full))


def _program(fields: list[Tensor], source: str, full: list[int]) -> Program:
    return program_for(source, [tuple(f.shape[1:]) for f in fields], full)


def _machine(job: Job) -> Machine:
    return choose(job.program, job.reduction, job.lengths.device)[0]


def quiet(device: torch.device) -> AbstractContextManager[object]:
    """Machines choose their own dtypes."""
    on = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


def started(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction
) -> tuple[Machine, Job]:
    """The machine that takes a run, and its job."""
    job = job_of(fields, lengths, source, list(full), description_of(reduction), 0)
    return _machine(job), job


def forward(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction
) -> tuple[Machine, Job, Tensor]:
    """One forward pass for walks to start from: the machine, its job and the charts."""
    machine, job = started(fields, lengths, source, full, reduction)
    with quiet(lengths.device):
        return machine, job, machine.total(job)[1]


@operator("value")
def value(fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str, seed: int) -> Tensor:
    """The answer's total `(batch, *out)`; `fields (batch, *event)`."""
    job = job_of(fields, lengths, source, full, reduction, seed)
    with quiet(lengths.device):
        return _machine(job).total(job)[0]


@torch.library.register_fake(value)
def _(fields, lengths, source, full, reduction, seed):
    return _empty_value(fields, source, full)


def _empty_value(fields: list[Tensor], source: str, full: list[int]) -> Tensor:
    """Shaped like the answer. Of symbolic sizes the program of the sizes at hand tells how many dims that has."""
    shapes = [tuple(f.shape[1:]) for f in fields]
    out = program_for(source, [_at_hand(s) for s in shapes], _at_hand(full)).answer.out
    if out:
        out = program_for(source, shapes, full).answer.out
    return fields[0].new_empty((fields[0].shape[0], *out), dtype=torch.float64)


def _at_hand(sizes: Sequence[Any]) -> tuple[int, ...]:
    """Sizes without binding those that are symbols to what they stand for in this call."""
    return tuple(n if isinstance(n, int) else n.node.hint if n.node.has_hint() else int(n) for n in sizes)


@operator("total")
def total(
    fields: list[Tensor], lengths: Tensor, keep: bool, source: str, full: list[int], reduction: str, seed: int
) -> tuple[Tensor, Tensor]:
    """`value`, and the charts `(batch, cells)` if they are to be kept, else `(batch, 0)`.

    How many cells a program has is not known of symbolic sizes; what goes on from a total runs it again without charts.
    """
    job = job_of(fields, lengths, source, full, reduction, seed)
    with quiet(lengths.device):
        out, charts = _machine(job).total(job)
    return out, charts if keep else charts.new_empty((charts.shape[0], 0))


@torch.library.register_fake(total)
def _(fields, lengths, keep, source, full, reduction, seed):
    out = _empty_value(fields, source, full)
    return out, out.new_empty((out.shape[0], _program(fields, source, full).cells if keep else 0))


def _on_from(job: Job, charts: Tensor) -> tuple[Machine, Tensor]:
    """The machine of a job, and the charts of its forward pass."""
    machine = _machine(job)
    return machine, charts if charts.shape[1] == job.program.cells else machine.total(job)[1]


@operator("gradient")
def gradient(
    fields: list[Tensor], lengths: Tensor, charts: Tensor, weight: Tensor, source: str, full: list[int],
    reduction: str, seed: int,
) -> list[Tensor]:  # fmt: skip
    """`weight (batch, *out)` times the gradient of the total, per field `(batch, *event)`; `charts` as of `total`."""
    job = job_of(fields, lengths, source, full, reduction, seed)
    with quiet(lengths.device):
        machine, charts = _on_from(job, charts)
        out = machine.gradient(job, charts, weight)
    return [g.reshape(f.shape) for g, f in zip(out, fields, strict=True)]


@torch.library.register_fake(gradient)
def _(fields, lengths, charts, weight, source, full, reduction, seed):
    return [f.new_empty(f.shape) for f in fields]


@operator("total_and_gradient")
def total_and_gradient(
    fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str, seed: int
) -> list[Tensor]:
    """The answer's total `(batch, *out)` and its gradient, per field `(batch, *event)`; no charts to go on from."""
    job = job_of(fields, lengths, source, full, reduction, seed)
    with quiet(lengths.device):
        value, out = _machine(job).total_and_gradient(job)
    return [value, *(g.reshape(f.shape) for g, f in zip(out, fields, strict=True))]


@torch.library.register_fake(total_and_gradient)
def _(fields, lengths, source, full, reduction, seed):
    return [_empty_value(fields, source, full), *(f.new_empty(f.shape) for f in fields)]


@operator("curvature")
def curvature(
    fields: list[Tensor], lengths: Tensor, charts: Tensor, weight: Tensor, tangents: list[Tensor], source: str,
    full: list[int], reduction: str, seed: int,
) -> list[Tensor]:  # fmt: skip
    """The total's derivative along `tangents` `(batch, *out)`; per field, `weight` times Hessian times `tangents`."""
    job = job_of(fields, lengths, source, full, reduction, seed)
    with quiet(lengths.device):
        machine, charts = _on_from(job, charts)
        rise, *out = machine.curvature(job, charts, weight, [flat(t) for t in tangents])
    return [rise.to(weight.dtype), *(g.reshape(f.shape) for g, f in zip(out, fields, strict=True))]


@torch.library.register_fake(curvature)
def _(fields, lengths, charts, weight, tangents, source, full, reduction, seed):
    return [weight.new_empty(weight.shape), *(f.new_empty(f.shape) for f in fields)]


for _op in (value, total, gradient, total_and_gradient, curvature):
    torch.library.register_vmap(_op, over_batch(_op))
