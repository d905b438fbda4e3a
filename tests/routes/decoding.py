"""Routes to whole structures: the best, three best, draws, each dense and as labels.

An event must be one: its score is the one reported, the labels that it has give it back, and the structure refuses
labels that form no structure. An enumerated event must be among those listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from tests.routes.runs import Checks, Run
from tests.routes.truth import BEST, Truth
from tests.structures.families import NEG_INF, fields_of

DRAWS = 3


@dataclass(frozen=True)
class Alive:
    """The instances of a run that have a structure, in the layout of the case where all have."""

    run: Run
    structure: Any
    fields: tuple[Tensor, ...]
    sides: tuple[Tensor, ...]
    batch: tuple[int, ...]
    chosen: Tensor
    truth: Truth

    def call(self, query: Callable[..., Any], *args: Any, **how: Any) -> Any:
        return query(self.structure, self.run.case.model.kind(*self.fields), *args, **how, **self.lengths())

    def lengths(self, *lead: int) -> dict[str, Any]:
        """The keyword that gives lengths, for a batch with leading sample dims."""
        if self.run.case.lengths is None:
            return {}
        first, *others = (s.expand((*lead, *s.shape)) for s in self.sides)
        return {"lengths": (first, *others) if others else first}

    @property
    def near_score(self) -> Tensor:
        return self.run.near_score[self.chosen]

    def whole(self) -> tuple[Tensor, ...]:
        """The potentials `(instances, *shape)` in float64."""
        return tuple(f[self.chosen] for f in self.run.case.whole(self.run.case.fields))

    def events(self, labels: Tensor, *lead: int) -> tuple[Tensor, ...]:
        """The events of labels; the structure refuses labels that form none."""
        model = self.run.case.model
        like = model.kind(*(torch.zeros(shape, dtype=torch.float64) for shape in model.shapes))
        return fields_of(self.structure.from_labels(labels, like, **self.lengths(*lead)))

    def labels(self, events: Any, *lead: int) -> Tensor:
        return self.structure.to_labels(events, **self.lengths(*lead))


def _alive(run: Run) -> Alive | None:
    """None where no instance has a structure; that the queries refuse the whole is checked on the way."""
    case, alive = run.case, run.truth.best > NEG_INF
    if bool(alive.all()):
        sides = () if case.lengths is None else fields_of(case.lengths)
        return Alive(run, case.structure, case.fields, sides, case.batch, torch.arange(case.count), run.truth)
    for query in (ss.argmax, ss.sample):
        try:
            run.call(query, case.phi)
        except ss.InfeasibleError:
            continue
        raise AssertionError(f"{query.__name__} found structures for {case}, where {alive.tolist()} have one")
    chosen = alive.nonzero().flatten()
    if not len(chosen):
        return None
    fields = tuple(f[chosen].to(case.dtype) for f in case.whole(case.fields))
    structure = case.model.build(*(r[chosen] for r in case.rows))
    sides = tuple(side[chosen] for side in case.bounds)
    return Alive(run, structure, fields, sides, (len(chosen),), chosen, run.truth.rows(chosen))


def scores(phi: tuple[Tensor, ...], events: Any, right: Tensor, tolerance: Tensor) -> Checks:
    """Events `(*lead, *batch, ...)` of whole numbers whose scores are `right (*lead, instances)`."""
    total = torch.zeros_like(right)
    for event, field in zip(fields_of(events), phi, strict=True):
        e = event.double().reshape(*right.shape, *field.shape[1:])
        yield e, e.round().clamp_min(0.0), torch.zeros_like(e)
        terms = torch.where(e == 0, 0.0, e * torch.where(e == 0, 0.0, field))
        total = total + (terms.flatten(right.dim()).sum(-1) if terms.dim() > right.dim() else terms)
    yield total, right, tolerance.expand(right.shape)


def _equal(found: Any, right: Any) -> Checks:
    for f, r in zip(fields_of(found), fields_of(right), strict=True):
        yield f.double().reshape(r.shape), r.double(), torch.zeros_like(r, dtype=torch.float64)


def _structures(alive: Alive, events: Any, *lead: int) -> Checks:
    """Whether events `(*lead, *batch, ...)` are structures, as far as this can be told without running a program."""
    model = alive.run.case.model
    if model.labelled and model.told:
        yield from _equal(alive.events(alive.labels(events, *lead), *lead), events)
    if model.events is None:
        return
    flat = torch.cat([e.double().reshape(*lead, len(alive.chosen), -1) for e in fields_of(events)], -1)
    for b, instance in enumerate(alive.chosen.tolist()):
        listed = model.listed(tuple(int(side[instance]) for side in alive.run.case.bounds))
        every = torch.cat([e.flatten(1) for e in listed], 1)
        known = (flat.select(-2, b).unsqueeze(-2) == every).all(-1).any(-1).double()
        yield known, torch.ones_like(known), torch.zeros_like(known)


def argmax(run: Run) -> Checks:
    """One best event, the first of tied ones."""
    if (alive := _alive(run)) is None:
        return
    event = alive.call(ss.argmax)
    yield from scores(alive.whole(), event, alive.truth.best, alive.near_score)
    yield from _structures(alive, event)
    if run.case.tied and alive.truth.first is not None and not alive.truth.first[0].isnan().any():
        yield from _equal(event, alive.truth.first)


def argmax_labels(run: Run) -> Checks:
    if not run.case.model.labelled or (alive := _alive(run)) is None:
        return
    labels = alive.call(ss.argmax, labels=True)
    yield from scores(alive.whole(), alive.events(labels), alive.truth.best, alive.near_score)


def topk(run: Run) -> Checks:
    """Three best events: their scores are right, each event has its score, no two are the same, the rest is blank."""
    found = run.call(ss.topk, run.case.phi, BEST)
    top = run.truth.top.movedim(-1, 0)
    yield from _ranked(run, found, top)
    valid = top > NEG_INF
    phi = run.case.whole(run.case.fields)
    yield from scores(phi, found.events, torch.where(valid, top, 0.0), run.near_score)
    if run.case.model.told:
        flat = [e.reshape(BEST, run.case.count, -1) if e.numel() else e.new_zeros(BEST, run.case.count, 0)
                for e in fields_of(found.events)]  # fmt: skip
        yield from _distinct(torch.cat(flat, -1), valid)


def topk_labels(run: Run) -> Checks:
    """The same as labels; blanks hold -1."""
    if not run.case.model.labelled:
        return
    found = run.call(ss.topk, run.case.phi, BEST, labels=True)
    top = run.truth.top.movedim(-1, 0)
    yield from _ranked(run, found, top)
    valid = top > NEG_INF
    labels = found.events.reshape(BEST, run.case.count, -1)
    yield from _distinct(labels, valid)
    blanks = labels.masked_fill(valid[..., None], -1)
    yield from _equal(blanks, torch.full_like(blanks, -1))
    for rank in range(BEST):
        chosen = valid[rank].nonzero().flatten()
        if len(chosen):
            case, shape = run.case, found.events.shape[1 + len(run.case.batch) :]
            some = Alive(
                run, case.model.build(*(r[chosen] for r in case.rows)), (), tuple(s[chosen] for s in case.bounds),
                (len(chosen),), chosen, run.truth.rows(chosen),
            )  # fmt: skip
            events = some.events(labels[rank, chosen].reshape(len(chosen), *shape))
            yield from scores(some.whole(), events, top[rank, chosen], run.near_score[chosen])


def _ranked(run: Run, found: ss.TopK, top: Tensor) -> Checks:
    rounding = run.eps * torch.where(top.isfinite(), top.abs(), 0.0)
    yield found.scores.double().reshape(top.shape), top, rounding + run.near_score
    yield from _equal(found.valid, top > NEG_INF)


def _distinct(rows: Tensor, valid: Tensor) -> Checks:
    """No two of the valid ones `(k, instances, ...)` are the same."""
    for i in range(len(rows)):
        for j in range(i):
            same = ((rows[i] == rows[j]).all(-1) & valid[i] & valid[j]).double()
            yield same, torch.zeros_like(same), torch.zeros_like(same)


def draws(run: Run) -> Checks:
    """Each draw is a structure of finite score; one seed gives one result, whatever the form and the threads."""
    if (alive := _alive(run)) is None:
        return

    def drawn(**how: Any) -> Any:
        return alive.call(ss.sample, (DRAWS,), generator=torch.Generator().manual_seed(run.case.seed), **how)

    events = drawn()
    yield from _feasible(alive, events)
    yield from _structures(alive, events, DRAWS)
    if run.case.model.labelled:
        labels = drawn(labels=True)
        yield from _equal(alive.events(labels, DRAWS), events)
    if run.case.threads > 1:
        torch.set_num_threads(1)
        yield from _equal(drawn(), events)


def _feasible(alive: Alive, events: Any) -> Checks:
    """No draw uses a forbidden part, and none is better than the best."""
    total = torch.zeros(DRAWS, len(alive.chosen), dtype=torch.float64)
    for event, field in zip(fields_of(events), alive.whole(), strict=True):
        e = event.double().reshape(DRAWS, *field.shape)
        yield e, e.round().clamp_min(0.0), torch.zeros_like(e)
        total = total + torch.where(e == 0, 0.0, e * torch.where(e == 0, 0.0, field)).flatten(2).sum(-1)
    best = alive.truth.best.expand(total.shape)
    yield total.clamp_min(best), best, alive.near_score.expand(total.shape)
    ok = total.isfinite().double()
    yield ok, torch.ones_like(ok), torch.zeros_like(ok)
