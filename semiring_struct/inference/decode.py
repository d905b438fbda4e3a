"""Queries that return structures: the best, the k best, draws with and without replacement, all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from semiring_struct import executors
from semiring_struct.errors import InfeasibleError, UnsupportedQueryError
from semiring_struct.executors import by_existence, by_gumbel
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.partition import LOG, MAX, evaluate
from semiring_struct.ops import NEG_INF, gumbel, refuse_where
from semiring_struct.ops import score as score_of
from semiring_struct.semirings import CountingSemiring
from semiring_struct.structures import LabelCode, Structure, dense
from semiring_struct.types import DistinctSamples, TopK


def argmax(structure: Structure, log_potentials: Any, labels: bool = False, lengths: Any = None) -> Any:
    """One best event (or its labels), the first of tied ones, never a blend.

    Raises `InfeasibleError` naming an instance without a structure. Cost: a forward pass, then only chosen cells.
    """
    door, code = _for_labels(open_door(structure, log_potentials, lengths), labels)
    with torch.no_grad():
        feasible, parts = best_parts(door)
        _check_feasible(door, feasible)
        return result(door, parts, code, ())


def topk(structure: Structure, log_potentials: Any, k: int, lengths: Any = None) -> TopK:
    """The `k` best structures, distinct, best first; blanks where an instance has fewer than `k`.

    Cost: a forward pass of maxima, then a beam of `k` derivations in which every kept beginning is known to lead to one
    of the `k` best (its best completion is in the charts), so that only their cells are visited.
    """
    _check_count(k, "topk")
    door = open_door(structure, log_potentials, lengths)
    with torch.no_grad():
        feasible, *parts = executors.k_best(*_call(door), reduction=MAX, k=k)
        events = result(door, parts, None, (k,))
        valid = feasible.reshape((k, *door.batch))
        value = used_score(door.flat, parts).reshape((k, *door.batch))
        return TopK(torch.where(valid, value, NEG_INF).to(door.fields[0].dtype), events, valid)


def used_score(fields: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
    """Sums of the entries `parts (paths, uses)`, -1 for none, of `fields (batch, *event)`.

    `(paths,)` float64; path `p` is of instance `p % batch`.
    """
    total = torch.zeros((), device=parts[0].device)
    for used, field in zip(parts, fields, strict=True):
        flat = field.reshape(field.shape[0], math.prod(field.shape[1:]))
        if flat.numel():
            instance = torch.arange(used.shape[0], device=used.device)[:, None] % flat.shape[0]
            value = flat[instance, used.clamp(min=0)].double()
            total = total + torch.where(used < 0, 0.0, value).sum(-1)
    return total.expand(parts[0].shape[0])


def sample(
    structure: Structure, log_potentials: Any, sample_shape: int | Sequence[int] = (), *,
    generator: torch.Generator | None = None, labels: bool = False, lengths: Any = None,
) -> Any:  # fmt: skip
    """Exact, independent draws `(*sample_shape, *batch, ...)`: one forward pass however many.

    With `labels=True` no dense event is built. A given `generator` leaves the global one untouched. Raises
    `InfeasibleError` naming an instance without a structure.
    """
    shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"sample needs a sample_shape of integers >= 0; got {sample_shape!r}")
    door, code = _for_labels(open_door(structure, log_potentials, lengths), labels)
    with torch.no_grad():
        fields, lengths, source, full = _call(door)
        size = executors.steps(source, [tuple(f.shape[1:]) for f in fields], full), math.prod(shape) * len(lengths)
        noise = torch.rand(size, generator=generator, dtype=torch.float64, device=lengths.device)
        feasible, *parts = executors.draws(fields, lengths, noise, source, full, LOG)
        _check_feasible(door, feasible)
        return result(door, parts, code, shape)


def sample_without_replacement(
    structure: Structure, log_potentials: Any, k: int, *, generator: torch.Generator | None = None, lengths: Any = None
) -> DistinctSamples:
    """`k` distinct events in the order of repeated draws without replacement, with their (perturbed) log-probabilities.

    A stochastic beam over derivations: the Gumbel top-k trick on the tree of choices [kool2019beams]. Blanks where an
    instance has fewer than `k` structures. Cost: a forward pass, then the cells of `k` derivations.
    """
    _check_count(k, "sample_without_replacement")
    door = open_door(structure, log_potentials, lengths)
    with torch.no_grad():
        start = gumbel((len(door.lengths),), generator=generator, dtype=torch.float64, device=door.lengths.device)
        paths = executors.beam(*_call(door), LOG, k, start, by_gumbel(generator))
        events = result(door, paths.parts(len(door.flat)), None, (k,))
        log_probs, perturbed = (
            torch.where(paths.feasible, x, NEG_INF).to(door.fields[0].dtype).reshape((k, *door.batch))
            for x in (paths.log_prob, paths.key)
            if x is not None
        )
        return DistinctSamples(events, log_probs, perturbed)


def count(structure: Structure, log_potentials: Any, lengths: Any = None) -> Tensor:
    """The number of structures of finite score, `(*batch,)` float64 (exact up to 2^53)."""
    with torch.no_grad():
        return evaluate(structure, CountingSemiring(), log_potentials, lengths)


def enumerate_events(structure: Structure, log_potentials: Any, limit: int = 10_000, lengths: Any = None) -> Any:
    """All events of finite score, `(s, *batch, ...)`, for tests and small exact sums.

    An instance with fewer than the others is padded with all-zero events (which `contains` rejects and to which
    `log_prob` gives `-inf`). Raises `ValueError` naming the count if any instance has more than `limit`.
    """
    number = count(structure, log_potentials, lengths)
    most = int(number.max()) if number.numel() else 0
    if most > limit:
        raise ValueError(f"{type(structure).__name__}: {most} events are more than limit={limit}; raise it, or sample")
    door = open_door(structure, log_potentials, lengths)
    with torch.no_grad():
        start = torch.zeros(len(door.lengths), dtype=torch.float64, device=door.lengths.device)
        paths = executors.beam(*_call(door), LOG, max(most, 1), start, by_existence)
        events = door.unpack(result(door, paths.parts(len(door.flat)), None, (max(most, 1),)), "events")
        return door.pack([e[:most] for e in events])


def score(structure: Structure, log_potentials: Any, event: Any) -> Tensor:
    """`<event, log_potentials>` with `0 * -inf = 0`; `-inf` for an event that uses a forbidden part."""
    door = open_door(structure, log_potentials)
    fields = zip(door.event(event, "score: event"), door.fields, door.structure.event_dims, strict=True)
    terms = [score_of(e.to(f.dtype), f, d) for e, f, d in fields]
    return sum(terms[1:], terms[0])


def _check_count(k: int, who: str) -> None:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"{who} needs an integer k >= 1; got {k!r}")


def _call(door: Door) -> tuple[list[Tensor], Tensor, int, tuple[int, ...]]:
    return list(door.flat), door.lengths, door.structure.handle, door.full


def best_parts(door: Door) -> tuple[Tensor, list[Tensor]]:
    """Whether an instance has a structure `(B,)`, and the entries that a best one uses, `(B, uses)` per field."""
    feasible, *parts = executors.best(*_call(door), reduction=MAX)
    return feasible, parts


def _check_feasible(door: Door, feasible: Tensor) -> None:
    """Paths are laid out `(*lead, B)`; the message names the instance."""
    each = feasible.reshape(-1, *door.batch).all(0) if feasible.numel() else feasible
    refuse_where(
        ~each,
        f"{type(door.structure).__name__}: an instance has no structure of finite score; allow more parts, or test "
        "log_partition for -inf first",
        InfeasibleError,
    )


def _for_labels(door: Door, labels: bool) -> tuple[Door, LabelCode | None]:
    """The code of the labels, if they are asked for; they need to know where a part stands, so fields are untied."""
    if not labels:
        return door, None
    code = door.structure.label_code(door.sizes)
    if code is None:
        raise UnsupportedQueryError(f"{type(door.structure).__name__} defines no labels; use labels=False")
    if door.structure.prepares:
        return door, code
    sizes = door.structure.full_shapes(list(door.events))
    flat = tuple(
        f if part is None else f.expand(f.shape[0], *size)
        for f, size, part in zip(door.flat, sizes, code.fields, strict=True)
    )
    return replace(door, flat=flat), code


def result(door: Door, parts: Sequence[Tensor], code: LabelCode | None, lead: tuple[int, ...]) -> Any:
    """Entries used, `(paths, uses)` per field, as events `(*lead, *batch, ...)` like the potentials, or as labels."""
    if code is not None:
        return door.shape(code.write(tuple(parts)), lead)
    events = [dense(used, tuple(f.shape[1:]), f.dtype) for used, f in zip(parts, door.flat, strict=True)]
    if door.structure.prepares:
        return door.pack(_through_prepare(door, events, lead))
    return door.pack([door.shape(e, lead) for e in events])


def _through_prepare(door: Door, events: list[Tensor], lead: tuple[int, ...]) -> list[Tensor]:
    """Events of the prepared fields, as events of the potentials: `prepare` backwards, linear in the parts used."""
    with torch.enable_grad():
        leaves = tuple(f.detach().requires_grad_() for f in door.fields)
        again = open_door(door.structure, door.pack(leaves))
        stacked = [e.reshape(math.prod(lead), *f.shape) for e, f in zip(events, again.flat, strict=True)]
        # fields that `prepare` made without the potentials carry no part of the event
        linked = [(f, e) for f, e in zip(again.flat, stacked, strict=True) if f.requires_grad]
        grads = torch.autograd.grad(
            [f for f, _ in linked], leaves, [e for _, e in linked], is_grads_batched=True, materialize_grads=True
        )
    return [g.reshape(*lead, *f.shape) for g, f in zip(grads, door.fields, strict=True)]
