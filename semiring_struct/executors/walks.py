"""Walks from the answer to the fields as opaque operators: the best derivation, the k best, independent draws.

Each returns `feasible (paths,)` and then, per field, which entries are used: `(paths, uses)`, -1 for none. Unlike
totals they have no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.executors.growth import by_score
from semiring_struct.executors.machine import Grow, Job, Machine, Paths
from semiring_struct.executors.operators import forward, number_of, over_batch, program_for, reduction_of
from semiring_struct.programs.derivations import derivations
from semiring_struct.semirings import Reduction


@torch.compiler.assume_constant_result
def steps(source: int, shapes: list[tuple[int, ...]], full: tuple[int, ...]) -> int:
    """How many uniforms one draw takes: the cells of the largest derivation."""
    return derivations(program_for(source, shapes, full)).longest


def best(
    fields: list[Tensor], lengths: Tensor, source: int, full: tuple[int, ...], reduction: Reduction
) -> list[Tensor]:
    """One best derivation per instance."""
    return _best(fields, lengths, source, list(full), number_of(reduction))


def k_best(
    fields: list[Tensor], lengths: Tensor, source: int, full: tuple[int, ...], reduction: Reduction, k: int
) -> list[Tensor]:
    """The k best, path `i * batch + b` the i-th of instance `b`."""
    return _k_best(fields, lengths, source, list(full), number_of(reduction), k)


def draws(
    fields: list[Tensor], lengths: Tensor, noise: Tensor, source: int, full: tuple[int, ...], reduction: Reduction
) -> list[Tensor]:
    """Exact draws from uniforms `noise (steps, samples * batch)`; path `p` is of instance `p % batch`."""
    return _draws(fields, lengths, noise, source, list(full), number_of(reduction))


def beam(
    fields: list[Tensor], lengths: Tensor, source: int, full: tuple[int, ...], reduction: Reduction, k: int,
    start: Tensor, grow: Grow,
) -> Paths:  # fmt: skip
    """The k derivations of largest key; see `Grow`. For callers that bring their own keys: eager only."""
    machine, job, charts = forward(fields, lengths, source, full, reduction)
    return machine.beam(job, charts, k, start, grow)


def _flat(paths: Paths, fields: list[Tensor]) -> list[Tensor]:
    return [paths.feasible, *paths.parts(len(fields))]


def _run(
    fields: list[Tensor], lengths: Tensor, source: int, full: list[int], reduction: int
) -> tuple[Machine, Job, Tensor]:
    return forward(fields, lengths, source, tuple(full), reduction_of(reduction))


@torch.library.custom_op("semiring_struct::best", mutates_args=())
def _best(fields: list[Tensor], lengths: Tensor, source: int, full: list[int], reduction: int) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    return _flat(machine.best(job, charts), fields)


@torch.library.custom_op("semiring_struct::k_best", mutates_args=())
def _k_best(
    fields: list[Tensor], lengths: Tensor, source: int, full: list[int], reduction: int, k: int
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    return _flat(machine.beam(job, charts, k, charts.new_zeros(len(charts)), by_score), fields)


@torch.library.custom_op("semiring_struct::draws", mutates_args=())
def _draws(
    fields: list[Tensor], lengths: Tensor, noise: Tensor, source: int, full: list[int], reduction: int
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    return _flat(machine.draws(job, charts, noise), fields)


def _empty(fields: list[Tensor], paths: int, source: int, full: list[int]) -> list[Tensor]:
    table = derivations(program_for(source, [tuple(f.shape[1:]) for f in fields], full))
    uses = [1 + table.slots.count(i) * table.longest for i in range(len(fields))]
    flag = fields[0].new_empty((paths,), dtype=torch.bool)
    return [flag, *(f.new_empty((paths, n), dtype=torch.int64) for f, n in zip(fields, uses, strict=True))]


@_best.register_fake
def _(fields, lengths, source, full, reduction):
    return _empty(fields, fields[0].shape[0], source, full)


@_k_best.register_fake
def _(fields, lengths, source, full, reduction, k):
    return _empty(fields, k * fields[0].shape[0], source, full)


@_draws.register_fake
def _(fields, lengths, noise, source, full, reduction):
    return _empty(fields, noise.shape[1], source, full)


# k_best and draws interleave paths of all instances, so a mapped dim cannot simply join the batch
_best.register_vmap(over_batch(_best))
