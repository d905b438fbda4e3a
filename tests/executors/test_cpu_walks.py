"""Compiled walks beside the eager machine's: the same best derivations, the k best, the same draws from a seed."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import Code, operators
from semiring_struct.executors.eager.machine import Eager
from semiring_struct.executors.machine import Job, Machine, Paths
from semiring_struct.inference.door import Door, open_door
from semiring_struct.ops import counted, tally
from tests.programs.random_programs import potentials, programs
from tests.structures.families import FAMILIES, Family, alignment, chain, heads, segments, spans

pytest.importorskip("numba")
walks = pytest.importorskip("semiring_struct.executors.cpu.walks")
cells = pytest.importorskip("semiring_struct.executors.cpu.cells")
Cpu = pytest.importorskip("semiring_struct.executors.cpu.machine").Cpu

LARGER = (chain(30, 4), chain(30, 4, tied=True), segments(15, 4, 3), spans(9), spans(5, 2), heads(8), alignment(7, 9))
every_family = pytest.mark.parametrize("family", FAMILIES + LARGER, ids=str)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
LOG, MAX = ss.LogSemiring().reduction, ss.MaxSemiring().reduction
SEED = torch.tensor([3])


def started(door: Door, reduction: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Job, Tensor]:
    """The eager machine's forward pass, for walks of either machine to start from."""
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "eager")
    return operators.forward(list(door.flat), door.lengths, door.structure.handle, door.full, reduction)


def asked(door: Door) -> Job:
    """The job of maxima."""
    return operators.started(list(door.flat), door.lengths, door.structure.handle, door.full, MAX)[1]


def drawn(family: Family, batch: int, dtype: torch.dtype, scale: float = 1.0) -> Door:
    phi = family.draw((batch,), seed=4, forbidden=0.1, scale=scale)
    fields = phi if isinstance(phi, tuple) else (phi,)
    phi = family.kind(*(f.to(dtype) for f in fields))
    return open_door(family.structure, phi, family.lengths(batch, seed=4) if batch else None)


def same(one: Any, other: Any, fields: int) -> None:
    assert torch.equal(one.feasible, other.feasible)
    for a, b in zip(one.parts(fields), other.parts(fields), strict=True):
        assert torch.equal(a, b)


def same_ranks(one: Paths, other: Paths, k: int, fields: int) -> None:
    """The same scores, and derivations that are the same up to the order of tied ones and those tied with the last."""
    assert torch.equal(one.feasible, other.feasible)
    torch.testing.assert_close(one.ranked(), other.ranked(), rtol=0, atol=1e-9)
    keys = other.ranked().reshape(k, -1)
    for b, column in enumerate(keys.unbind(1)):
        last = column[-1] + 1e-6 if column[-1] > -torch.inf else -torch.inf
        listed = [torch.cat(x.parts(fields), 1).reshape(k, keys.shape[1], -1)[column > last, b] for x in (one, other)]
        for a, c in zip(*(x.unique(dim=0, return_counts=True) for x in listed), strict=True):
            assert torch.equal(a, c)


@every_dtype
@every_family
@pytest.mark.parametrize("k", [1, 3, 70])
def test_the_k_best(family: Family, dtype: torch.dtype, k: int, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 5, dtype)
    machine, job, charts = started(door, MAX, monkeypatch)
    ranked = walks.k_best(job, charts, k)
    same_ranks(ranked, machine.k_best(job, charts, k), k, len(door.flat))
    best = Cpu().best(asked(door))
    for used, first in zip(ranked.used, best.used, strict=True):
        assert torch.equal(used[:5], first)


@every_family
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_the_k_best_of_tied_ones(family: Family, level: float, monkeypatch: pytest.MonkeyPatch):
    phi = family.draw((2,), seed=0)
    whole = family.kind(*((level * f).round() for f in (phi if isinstance(phi, tuple) else (phi,))))
    door = open_door(family.structure, whole)
    machine, job, charts = started(door, MAX, monkeypatch)
    for k in (9, 200):
        same_ranks(walks.k_best(job, charts, k), machine.k_best(job, charts, k), k, len(door.flat))


def test_the_k_best_of_those_that_rounding_ties(monkeypatch: pytest.MonkeyPatch):
    phi = torch.arange(500, dtype=torch.float64)
    phi[-1] = 1e19
    door = open_door(ss.OneOf(), phi[None])
    machine, job, charts = started(door, MAX, monkeypatch)
    for k in (5, 500):
        ranked = walks.k_best(job, charts, k)
        same_ranks(ranked, machine.k_best(job, charts, k), k, 1)
        assert ranked.feasible.all()


@pytest.mark.parametrize("family", LARGER, ids=str)
def test_few_of_the_k_best_are_the_first_of_many(family: Family, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 3, torch.float64)
    _, job, charts = started(door, MAX, monkeypatch)
    few, many = (walks.k_best(job, charts, k) for k in (4, 50))
    assert torch.equal(few.ranked(), many.ranked()[:12])
    assert all(torch.equal(a, b[:12]) for a, b in zip(few.used, many.used, strict=True))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    same(walks.k_best(job, charts, 50), many, len(door.flat))


@pytest.mark.parametrize("family", LARGER, ids=str)
def test_the_k_best_of_no_instances(family: Family, monkeypatch: pytest.MonkeyPatch):
    door = open_door(family.structure, family.draw((0,), seed=0))
    machine, job, charts = started(door, MAX, monkeypatch)
    same(walks.k_best(job, charts, 3), machine.k_best(job, charts, 3), len(door.flat))


class Threes(ss.DynamicProgram):
    """Trees of three children each: alternatives that read three cells, some of them the same one twice."""

    event_dim = (1,)

    def inside(self, p, weight):
        n = weight.shape[0]
        chart = p.chart(n)
        chart[0] = weight[0]
        for i in range(1, n):
            value = chart[i - 1] * chart[i // 2] * chart[0] * weight[i]
            chart[i] = value + chart[i - 1] * chart[i - 1] + weight[i]
        return chart[n - 1] * chart[n // 2] * chart[n // 3]


@pytest.mark.parametrize("whole", [False, True])
def test_the_k_best_where_alternatives_read_several_cells(whole: bool, monkeypatch: pytest.MonkeyPatch):
    phi = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    door = open_door(Threes(), phi.round() if whole else phi)
    machine, job, charts = started(door, MAX, monkeypatch)
    for k in (5, 100):
        same_ranks(walks.k_best(job, charts, k), machine.k_best(job, charts, k), k, 1)


@every_dtype
@every_family
@pytest.mark.parametrize("batch", [0, 3, 9])
def test_the_best(family: Family, dtype: torch.dtype, batch: int):
    door = drawn(family, batch, dtype)
    same(Cpu().best(asked(door)), Eager().best(asked(door)), len(door.flat))


@every_family
@pytest.mark.parametrize("batch", [2, 5])
def test_ties_go_to_the_first(family: Family, batch: int):
    phi = family.draw((batch,), seed=0)
    level = family.kind(*(torch.zeros_like(f) for f in (phi if isinstance(phi, tuple) else (phi,))))
    door = open_door(family.structure, level)
    same(Cpu().best(asked(door)), Eager().best(asked(door)), len(door.flat))


@pytest.mark.parametrize("family", LARGER, ids=str)
def test_threads_share_a_batch(family: Family, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 40, torch.float32)
    alone = Cpu().best(asked(door))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    same(Cpu().best(asked(door)), alone, len(door.flat))


@every_family
@pytest.mark.parametrize("samples", [0, 1, 70])
def test_draws(family: Family, samples: int, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 3, torch.float64)
    machine, job, charts = started(door, LOG, monkeypatch)
    same(walks.draws(job, charts, SEED, samples), machine.draws(job, charts, SEED, samples), len(door.flat))


@pytest.mark.parametrize("family", LARGER, ids=str)
def test_draws_whose_choices_are_not_kept(family: Family, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 2, torch.float64)
    _, job, charts = started(door, LOG, monkeypatch)
    kept = walks.draws(job, charts, SEED, 20)
    monkeypatch.setattr(walks, "TABLE_BYTES", 0)
    same(walks.draws(job, charts, SEED, 20), kept, len(door.flat))


@every_dtype
@every_family
@pytest.mark.parametrize("batch", [3, 11])
def test_the_best_as_an_event(family: Family, dtype: torch.dtype, batch: int):
    door = drawn(family, batch, dtype)
    job = asked(door)
    best, (feasible, events) = Eager().best(job), Cpu().best_events(job)
    assert torch.equal(feasible, best.feasible)
    for event, used, field in zip(events, best.parts(len(door.flat)), job.fields, strict=True):
        assert event.dtype == dtype and torch.equal(event, counted(used, field.shape[1], dtype))


@pytest.mark.parametrize("batch", [3, 11])
@pytest.mark.parametrize("family", [chain(30, 4), chain(9, 40), segments(15, 4, 3), heads(8)], ids=str)
def test_the_first_of_tied_ones_whether_picks_are_noted_or_not(
    family: Family, batch: int, monkeypatch: pytest.MonkeyPatch
):
    phi = family.draw((batch,), seed=4, forbidden=0.2)
    fields = phi if isinstance(phi, tuple) else (phi,)
    phi = family.kind(*(f.round() for f in fields))
    door = open_door(family.structure, phi, family.lengths(batch, seed=4))
    noted = Cpu().best(asked(door))
    same(noted, Eager().best(asked(door)), len(door.flat))
    monkeypatch.setattr(cells, "NOTED", 0)
    same(Cpu().best(asked(door)), noted, len(door.flat))


@every_dtype
@every_family
def test_labels(family: Family, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 3, dtype)
    code = door.structure.label_code(door.sizes)
    untied = zip(door.flat, door.structure.full_shapes(list(door.events)))
    if code is None or door.structure.prepares or any(f.shape[1:] != s for f, s in untied):
        pytest.skip("labels are read from untied, unprepared parts")
    writes = Code(code.fields, code.size)
    machine, job, charts = started(door, MAX, monkeypatch)
    paths = walks.k_best(job, charts, 9)
    scores, labels = walks.k_best_labels(job, charts, 9, writes)
    assert torch.equal(scores, paths.ranked())
    assert torch.equal(labels, tally(paths.parts(len(door.flat)), writes.fields, writes.width))
    machine, job, charts = started(door, LOG, monkeypatch)
    for found, other in (
        (Cpu().best_labels(asked(door), writes), Eager().best_labels(asked(door), writes)),
        (Cpu().drawn_labels(job, SEED, 20, writes), machine.drawn_labels(job, SEED, 20, writes)),
    ):
        assert all(torch.equal(a, b) for a, b in zip(found, other, strict=True))


def test_what_draws_read_is_alive_while_they_run(monkeypatch: pytest.MonkeyPatch):
    """A cache may drop what it has returned: another thread's result, or a later one, takes its place."""
    made: list[weakref.ref] = []

    def uncached(build: Any) -> Any:
        def built(*args: Any) -> Any:
            result = build.__wrapped__(*args)
            made.append(weakref.ref(result))
            return result

        return built

    def run(*args: Any) -> None:
        assert len(made) == 2 and all(one() is not None for one in made)
        hop_draws(*args)

    hop_draws, door = walks.hop_draws, drawn(chain(20, 3), 2, torch.float32)
    for name in ("encode", "edges_of"):
        monkeypatch.setattr(walks, name, uncached(getattr(walks, name)))
    monkeypatch.setattr(walks, "hop_draws", run)
    _, job, _charts = started(door, LOG, monkeypatch)
    code = door.structure.label_code(door.sizes)
    assert code is not None
    assert Cpu().drawn_labels(job, SEED, 300, Code(code.fields, code.size))[0].shape == (600,)


@pytest.mark.parametrize("samples", [1, 255, walks.CROWD + 3])
@pytest.mark.parametrize(
    "family", [chain(30, 4), chain(5, 19), chain(3, 40, tied=True), segments(15, 4, 3), alignment(7, 9)], ids=str
)
def test_labels_of_many_draws(family: Family, samples: int, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 3, torch.float64)
    code = door.structure.label_code(door.sizes)
    assert code is not None
    writes = Code(code.fields, code.size)
    machine, job, _charts = started(door, LOG, monkeypatch)
    found = Cpu().drawn_labels(job, SEED, samples, writes)
    other = machine.drawn_labels(job, SEED, samples, writes)
    assert all(torch.equal(a, b) for a, b in zip(found, other, strict=True))


@pytest.mark.parametrize("family", LARGER, ids=str)
def test_large_potentials(family: Family, monkeypatch: pytest.MonkeyPatch):
    door = drawn(family, 3, torch.float32, scale=1e4)
    machine, job, charts = started(door, LOG, monkeypatch)
    same(walks.draws(job, charts, SEED, 20), machine.draws(job, charts, SEED, 20), len(door.flat))


def test_threads_share_an_instance(monkeypatch: pytest.MonkeyPatch):
    door = drawn(chain(20, 3), 1, torch.float64)
    _, job, charts = started(door, LOG, monkeypatch)
    alone = walks.draws(job, charts, SEED, 1001)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    same(walks.draws(job, charts, SEED, 1001), alone, 2)


@pytest.mark.parametrize("batch", [1, 2])
def test_threads_share_the_labels_of_an_instance(batch: int, monkeypatch: pytest.MonkeyPatch):
    door = drawn(chain(20, 3), batch, torch.float32)
    _, job, _charts = started(door, LOG, monkeypatch)
    code = door.structure.label_code(door.sizes)
    assert code is not None
    alone = Cpu().drawn_labels(job, SEED, 1001, Code(code.fields, code.size))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    shared = Cpu().drawn_labels(job, SEED, 1001, Code(code.fields, code.size))
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_an_instance_without_structures_is_marked_and_leaves_others_alone(monkeypatch: pytest.MonkeyPatch):
    phi = chain(4, 3).draw((3,), seed=0)
    phi.emission[1, 2] = -torch.inf
    door = open_door(ss.LinearChain(), phi)
    _, job, charts = started(door, LOG, monkeypatch)
    for paths in (Cpu().best(asked(door)), walks.draws(job, charts, SEED, 1)):
        assert paths.feasible.tolist() == [True, False, True]
    _, job, charts = started(door, MAX, monkeypatch)
    ranked = walks.k_best(job, charts, 2)
    assert ranked.feasible.tolist() == [True, False, True] * 2
    assert all((used[1::3] == -1).all() for used in ranked.used)
    code = door.structure.label_code(door.sizes)
    assert code is not None
    feasible, labels = Cpu().drawn_labels(job, SEED, 2, Code(code.fields, code.size))
    assert feasible.tolist() == [True, False, True] * 2
    assert (labels >= 0).all(1).tolist() == [True, False, True] * 2


@settings(max_examples=60)
@given(structure=programs, size=st.integers(2, 5), seed=st.integers(0, 100))
def test_random_programs(structure: Any, size: int, seed: int):
    with pytest.MonkeyPatch.context() as patch:
        phi = potentials(structure, size, seed)
        whole = open_door(structure, type(phi)(*(f.round() for f in phi)))  # sums of these are exact, and often tied
        same(Cpu().best(asked(whole)), Eager().best(asked(whole)), 2)
        door = open_door(structure, phi)
        machine, job, charts = started(door, MAX, patch)
        for k in (4, 60):
            same_ranks(walks.k_best(job, charts, k), machine.k_best(job, charts, k), k, 2)
        machine, job, charts = started(door, LOG, patch)
        same(walks.draws(job, charts, SEED, 9), machine.draws(job, charts, SEED, 9), 2)
