"""Log-probabilities of given events or labels, and whether an event is a structure at all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.inference.beside import open_with_event
from semiring_struct.inference.decode import event_form, event_score, result, topk
from semiring_struct.inference.door import Door, fit, open_door
from semiring_struct.inference.fields import are_labels
from semiring_struct.inference.oracles import LOG, best_found, meets, native_log_probs, used_score, wide_total
from semiring_struct.ops import NEG_INF, known_all, refuse_where
from semiring_struct.structures import Encoded, Structure, dense, on_device

SEARCH = 64  # derivations over the same parts that are compared with an event


def log_prob(structure: Structure, log_potentials: Any, event: Any, lengths: Any = None) -> Tensor:
    """Log-probability of an event, or of integer labels, `(*sample, *batch)`: `score - log_partition`.

    `-inf`, with gradient 0, for an event or labels that use a forbidden part or form no structure: labels of any value
    do, so one bad tree does not stop a batch. A wrong shape raises `ShapeError`, another dtype `TypeError`.
    Leading sample dims are kept. Where tied parts make several structures share an event, the value is
    that of each one. Differentiable twice in the potentials. Cost: a forward pass, and for events one more to see
    whether they are structures.
    """
    door = open_with_event(structure, log_potentials, lengths, event, "log_prob: event")
    coded = are_labels(event)
    if door.structure.offers("log_probs"):
        return _native_log_prob(door, event, coded).to(door.fields[0].dtype)
    if coded:
        value = _label_score(door, event)
    else:
        value = event_score(replace(door, fields=tuple(f.double() for f in door.fields)), event, "log_prob: event")
        value = torch.where(contains(door.structure, log_potentials, event, lengths), value, NEG_INF)
    log_z = wide_total(door, LOG)
    out = torch.where(value == NEG_INF, NEG_INF, value - torch.where(log_z == NEG_INF, 0.0, log_z))
    return out.to(door.fields[0].dtype)


def _label_score(door: Door, labels: Tensor) -> Tensor:
    """The score of labels `(*sample, *batch)` float64, from the entries they use: no dense event is built."""
    batch, found = _label_entries(door, labels)
    fields = [f.reshape(math.prod(door.batch), *s) for f, s in zip(door.fields, door.events, strict=True)]
    return _where_fine(used_score(fields, found.parts), found).reshape(batch)


def _where_fine(value: Tensor, found: Encoded) -> Tensor:
    """`value (paths,)` of labels, `-inf` for those that form no structure."""
    return value if found.bad is None else torch.where(found.bad, NEG_INF, value)


def _native_log_prob(door: Door, event: Any, coded: bool) -> Tensor:
    """The structure's own log-probability, `(*sample, *batch)` float64; `-inf` for no structure."""
    if coded:
        batch, found = _label_entries(door, event)
        return _where_fine(native_log_probs(door, found.parts), found).reshape(batch)
    given = _whole(door, door.event(event, "log_prob: event"))
    batch = tuple(given[0].shape[: given[0].dim() - len(door.events[0])])
    flat = [g.reshape(math.prod(batch), math.prod(shape)) for g, shape in zip(given, door.events, strict=True)]
    most = getattr(door.structure.label_code(door.sizes), "size", max(f.shape[1] for f in flat))
    used = [_entries(f, most) for f in flat]
    back = [dense(u, (f.shape[1],), f.dtype) for u, f in zip(used, flat, strict=True)]
    same = torch.stack([(b == f).all(1) for b, f in zip(back, flat, strict=True)]).all(0)
    return torch.where(same, native_log_probs(door, used), NEG_INF).reshape(batch)


def _entries(event: Tensor, most: int) -> Tensor:
    """The first `most` entries that each event `(paths, parts)` uses, ascending, -1 for none."""
    order = (event > 0).to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    return torch.where(event.gather(1, order) > 0, order, -1)


def _label_entries(door: Door, labels: Tensor) -> tuple[tuple[int, ...], Encoded]:
    """The batch dims `(*sample, *batch)` of labels, and the entries that they use."""
    labels = on_device("labels", labels, door.lengths.device)
    rank = labels.dim() - len(door.structure.label_batch(labels, door.sizes))
    labels = _over_batch(labels, door, rank)
    batch, bounds = tuple(labels.shape[: labels.dim() - rank]), door.lengths
    if batch != door.batch:
        sides = bounds.shape[1]
        bounds = bounds.reshape(*door.batch, sides).expand(*batch, sides).reshape(math.prod(batch), sides)
    return batch, door.structure.label_parts(labels, door.sizes, door.events, bounds)


def _over_batch(given: Tensor, door: Door, rank: int) -> Tensor:
    """An event's field or labels, with `rank` trailing dims of their own, expanded to the batch dims of the call."""
    cut = max(given.dim() - rank, 0)
    if not fit(given.shape[:cut], door.batch):
        raise ShapeError(f"labels need shape (*sample, *batch, ...), batch {door.batch}; got {tuple(given.shape)}")
    if tuple(given.shape[:cut]) == door.batch:
        return given  # `broadcast_shapes` takes longer
    return given.expand((*torch.broadcast_shapes(given.shape[:cut], door.batch), *given.shape[cut:]))


def _spread(door: Door, batch: tuple[int, ...]) -> Any:
    """The call's lengths for a batch that may have leading sample dims."""
    columns = tuple(c.reshape(door.batch).expand(batch) for c in door.lengths.unbind(-1))
    return (columns[0] if len(columns) == 1 else columns) if columns else None


def contains(structure: Structure, log_potentials: Any, event: Any, lengths: Any = None) -> Tensor:
    """Whether an event is a structure, forbidden or not, `(*sample, *batch)` bool; the potentials give the shapes only.

    The event may be given as integer labels, which are read and compared with nothing: the rest is about events.
    Decides by decoding with only the event's own parts allowed, and by `counts_fit` where the untied parts leave the
    counts of the tied ones open. Where every field is tied an event does not pin down a structure, and any event whose
    parts allow one is accepted. A structure that may use a part more than once can have several derivations over the
    event's parts, with other counts: there the first `SEARCH` ones are compared, and `ValueError` is raised where a
    structure with declared shapes has more of them and none is the event.
    Cost: a forward pass of maxima and a walk.
    """
    door = open_with_event(structure, log_potentials, lengths, event, "contains: event")
    if are_labels(event):
        batch, found = _label_entries(door, event)
        fine = torch.ones(math.prod(batch), dtype=torch.bool, device=door.lengths.device)
        return (fine if found.bad is None else ~found.bad).reshape(batch)
    given = _whole(door, door.event(event, "contains: event"))
    tied = _tied(door)
    # the structure with most untied parts is the event itself; how often tied parts are used follows from those
    weights = [0.0 if t else 1.0 for t in tied]
    allowed = [torch.where(e > 0, w, NEG_INF).to(e.dtype) for e, w in zip(given, weights, strict=True)]
    within = _spread(door, tuple(given[0].shape[: given[0].dim() - len(door.events[0])]))
    with torch.no_grad():
        inner = open_door(door.structure, door.pack(allowed), within)
        alive, best = best_found(inner, event_form(inner))
        feasible = alive.reshape(inner.batch)
        found = inner.unpack(result(inner, best, None, (1,)), "event")
        same = _equal(inner, found, given) & feasible
        if any(tied) and (fit := _counts_fit(inner, given)) is not None:
            settled = [f if not t else g.unsqueeze(0) for f, g, t in zip(found, given, tied, strict=True)]
            same = _equal(inner, tuple(settled), given) & feasible & fit
        several = not door.structure.uses_parts_once and not all(tied) and meets(door.structure, "k_best")
        if several and not known_all(~feasible | same):
            more = topk(inner.structure, inner.pack(inner.fields), SEARCH, within)
            same = _equal(inner, inner.unpack(more.events, "event"), given) & feasible
            if door.structure.declaration is not None:
                refuse_where(
                    feasible & more.valid[-1] & ~same,
                    f"{type(door.structure).__name__}: more than {SEARCH} structures use only parts of this event, and "
                    "the first are others, so that its counts do not settle it; give labels, or a field over places",
                )
    return (feasible if all(tied) else same) & _counts(given, inner)


def _counts_fit(door: Door, given: list[Tensor]) -> Tensor | None:
    """What the structure says of the counts of tied parts, `(*batch,)`."""
    flat = tuple(g.reshape(math.prod(door.batch), *shape) for g, shape in zip(given, door.events, strict=True))
    fit = door.structure.counts_fit(flat, door.lengths)
    return None if fit is None else door.shape(fit)


def _equal(door: Door, found: tuple[Tensor, ...], given: list[Tensor]) -> Tensor:
    """Whether any of the events found `(k, *batch, ...)` is the given one, `(*batch,)`."""
    same = torch.ones((len(found[0]), *door.batch), dtype=torch.bool, device=given[0].device)
    for mine, theirs, shape in zip(found, given, door.events, strict=True):
        equal = mine == theirs
        same = same & (equal.flatten(-len(shape)).all(-1) if shape else equal)
    return same.any(0)


def _whole(door: Door, events: tuple[Tensor, ...]) -> list[Tensor]:
    """The event's fields with all batch dims, its own leading ones included."""
    leads = [e.shape[: e.dim() - len(shape)] for e, shape in zip(events, door.events, strict=True)]
    batch = torch.broadcast_shapes(door.batch, *leads)
    kind = door.fields[0].dtype
    return [e.detach().to(kind).expand((*batch, *shape)) for e, shape in zip(events, door.events, strict=True)]


def _counts(given: list[Tensor], inner: Door) -> Tensor:
    """No entry below 0: a negative entry is no count."""
    ok = torch.ones(inner.batch, dtype=torch.bool, device=given[0].device)
    for e, shape in zip(given, inner.events, strict=True):
        ok = ok & ((e >= 0).flatten(-len(shape)).all(-1) if shape else e >= 0)
    return ok


def _tied(door: Door) -> list[bool]:
    """Which fields are stored smaller than declared, so that their events are counts."""
    full = door.structure.full_shapes(list(door.events))
    return [have != want for have, want in zip(door.events, full, strict=True)]
