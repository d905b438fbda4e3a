"""Walks from the answer to the fields as opaque operators: the best derivation, the k best, independent draws.

Each returns `feasible (paths,)` and then what it found in the form asked for: per field, entries used or events (see
`machine.Form`), or the labels `(paths, width)` of a `Code`. How many entries a path may use depends on the program, and
is not known of symbolic sizes; of events and labels all sizes are. Unlike totals they have no gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semiring_struct.executors.growth import by_existence, by_gumbel
from semiring_struct.executors.machine import Code, Form, Job, Machine, Paths
from semiring_struct.executors.operators import (
    description_of,
    forward,
    program_for,
    quiet,
    reduction_of,
    started,
)
from semiring_struct.ops import NEG_INF, counted, operator, over_batch, over_paths
from semiring_struct.programs.derivations import derivations
from semiring_struct.semirings import Reduction


def best(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction, form: Code | Form
) -> list[Tensor]:
    """One best derivation per instance."""
    how = source, list(full), description_of(reduction)
    if isinstance(form, Code):
        return _best_labels(fields, lengths, _listed(form), form.width, *how)
    return _best(fields, lengths, *how, form is Form.EVENTS)


def k_best(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction, k: int,
    form: Code | Form,
) -> list[Tensor]:  # fmt: skip
    """The k best, path `i * batch + b` the i-th of instance `b`; scores, `-inf` for none, in place of `feasible`."""
    how = source, list(full), description_of(reduction)
    if isinstance(form, Code):
        return _k_best_labels(fields, lengths, _listed(form), form.width, *how, k)
    return _k_best(fields, lengths, *how, k, form is Form.EVENTS)


def draws(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, samples: int, source: str, full: tuple[int, ...],
    reduction: Reduction, form: Code | Form,
) -> list[Tensor]:  # fmt: skip
    """Exact draws, `samples * batch` of them; path `p` is of instance `p % batch`. `seed (1,)` int64."""
    how = source, list(full), description_of(reduction)
    if isinstance(form, Code):
        return _drawn_labels(fields, lengths, seed, samples, _listed(form), form.width, *how)
    return _draws(fields, lengths, seed, samples, *how, form is Form.EVENTS)


def distinct(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, k: int, source: str, full: tuple[int, ...],
    reduction: Reduction, form: Form,
) -> list[Tensor]:  # fmt: skip
    """`k` draws without replacement, path `i * batch + b` the i-th of instance `b`. `seed (1,)` int64.

    Log-probabilities plus Gumbel noise `(paths,)`, log-probabilities, both `-inf` for blanks, then what was found.
    """
    how = source, list(full), description_of(reduction)
    return _distinct(fields, lengths, seed, k, *how, form is Form.EVENTS)


def listed(
    fields: list[Tensor], lengths: Tensor, number: int, source: str, full: tuple[int, ...], reduction: Reduction,
    form: Form,
) -> list[Tensor]:  # fmt: skip
    """The first `number` derivations of finite score, blanks last."""
    how = source, list(full), description_of(reduction)
    return _listing(fields, lengths, number, *how, form is Form.EVENTS)[1:]


def _found(paths: Paths, fields: list[Tensor], events: bool) -> list[Tensor]:
    parts = paths.parts(len(fields))
    if not events:
        return list(parts)
    pairs = zip(parts, fields, strict=True)
    return [counted(u, math.prod(f.shape[1:]), f.dtype).reshape(u.shape[0], *f.shape[1:]) for u, f in pairs]


def _listed(code: Code) -> list[Tensor]:
    """Slots and values of every field in turn; a field that writes nothing has none."""
    nothing = torch.zeros((0, 0), dtype=torch.int64, device="cpu")
    return [x for pair in code.fields for x in (pair or (nothing, nothing))]


def _code(codes: list[Tensor], width: int) -> Code:
    pairs = zip(codes[::2], codes[1::2], strict=True)
    return Code(tuple((s, v) if s.numel() else None for s, v in pairs), width)


def _run(
    fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str
) -> tuple[Machine, Job, Tensor]:
    return forward(fields, lengths, source, tuple(full), reduction_of(reduction))


@operator("best")
def _best(
    fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str, events: bool
) -> list[Tensor]:
    machine, job = started(fields, lengths, source, tuple(full), reduction_of(reduction))
    with quiet(lengths.device):
        if not events:
            paths = machine.best(job)
            return [paths.feasible, *_found(paths, fields, events)]
        feasible, found = machine.best_events(job)
    return [feasible, *(e.reshape(f.shape) for e, f in zip(found, fields, strict=True))]


@operator("best_labels")
def _best_labels(
    fields: list[Tensor], lengths: Tensor, codes: list[Tensor], width: int, source: str, full: list[int],
    reduction: str,
) -> list[Tensor]:  # fmt: skip
    machine, job = started(fields, lengths, source, tuple(full), reduction_of(reduction))
    with quiet(lengths.device):
        return list(machine.best_labels(job, _code(codes, width)))


@operator("k_best")
def _k_best(
    fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str, k: int, events: bool
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    paths = machine.k_best(job, charts, k)
    return [paths.ranked(), *_found(paths, fields, events)]


@operator("k_best_labels")
def _k_best_labels(
    fields: list[Tensor], lengths: Tensor, codes: list[Tensor], width: int, source: str, full: list[int],
    reduction: str, k: int,
) -> list[Tensor]:  # fmt: skip
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    return list(machine.k_best_labels(job, charts, k, _code(codes, width)))


@operator("draws")
def _draws(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, samples: int, source: str, full: list[int], reduction: str,
    events: bool,
) -> list[Tensor]:  # fmt: skip
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    paths = machine.draws(job, charts, seed, samples)
    return [paths.feasible, *_found(paths, fields, events)]


@operator("drawn_labels")
def _drawn_labels(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, samples: int, codes: list[Tensor], width: int, source: str,
    full: list[int], reduction: str,
) -> list[Tensor]:  # fmt: skip
    machine, job = started(fields, lengths, source, tuple(full), reduction_of(reduction))
    with quiet(lengths.device):
        return list(machine.drawn_labels(job, seed, samples, _code(codes, width)))


@operator("distinct")
def _distinct(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, k: int, source: str, full: list[int], reduction: str,
    events: bool,
) -> list[Tensor]:  # fmt: skip
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    paths = machine.beam(job, charts, k, *by_gumbel(seed, lengths.shape[0]))
    if paths.log_prob is None:
        raise RuntimeError("a beam keeps log-probabilities")
    log_prob = paths.log_prob.masked_fill(~paths.feasible, NEG_INF)
    return [paths.ranked(), log_prob, *_found(paths, fields, events)]


@operator("listed")
def _listing(
    fields: list[Tensor], lengths: Tensor, number: int, source: str, full: list[int], reduction: str, events: bool
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    start = torch.zeros(lengths.shape[0], dtype=torch.float64, device=lengths.device)
    paths = machine.beam(job, charts, number, start, by_existence)
    return [paths.feasible, *_found(paths, fields, events)]


def _empty(fields: list[Tensor], paths: int, source: str, full: list[int], events: bool) -> list[Tensor]:
    flag = fields[0].new_empty((paths,), dtype=torch.bool)
    if events:
        return [flag, *(f.new_empty((paths, *f.shape[1:])) for f in fields)]
    table = derivations(program_for(source, [tuple(f.shape[1:]) for f in fields], full))
    uses = [1 + table.slots.count(i) * table.longest for i in range(len(fields))]
    return [flag, *(f.new_empty((paths, n), dtype=torch.int64) for f, n in zip(fields, uses, strict=True))]


def _empty_labels(fields: list[Tensor], paths: int, width: int) -> list[Tensor]:
    like = fields[0]
    return [like.new_empty((paths,), dtype=torch.bool), like.new_empty((paths, width), dtype=torch.int64)]


@torch.library.register_fake(_best)
def _(fields, lengths, source, full, reduction, events):
    return _empty(fields, fields[0].shape[0], source, full, events)


@torch.library.register_fake(_best_labels)
def _(fields, lengths, codes, width, source, full, reduction):
    return _empty_labels(fields, fields[0].shape[0], width)


@torch.library.register_fake(_k_best)
def _(fields, lengths, source, full, reduction, k, events):
    paths = k * fields[0].shape[0]
    return [fields[0].new_empty((paths,), dtype=torch.float64), *_empty(fields, paths, source, full, events)[1:]]


@torch.library.register_fake(_k_best_labels)
def _(fields, lengths, codes, width, source, full, reduction, k):
    labels = fields[0].new_empty((k * fields[0].shape[0], width), dtype=torch.int64)
    return [labels.new_empty(labels.shape[:1], dtype=torch.float64), labels]


@torch.library.register_fake(_draws)
def _(fields, lengths, seed, samples, source, full, reduction, events):
    return _empty(fields, samples * fields[0].shape[0], source, full, events)


@torch.library.register_fake(_distinct)
def _(fields, lengths, seed, k, source, full, reduction, events):
    flag, *parts = _empty(fields, k * fields[0].shape[0], source, full, events)
    return [*(flag.new_empty(flag.shape, dtype=torch.float64) for _ in range(2)), *parts]


@torch.library.register_fake(_listing)
def _(fields, lengths, number, source, full, reduction, events):
    return _empty(fields, number * fields[0].shape[0], source, full, events)


@torch.library.register_fake(_drawn_labels)
def _(fields, lengths, seed, samples, codes, width, source, full, reduction):
    return _empty_labels(fields, samples * fields[0].shape[0], width)


torch.library.register_vmap(_best, over_batch(_best))
torch.library.register_vmap(_best_labels, over_batch(_best_labels, batched=2))
torch.library.register_vmap(_k_best, over_paths(_k_best, number=5))
torch.library.register_vmap(_k_best_labels, over_paths(_k_best_labels, number=7))
torch.library.register_vmap(_draws, over_paths(_draws, number=3, seed=2))
torch.library.register_vmap(_drawn_labels, over_paths(_drawn_labels, number=3, seed=2))
torch.library.register_vmap(_distinct, over_paths(_distinct, number=3, seed=2))
torch.library.register_vmap(_listing, over_paths(_listing, number=2))
