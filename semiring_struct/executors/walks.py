"""Walks from the answer to the fields as opaque operators: the best derivation, the k best, independent draws.

Each returns `feasible (paths,)` and then, per field, which entries are used: `(paths, uses)`, -1 for none; or, with a
`Code`, the labels `(paths, width)` that these write. Unlike totals they have no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.executors.growth import by_existence, by_gumbel
from semiring_struct.executors.machine import Code, Job, Machine, Paths
from semiring_struct.executors.operators import (
    description_of,
    forward,
    program_for,
    quiet,
    reduction_of,
    started,
)
from semiring_struct.ops import NEG_INF, operator, over_batch, over_paths
from semiring_struct.programs.derivations import derivations
from semiring_struct.semirings import Reduction


def best(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction,
    code: Code | None = None,
) -> list[Tensor]:  # fmt: skip
    """One best derivation per instance."""
    if code is None:
        return _best(fields, lengths, source, list(full), description_of(reduction))
    return _best_labels(fields, lengths, _listed(code), code.width, source, list(full), description_of(reduction))


def best_events(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction
) -> list[Tensor]:
    """One best derivation per instance: in place of entries, how often each is used, per field like the field."""
    return _best_events(fields, lengths, source, list(full), description_of(reduction))


def k_best(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction, k: int,
    code: Code | None = None,
) -> list[Tensor]:  # fmt: skip
    """The k best, path `i * batch + b` the i-th of instance `b`; scores, `-inf` for none, in place of `feasible`."""
    how = source, list(full), description_of(reduction)
    if code is None:
        return _k_best(fields, lengths, *how, k)
    return _k_best_labels(fields, lengths, _listed(code), code.width, *how, k)


def draws(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, samples: int, source: str, full: tuple[int, ...],
    reduction: Reduction, code: Code | None = None,
) -> list[Tensor]:  # fmt: skip
    """Exact draws, `samples * batch` of them; path `p` is of instance `p % batch`. `seed (1,)` int64."""
    how = source, list(full), description_of(reduction)
    if code is None:
        return _draws(fields, lengths, seed, samples, *how)
    return _drawn_labels(fields, lengths, seed, samples, _listed(code), code.width, *how)


def distinct(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, k: int, source: str, full: tuple[int, ...],
    reduction: Reduction,
) -> list[Tensor]:  # fmt: skip
    """`k` draws without replacement, path `i * batch + b` the i-th of instance `b`. `seed (1,)` int64.

    Log-probabilities plus Gumbel noise `(paths,)`, log-probabilities, both `-inf` for blanks, then what is used.
    """
    return _distinct(fields, lengths, seed, k, source, list(full), description_of(reduction))


def listed(
    fields: list[Tensor], lengths: Tensor, number: int, source: str, full: tuple[int, ...], reduction: Reduction
) -> list[Tensor]:
    """The first `number` derivations of finite score, blanks last: what is used, per field."""
    return _listing(fields, lengths, number, source, list(full), description_of(reduction))[1:]


def _flat(paths: Paths, fields: list[Tensor]) -> list[Tensor]:
    return [paths.feasible, *paths.parts(len(fields))]


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
def _best(fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str) -> list[Tensor]:
    machine, job = started(fields, lengths, source, tuple(full), reduction_of(reduction))
    with quiet(lengths.device):
        return _flat(machine.best(job), fields)


@operator("best_events")
def _best_events(fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str) -> list[Tensor]:
    machine, job = started(fields, lengths, source, tuple(full), reduction_of(reduction))
    with quiet(lengths.device):
        feasible, events = machine.best_events(job)
    return [feasible, *(e.reshape(f.shape) for e, f in zip(events, fields, strict=True))]


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
    fields: list[Tensor], lengths: Tensor, source: str, full: list[int], reduction: str, k: int
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    paths = machine.k_best(job, charts, k)
    return [paths.ranked(), *paths.parts(len(fields))]


@operator("k_best_labels")
def _k_best_labels(
    fields: list[Tensor], lengths: Tensor, codes: list[Tensor], width: int, source: str, full: list[int],
    reduction: str, k: int,
) -> list[Tensor]:  # fmt: skip
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    return list(machine.k_best_labels(job, charts, k, _code(codes, width)))


@operator("draws")
def _draws(
    fields: list[Tensor], lengths: Tensor, seed: Tensor, samples: int, source: str, full: list[int], reduction: str
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    return _flat(machine.draws(job, charts, seed, samples), fields)


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
    fields: list[Tensor], lengths: Tensor, seed: Tensor, k: int, source: str, full: list[int], reduction: str
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    paths = machine.beam(job, charts, k, *by_gumbel(seed, lengths.shape[0]))
    if paths.log_prob is None:
        raise RuntimeError("a beam keeps log-probabilities")
    return [paths.ranked(), paths.log_prob.masked_fill(~paths.feasible, NEG_INF), *paths.parts(len(fields))]


@operator("listed")
def _listing(
    fields: list[Tensor], lengths: Tensor, number: int, source: str, full: list[int], reduction: str
) -> list[Tensor]:
    machine, job, charts = _run(fields, lengths, source, full, reduction)
    start = torch.zeros(lengths.shape[0], dtype=torch.float64, device=lengths.device)
    return _flat(machine.beam(job, charts, number, start, by_existence), fields)


def _empty(fields: list[Tensor], paths: int, source: str, full: list[int]) -> list[Tensor]:
    table = derivations(program_for(source, [tuple(f.shape[1:]) for f in fields], full))
    uses = [1 + table.slots.count(i) * table.longest for i in range(len(fields))]
    flag = fields[0].new_empty((paths,), dtype=torch.bool)
    return [flag, *(f.new_empty((paths, n), dtype=torch.int64) for f, n in zip(fields, uses, strict=True))]


def _empty_labels(fields: list[Tensor], paths: int, width: int) -> list[Tensor]:
    like = fields[0]
    return [like.new_empty((paths,), dtype=torch.bool), like.new_empty((paths, width), dtype=torch.int64)]


@torch.library.register_fake(_best)
def _(fields, lengths, source, full, reduction):
    return _empty(fields, fields[0].shape[0], source, full)


@torch.library.register_fake(_best_events)
def _(fields, lengths, source, full, reduction):
    return [fields[0].new_empty(fields[0].shape[:1], dtype=torch.bool), *(f.new_empty(f.shape) for f in fields)]


@torch.library.register_fake(_best_labels)
def _(fields, lengths, codes, width, source, full, reduction):
    return _empty_labels(fields, fields[0].shape[0], width)


@torch.library.register_fake(_k_best)
def _(fields, lengths, source, full, reduction, k):
    paths = k * fields[0].shape[0]
    return [fields[0].new_empty((paths,), dtype=torch.float64), *_empty(fields, paths, source, full)[1:]]


@torch.library.register_fake(_k_best_labels)
def _(fields, lengths, codes, width, source, full, reduction, k):
    labels = fields[0].new_empty((k * fields[0].shape[0], width), dtype=torch.int64)
    return [labels.new_empty(labels.shape[:1], dtype=torch.float64), labels]


@torch.library.register_fake(_draws)
def _(fields, lengths, seed, samples, source, full, reduction):
    return _empty(fields, samples * fields[0].shape[0], source, full)


@torch.library.register_fake(_distinct)
def _(fields, lengths, seed, k, source, full, reduction):
    flag, *parts = _empty(fields, k * fields[0].shape[0], source, full)
    return [*(flag.new_empty(flag.shape, dtype=torch.float64) for _ in range(2)), *parts]


@torch.library.register_fake(_listing)
def _(fields, lengths, number, source, full, reduction):
    return _empty(fields, number * fields[0].shape[0], source, full)


@torch.library.register_fake(_drawn_labels)
def _(fields, lengths, seed, samples, codes, width, source, full, reduction):
    return _empty_labels(fields, samples * fields[0].shape[0], width)


torch.library.register_vmap(_best, over_batch(_best))
torch.library.register_vmap(_best_events, over_batch(_best_events))
torch.library.register_vmap(_best_labels, over_batch(_best_labels, batched=2))
torch.library.register_vmap(_k_best, over_paths(_k_best, number=5))
torch.library.register_vmap(_k_best_labels, over_paths(_k_best_labels, number=7))
torch.library.register_vmap(_draws, over_paths(_draws, number=3, seed=2))
torch.library.register_vmap(_drawn_labels, over_paths(_drawn_labels, number=3, seed=2))
torch.library.register_vmap(_distinct, over_paths(_distinct, number=3, seed=2))
torch.library.register_vmap(_listing, over_paths(_listing, number=2))
