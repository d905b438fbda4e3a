"""Queries that return structures: the best, the k best, draws with and without replacement, all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.executors import Code, Form, not_finite
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.infeasible import refuse_infeasible
from semiring_struct.inference.oracles import (
    best_found,
    distinct_found,
    drawn_found,
    k_best_found,
    listed_found,
    number_of_structures,
    searched,
)
from semiring_struct.ops import NEG_INF, known_all, refuse_where
from semiring_struct.ops import score as score_of
from semiring_struct.structures import LabelCode, Structure, dense
from semiring_struct.types import Beam, DistinctSamples, TopK


def argmax(structure: Structure, log_potentials: Any, labels: bool = False, lengths: Any = None) -> Any:
    """One best event (or its labels), the first of tied ones, never a blend.

    Raises `InfeasibleError` naming an instance without a structure. Cost: a forward pass, then only chosen cells.
    """
    door, code = _for_labels(open_door(structure, log_potentials, lengths), labels)
    with torch.no_grad():
        feasible, found = best_found(door, form_of(door, code))
        _check_feasible(door, feasible)
        return result(door, found, code, ())


def topk(
    structure: Structure, log_potentials: Any, k: int, lengths: Any = None, *, labels: bool = False
) -> TopK:
    """The `k` best structures (or their labels), distinct, best first; blanks where an instance has fewer than `k`.

    Cost: a forward pass of maxima, then only the cells of the `k` best: the best completion of every beginning is in
    the charts, so that no other beginning is followed. With `labels=True` no dense event is built.
    """
    _check_count(k, "topk")
    door, code = _for_labels(open_door(structure, log_potentials, lengths), labels)
    with torch.no_grad():
        scores, found = k_best_found(door, k, form_of(door, code))
        scores = scores.reshape((k, *door.batch))
        return TopK(scores.to(door.fields[0].dtype), result(door, found, code, (k,)), scores > NEG_INF)


def greedy(structure: Structure, log_potentials: Any, labels: bool = False, lengths: Any = None) -> Any:
    """An event (or its labels) made of locally best choices, the first of tied ones: not, in general, a best one.

    For structures that offer it, such as `Autoregressive`; others raise `UnsupportedQueryError`, and have `argmax`.
    Raises `InfeasibleError` where the choices led to a dead end. Cost: that of the structure's `greedy`.
    """
    door, code = _for_labels(open_door(structure, log_potentials, lengths), labels)
    with torch.no_grad():
        complete, found = searched(door, None, form_of(door, code))
        _check_feasible(door, complete)
        return result(door, found, code, ())


def beam_search(
    structure: Structure, log_potentials: Any, k: int, labels: bool = False, lengths: Any = None
) -> Beam:
    """Up to `k` events (or their labels) found by a beam of width `k`, most probable first: not, in general, the best.

    For structures that offer it, such as `Autoregressive`; others raise `UnsupportedQueryError`, and have `topk`.
    Blanks where fewer were completed. Cost: that of the structure's `beam`.
    """
    _check_count(k, "beam_search")
    door, code = _for_labels(open_door(structure, log_potentials, lengths), labels)
    with torch.no_grad():
        value, found = searched(door, k, form_of(door, code))
        value = value.reshape((k, *door.batch)).to(door.fields[0].dtype)
        return Beam(value, result(door, found, code, (k,)), value > NEG_INF)


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
        feasible, found = drawn_found(door, math.prod(shape), generator, form_of(door, code))
        _check_feasible(door, feasible)
        return result(door, found, code, shape)


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
        perturbed, log_probs, found = distinct_found(door, k, generator, event_form(door))
        events = result(door, found, None, (k,))
        kind, shape = door.fields[0].dtype, (k, *door.batch)
        return DistinctSamples(events, log_probs.to(kind).reshape(shape), perturbed.to(kind).reshape(shape))


def count(structure: Structure, log_potentials: Any, lengths: Any = None) -> Tensor:
    """The number of structures of finite score, `(*batch,)` float64 (exact up to 2^53)."""
    with torch.no_grad():
        return number_of_structures(open_door(structure, log_potentials, lengths))


def enumerate_events(structure: Structure, log_potentials: Any, limit: int = 10_000, lengths: Any = None) -> Any:
    """All events of finite score, `(s, *batch, ...)`, for tests and small exact sums.

    An instance with fewer than the others is padded with all-zero events (which `contains` rejects and to which
    `log_prob` gives `-inf`). Raises `ValueError` naming the count if any instance has more than `limit`.
    """
    number = count(structure, log_potentials, lengths)
    try:
        most = int(number.max()) if number.numel() else 0
    except RuntimeError as error:
        raise UnsupportedQueryError(
            "enumerate_events returns as many events as there are, which vmap cannot; give the potentials a batch dim"
        ) from error
    if most > limit:
        raise ValueError(f"{type(structure).__name__}: {most} events are more than limit={limit}; raise it, or sample")
    door = open_door(structure, log_potentials, lengths)
    with torch.no_grad():
        found = listed_found(door, max(most, 1), event_form(door))
        events = door.unpack(result(door, found, None, (max(most, 1),)), "events")
        return door.pack([e[:most] for e in events])


def score(structure: Structure, log_potentials: Any, event: Any) -> Tensor:
    """`<event, log_potentials>` with `0 * -inf = 0`; `-inf` for an event that uses a forbidden part.

    Parts that the event does not use may hold anything. Raises `ValueError` where one that it uses holds NaN or +inf.
    """
    door = open_door(structure, log_potentials)
    terms = _terms(door, event, "score: event")
    out = sum(terms[1:], terms[0])
    if not known_all(out.detach() < torch.inf):
        for name, term in zip(door.structure.field_names, terms, strict=True):
            refuse_where(~(term.detach() < torch.inf), not_finite(name))
    return out


def event_score(door: Door, event: Any, what: str) -> Tensor:
    """The score of an event `(*sample, *batch)`; NaN or +inf where a part that it uses holds that."""
    terms = _terms(door, event, what)
    return sum(terms[1:], terms[0])


def _terms(door: Door, event: Any, what: str) -> list[Tensor]:
    """What each field adds to the score."""
    fields = zip(door.event(event, what), door.fields, door.structure.event_dims, strict=True)
    return [score_of(e.to(f.dtype), f, d) for e, f, d in fields]


def _check_count(k: int, who: str) -> None:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"{who} needs an integer k >= 1; got {k!r}")


def _check_feasible(door: Door, feasible: Tensor) -> None:
    """Paths are laid out `(*lead, B)`."""
    if known_all(feasible):
        return
    each = feasible.reshape(-1, *door.batch).all(0) if feasible.numel() else feasible
    if door.structure.offers("log_probs"):                    # other choices may lead on
        refuse_infeasible(door, each, "choices made one by one led an instance to a dead end")
    else:
        refuse_infeasible(door, each)


def _for_labels(door: Door, labels: bool) -> tuple[Door, LabelCode | None]:
    """The code of the labels, if they are asked for; they need to know where a part stands, so fields are untied."""
    if not labels:
        return door, None
    code = door.structure.code_on(door.sizes, door.lengths.device)
    if code is not None and not door.structure.prepares:
        structure, placed = door.structure.placed(door.flat)
        if structure is not door.structure:
            door = _on(door, structure, placed)
            code = structure.code_on(door.sizes, door.lengths.device)
    if code is None:
        raise UnsupportedQueryError(f"{type(door.structure).__name__} defines no labels; use labels=False")
    if door.structure.prepares:
        return door, code
    sizes = door.structure.full_shapes([tuple(f.shape[1:]) for f in door.flat])
    flat = tuple(
        f if part is None else f.expand(f.shape[0], *size)
        for f, size, part in zip(door.flat, sizes, code.fields, strict=True)
    )
    return _on(door, door.structure, flat), code


def _on(door: Door, structure: Structure, flat: tuple[Tensor, ...]) -> Door:
    """The call with another structure's fields, or with fields of other sizes."""
    return replace(door, structure=structure, fields=tuple(map(door.shape, flat)), flat=flat)


def form_of(door: Door, code: LabelCode | None) -> Code | Form:
    """In what form a walk is to give structures: a code speaks of the potentials' parts, not of prepared ones."""
    return event_form(door) if code is None or door.structure.prepares else Code(code.fields, code.size)


def event_form(door: Door) -> Form:
    """In what form a walk is to give events. In a compiled graph how many entries there can be is not known."""
    restored = door.structure.prepares and door.structure.restores and not torch.compiler.is_compiling()
    return Form.ENTRIES if restored else Form.EVENTS


def result(door: Door, found: Sequence[Tensor], code: LabelCode | None, lead: tuple[int, ...]) -> Any:
    """What a walk found in the form `form_of`, as events `(*lead, *batch, ...)` like the potentials, or as labels."""
    form = form_of(door, code)
    if code is not None and isinstance(form, Code):
        return door.shape(code.labels(found[0]), lead)
    if form is Form.ENTRIES:
        back = door.structure.restore(tuple(found), door.sizes, door.batch)
        if back is not None and code is not None:
            return door.shape(code.write(back), lead)
        if back is not None:
            kind = door.fields[0].dtype
            return door.pack([door.shape(dense(u, s, kind), lead) for u, s in zip(back, door.events, strict=True)])
        found = [dense(used, tuple(f.shape[1:]), f.dtype) for used, f in zip(found, door.flat, strict=True)]
    if not door.structure.prepares:
        return door.pack([door.shape(e, lead) for e in found])
    fields = _through_prepare(door, found, lead)
    return door.pack(fields) if code is None else _labels_of(door, fields, code, lead)


def _labels_of(door: Door, events: list[Tensor], code: LabelCode, lead: tuple[int, ...]) -> Tensor:
    """Labels `(*lead, *batch, *shape)` of events: a code speaks of the potentials' parts, not of prepared ones."""
    count = math.prod(lead) * math.prod(door.batch)
    return door.shape(code.read(tuple(e.reshape(count, math.prod(s)) for e, s in zip(events, door.events))), lead)


def _through_prepare(door: Door, events: Sequence[Tensor], lead: tuple[int, ...]) -> list[Tensor]:
    """Events of the prepared fields, as events of the potentials: `prepare` backwards, linear in the parts used."""
    stacked = [e.reshape(math.prod(lead), *f.shape) for e, f in zip(events, door.flat, strict=True)]
    return [g.reshape(*lead, *f.shape) for g, f in zip(door.pull_back(stacked), door.fields, strict=True)]
