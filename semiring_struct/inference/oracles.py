"""What queries are made of: a structure's native answer, else one derived from it or the program, else a refusal.

Structures found are given as in `structures.natives`: what the paths are, then the entries that each uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from semiring_struct import executors
from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.executors import Code, Form
from semiring_struct.inference.door import Door
from semiring_struct.inference.finite import ignoring_padding, refuse_infinite
from semiring_struct.ops import NEG_INF, new_seed, pick, tally
from semiring_struct.semirings import CountingSemiring, LogSemiring, MaxSemiring, Reduction, Semiring
from semiring_struct.structures import DynamicProgram, Structure, dense

LOG = LogSemiring().reduction
MAX = MaxSemiring().reduction

# each query's needs, in terms of native methods; a program meets them all
NEEDS: dict[str, tuple[str, ...]] = {
    "log_partition": ("partition",), "marginals": ("partition",), "entropy": ("partition",), "kl": ("partition",),
    "cross_entropy": ("partition",), "renyi_entropy": ("partition",), "expectation": ("partition",),
    "variance": ("partition",), "covariance_vp": ("partition",), "log_prob": ("partition", "best"),
    "count": ("count",), "enumerate_events": ("count", "k_best"), "max_score": ("best",), "argmax": ("best",),
    "contains": ("best",), "topk": ("k_best",), "sample": ("draws",),
    "sample_without_replacement": ("partition", "distinct_draws"),
    "evaluate": ("inside",), "program": ("inside",), "greedy": ("greedy",), "beam_search": ("beam",),
}  # fmt: skip
# the same where probabilities are native, and no partition function is needed for them
_PROBABILITIES = {"log_prob": ("log_probs",), "sample_without_replacement": ("log_probs", "distinct_draws")}
_NO_PROGRAM_MEETS = ("greedy", "beam", "log_probs")


def needs(structure: Structure, query: str) -> tuple[str, ...]:
    """What a query of this structure is made of, in terms of native methods."""
    return _PROBABILITIES.get(query, NEEDS[query]) if structure.offers("log_probs") else NEEDS[query]


def meets(structure: Structure, need: str) -> bool:
    """Whether the structure has a program, or a native method, or what that method follows from."""
    if isinstance(structure, DynamicProgram) and need not in _NO_PROGRAM_MEETS:
        return True
    if need == "count" and structure.offers("partition"):
        return True
    return need != "inside" and structure.offers(need)


def offered(structure: Structure) -> tuple[str, ...]:
    """The names of the queries that this structure answers, in alphabetical order."""
    return tuple(sorted(q for q in NEEDS if all(meets(structure, need) for need in needs(structure, q))))


def refusal(structure: Structure, need: str) -> UnsupportedQueryError:
    """The error for a structure that lacks what a query needs."""
    what = "program" if need == "inside" else f"`{need}`"
    return UnsupportedQueryError(
        f"{type(structure).__name__} gives no {what}, which this query needs; it offers {', '.join(offered(structure))}"
    )


@ignoring_padding
def wide_total(door: Door, reduction: Reduction | None, seed: int = 0) -> Tensor:
    """The answer `(*batch,)` under a reduction, in float64: large totals may still be subtracted."""
    if reduction == LOG and _native(door, "partition"):
        with _quiet(door):
            return door.shape(door.structure.partition(_fields(door), door.lengths))
    if reduction == MAX and _native(door, "best"):
        return _native_max(door)
    return program_total(door, reduction, seed, _need(reduction))


@ignoring_padding
def program_total(door: Door, reduction: Reduction | None, seed: int = 0, need: str = "inside") -> Tensor:
    """The program's answer `(*batch,)` under a reduction, in float64."""
    fields, lengths, source, full = _call(door, need)
    return door.shape(executors.total(fields, lengths, source, full, _of(reduction), seed))


def taped(door: Door, reduction: Reduction | None) -> bool:
    """Whether the gradient of a total is left to autograd: through a native partition."""
    plain = door.structure.offers("partition") and not door.structure.offers("partition_and_marginals")
    return reduction == LOG and plain


@ignoring_padding
def sloped(door: Door, reduction: Reduction | None) -> tuple[Tensor, Sequence[Tensor]]:
    """The total `(B,)` in float64 and its gradient per field of the program, where it is not `taped`."""
    if reduction == LOG and _native(door, "partition_and_marginals"):
        with _quiet(door):
            value, *means = door.structure.partition_and_marginals(_fields(door), door.lengths)
        return value, means
    fields, lengths, source, full = _call(door, _need(reduction))
    return executors.total_and_gradient(fields, lengths, source, full, _of(reduction))


@ignoring_padding
def curved(door: Door, vectors: list[Tensor]) -> Sequence[Tensor]:
    """The Hessian of log Z times `vectors`, per field of the program."""
    return executors.curvature(*_call(door, "partition"), _of(LOG), vectors)


def _native_max(door: Door) -> Tensor:
    """The score of the best structure; its gradient is that structure."""
    with torch.no_grad():
        feasible, parts = best_found(door, Form.ENTRIES)
    return door.shape(torch.where(feasible, used_score(door.flat, parts), NEG_INF))


@ignoring_padding
def best_found(door: Door, form: Code | Form) -> tuple[Tensor, list[Tensor]]:
    """Whether an instance has a structure `(B,)`, and a best one in the form asked for, per field of the program.

    For a `Code` that is the labels `(B, width)` which its parts write.
    """
    if _native(door, "best"):
        with _quiet(door):
            feasible, *parts = door.structure.best(_fields(door), door.lengths)
        return feasible, _written(door, parts, form)
    feasible, *found = executors.best(*_call(door, "best"), _of(MAX), form)
    return feasible, found


@ignoring_padding
def k_best_found(door: Door, k: int, form: Code | Form) -> tuple[Tensor, list[Tensor]]:
    """Scores of the `k` best `(k * B,)` in float64, `-inf` for blanks, and the structures."""
    if _native(door, "k_best"):
        with _quiet(door):
            feasible, *parts = door.structure.k_best(_fields(door), door.lengths, k)
        return torch.where(feasible, _fixed_score(door, parts), NEG_INF), _written(door, parts, form)
    scores, *found = executors.k_best(*_call(door, "k_best"), _of(MAX), k, form)
    return scores, found


def drawn_found(
    door: Door, number: int, generator: torch.Generator | None, form: Code | Form
) -> tuple[Tensor, list[Tensor]]:
    """Whether each of independent draws is of an instance with structures, and the draws, `number * B` paths."""
    return _drawn(door, number, new_seed(generator, door.lengths.device), form)


@ignoring_padding
def _drawn(door: Door, number: int, seed: Tensor, form: Code | Form) -> tuple[Tensor, list[Tensor]]:
    if _native(door, "draws"):
        with _quiet(door):
            feasible, *parts = door.structure.draws(_fields(door), door.lengths, number, seed)
        return feasible, _written(door, parts, form)
    fields, lengths, source, full = _call(door, "draws")
    feasible, *found = executors.draws(fields, lengths, seed, number, source, full, _of(LOG), form)
    return feasible, found


def _written(door: Door, parts: Sequence[Tensor], form: Code | Form) -> list[Tensor]:
    """Entries that a native method found, in the form asked for."""
    if isinstance(form, Code):
        return [tally(tuple(parts), form.fields, form.width)]
    if form is Form.ENTRIES:
        return list(parts)
    return [dense(used, tuple(f.shape[1:]), f.dtype) for used, f in zip(parts, door.flat, strict=True)]


def distinct_found(
    door: Door, k: int, generator: torch.Generator | None, form: Form
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """Draws without replacement: perturbed and plain log-probabilities `(k * B,)`, `-inf` for blanks, and the draws."""
    seed = new_seed(generator, door.lengths.device)
    if not _native(door, "distinct_draws"):
        key, log_prob, *found = _distinct(door, k, seed, form)
        return key, log_prob, found
    perturbed, *used = _native_distinct(door, k, seed)
    real = perturbed > NEG_INF
    if _native(door, "log_probs"):
        log_probs = native_log_probs(door, tuple(used)).detach()
    else:
        log_z = wide_total(door, LOG).detach().reshape(-1).repeat(k)
        log_probs = _fixed_score(door, used) - torch.where(real, log_z, 0.0)
    return perturbed, torch.where(real, log_probs, NEG_INF), _written(door, used, form)


@ignoring_padding
def _native_distinct(door: Door, k: int, seed: Tensor) -> tuple[Tensor, ...]:
    with _quiet(door):
        return door.structure.distinct_draws(_fields(door), door.lengths, k, seed)


@ignoring_padding
def _distinct(door: Door, k: int, seed: Tensor, form: Form) -> list[Tensor]:
    fields, lengths, source, full = _call(door, "distinct_draws")
    return executors.distinct(fields, lengths, seed, k, source, full, _of(LOG), form)


@ignoring_padding
def native_log_probs(door: Door, used: Sequence[Tensor]) -> Tensor:
    """The structure's own log-probabilities `(paths,)` of entries `(paths, uses)` per field."""
    with _quiet(door):
        return door.structure.log_probs(_fields(door), door.lengths, *used)


@ignoring_padding
def searched(door: Door, k: int | None, form: Code | Form) -> tuple[Tensor, list[Tensor]]:
    """What `beam` found, or `greedy` if `k` is None: the first of what it returns, then the structures."""
    native = "greedy" if k is None else "beam"
    if not meets(door.structure, native):
        raise refusal(door.structure, native)
    with _quiet(door):
        fields, lengths = _fields(door), door.lengths
        first, *parts = door.structure.greedy(fields, lengths) if k is None else door.structure.beam(fields, lengths, k)
    return first.detach(), _written(door, parts, form)


@ignoring_padding
def number_of_structures(door: Door) -> Tensor:
    """How many structures have a finite score, `(*batch,)` float64."""
    if _native(door, "count"):
        return door.shape(door.structure.count(_fields(door), door.lengths))
    if _native(door, "partition"):
        alike = tuple(torch.where(f == NEG_INF, f, 0.0).double() for f in _fields(door))
        return door.shape(door.structure.partition(alike, door.lengths).exp().round())
    return generic_total(door, CountingSemiring(), "count")


@ignoring_padding
def generic_total(door: Door, semiring: Semiring, need: str = "inside") -> Tensor:
    """What a semiring reads in the program's total, by its own operations."""
    value = executors.generic(*_call(door, need), semiring)
    return semiring.read(value.reshape(value.shape[0], *door.batch, *value.shape[2:]))


@ignoring_padding
def listed_found(door: Door, number: int, form: Form) -> Sequence[Tensor]:
    """All structures of finite score, `number * B` paths, blanks last."""
    if _native(door, "k_best"):
        return k_best_found(door, number, form)[1]
    fields, lengths, source, full = _call(door, "k_best")
    return executors.listed(fields, lengths, number, source, full, _of(LOG), form)


def used_score(fields: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
    """Sums of the entries `parts (paths, uses)`, -1 for none, of `fields (batch, *event)`.

    `(paths,)` float64; path `p` is of instance `p % batch`.
    """
    total = torch.zeros((), device=parts[0].device)
    for used, field in zip(parts, fields, strict=True):
        batch = field.shape[0]
        copies = used.shape[0] // max(batch, 1)
        flat = field.reshape(batch, math.prod(field.shape[1:]))
        if flat.shape[1]:
            mine = used.reshape(copies, batch, used.shape[1]).transpose(0, 1)
            value = pick(flat, 1, mine.clamp(min=0).flatten(1)).reshape(mine.shape).double()
            total = total + torch.where(mine < 0, 0.0, value).sum(-1).T.flatten()
        else:
            total = total + flat.double().sum(1).repeat(copies)
    return total.expand(parts[0].shape[0])


def _fixed_score(door: Door, parts: Sequence[Tensor]) -> Tensor:
    """The score of structures that were found, without a derivative: `no_grad` does not stop forward mode."""
    return used_score([f.detach() for f in door.flat], parts)


def _native(door: Door, name: str) -> bool:
    return door.structure.offers(name)


def _fields(door: Door) -> tuple[Tensor, ...]:
    """The fields a native method is given: without NaN and +inf, which machines refuse themselves."""
    if not door.structure.prepares:
        refuse_infinite(door)
    return door.flat


def _quiet(door: Door) -> AbstractContextManager[object]:
    return executors.quiet(door.lengths.device)


def _program_of(door: Door, need: str) -> str:
    if not isinstance(door.structure, DynamicProgram):
        raise refusal(door.structure, need)
    return door.structure.handle


def _call(door: Door, need: str) -> tuple[list[Tensor], Tensor, str, tuple[int, ...]]:
    return list(door.flat), door.lengths, _program_of(door, need), door.full


def _need(reduction: Reduction | None) -> str:
    return "partition" if reduction == LOG else "best" if reduction == MAX else "inside"


def _of(reduction: Reduction | None) -> Reduction:
    if reduction is None:
        raise TypeError("this query needs a semiring with a reduction")
    return reduction
