"""Memory that is used twice: what says so is checked against the table, and results without it are the same bits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import Code, Cpu, Eager, Job
from semiring_struct.executors.cpu import reuse
from semiring_struct.executors.cpu.encode import encode
from semiring_struct.executors.matrix import products
from semiring_struct.executors.operators import flat
from semiring_struct.inference.door import Door, open_door
from semiring_struct.ops import memory
from semiring_struct.programs import Program
from semiring_struct.programs.table import outer
from tests.executors.guarded import bits_of
from tests.programs.random_programs import potentials, programs
from tests.programs.unshipped import Nussinov
from tests.structures.families import (
    FAMILIES,
    Family,
    affine,
    alignment,
    chain,
    ctc,
    fields_of,
    grammar,
    heads,
    held,
    low_rank_grammar,
    neighbours,
    only,
    segments,
    spans,
    subset,
    warping,
)  # fmt: skip

pytest.importorskip("numba")
CPU, EAGER = Cpu(), Eager()
LARGE = (
    chain(11, 19), chain(40, 5), chain(12, 8), chain(12, 31), chain(5, 33), chain(4, 40), chain(11, 19, tied=True),
    chain(6, 33, tied=True), segments(14, 5, 6), segments(9, 3, 4, tied=True), spans(17), spans(9, 5), heads(13),
    heads(9, single_root=True), alignment(8, 17), alignment(7, 5, (7, 5), (1, 1), (1, 5)), affine(6, 9),
    affine(9, 6, local=True), warping(9, 7), held(15, 6), ctc(14, 4, (1, 2, 2, 3)), subset(12, 4), neighbours(12, 4),
    grammar(7, 5, 6), grammar(6, 9, 4, spans=True), low_rank_grammar(6, 4, 5, 6),
    Family("nussinov-11", Nussinov(), only, ((11, 11),), (11,), lambda *_: None),
)  # fmt: skip
SUMS = (ss.LogSemiring(), ss.MaxSemiring(), ss.SoftmaxSemiring(0.7))
OTHERS = (
    ss.SparsemaxSemiring(0.8), ss.EntmaxSemiring(1.5), ss.SampleSemiring(), ss.GumbelSoftmaxSemiring(0.7),
    ss.GumbelSoftmaxSemiring(0.7, hard=True),
)  # fmt: skip
SCALES, SHARES, KINDS = (0.1, 1.0, 30.0, 300.0, 1e4), (0.0, 0.2, 0.5), (torch.float32, torch.float64)
BATCHES = (1, 3, 4, 7, 8, 9, 17)
SEED = torch.tensor([3])


def overwritten_and_read(program: Program, over: tuple[bool, ...]) -> Iterator[str]:
    """The backward pass by lanes at the level of entries: what it reads that a slope has taken the place of.

    Rows come in reverse, and a tile reads before it writes; `over` are the fields whose slopes take such places.
    """
    gone = {i: np.zeros(int(np.prod(program.field_shapes[i])), dtype=bool) for i, taken in enumerate(over) if taken}
    for window in program.answer_windows:
        if window.buffer in gone:
            yield f"field {window.buffer} is read by the answer"
    for row in products(program):
        for window in row.windows:
            if window.buffer in gone:
                yield f"field {window.buffer} is read by a product"
    for block in reversed(program.blocks):
        for turn in reversed(range(block.count)):
            for row in reversed(block.rows):
                single = len(row.terms) == 1
                for factor in (f for t in row.terms for f in t.factors if f.buffer in gone):
                    places = factor.at(turn).addresses()
                    if single and outer(factor, len(row.out)):  # read for the cell, not for its alternatives
                        places = places[(..., *(0,) * len(row.terms[0].summed))]
                    names, taken = places.ravel(), gone[factor.buffer]
                    if taken[names].any() or len(np.unique(names)) < len(names):
                        yield f"field {factor.buffer}: an entry is read again"
                    taken[names] = True
    for field, taken in gone.items():
        if not taken.all():
            yield f"field {field}: an entry has no slope"


def program_of(family: Family) -> Program:
    return open_door(family.structure, family.draw((1,), seed=0)).program


@pytest.mark.parametrize("family", FAMILIES + LARGE, ids=str)
def test_slopes_take_the_place_of_what_is_not_read_again(family: Family):
    program = program_of(family)
    assert not [*overwritten_and_read(program, reuse.over_entries(program))]
    # and of nothing else: for any other field there is a reason
    for i, over in enumerate(reuse.over_entries(program)):
        assert over or [*overwritten_and_read(program, tuple(j == i for j in range(program.charts)))]
    with reuse.without():
        assert not any(reuse.over_entries(program))


@settings(max_examples=100)
@given(structure=programs, size=st.integers(2, 6))
def test_slopes_of_random_programs_take_the_place_of_what_is_not_read_again(structure: Any, size: int):
    program = open_door(structure, potentials(structure, size, 0)).program
    assert not [*overwritten_and_read(program, reuse.over_entries(program))]


def test_some_slopes_do_take_such_places():
    assert reuse.over_entries(program_of(chain(5, 4))) == (True, True)
    assert reuse.over_entries(program_of(chain(5, 4, tied=True))) == (True, False)
    assert reuse.over_entries(program_of(chain(5, 19, tied=True))) == (False, False)  # a product, of sides read anew
    assert reuse.over_entries(program_of(alignment(3, 4))) == (True, True, True)


def test_an_entry_that_is_read_again_is_found():
    program = program_of(chain(4, 3, tied=True))
    assert [*overwritten_and_read(program, (False, True))]
    assert [*overwritten_and_read(program_of(spans(4)), (True,))]


def job_of(door: Door, semiring: ss.Semiring) -> Job:
    assert semiring.reduction is not None
    return Job(door.program, semiring.reduction, [flat(f) for f in door.flat], door.lengths, 5)


def passes(door: Door, semirings: tuple[ss.Semiring, ...]) -> Iterator[Any]:
    """Whatever the machine computes of a total: both passes as two calls and as one, and the second order."""
    g = torch.Generator().manual_seed(1)
    for semiring in semirings:
        job = job_of(door, semiring)
        value, charts = CPU.total(job)
        seed = torch.randn(value.shape, dtype=torch.float64, generator=g)
        tangents = [torch.randn(f.shape, dtype=f.dtype, generator=g) for f in job.fields]
        yield [value, charts, CPU.gradient(job, charts, seed), CPU.total_and_gradient(job)]
        yield CPU.curvature(job, charts, seed, tangents)


def walks(door: Door) -> Iterator[Any]:
    """And of derivations: the best, the k best and draws, as entries, events and labels."""
    best, sums = job_of(door, SUMS[1]), job_of(door, SUMS[0])
    charts, weighed = CPU.total(best)[1], CPU.total(sums)[1]
    for paths in (CPU.best(best), CPU.draws(sums, weighed, SEED, 5), CPU.k_best(best, charts, 7)):
        yield [paths.feasible, paths.used, paths.key]
    yield CPU.best_events(best)
    code = door.structure.label_code(door.sizes)
    if code is None or door.structure.prepares:
        return
    full = door.structure.full_shapes(list(door.events))
    if all(f.shape[1:] == s for f, s in zip(door.flat, full, strict=True)):
        writes = Code(code.fields, code.size)
        yield [CPU.best_labels(best, writes), CPU.k_best_labels(best, charts, 7, writes)]
        yield [CPU.drawn_labels(sums, SEED, n, writes) for n in (1, 70)]


def same_without(door: Door, semirings: tuple[ss.Semiring, ...]) -> None:
    """All of it with places that are used twice and without, bit by bit."""

    def all_of_it() -> list[Any]:
        return [*bits_of([*passes(door, semirings), *walks(door)])]

    used = all_of_it()
    with reuse.without():
        fresh = all_of_it()
    assert used == fresh


def drawn(family: Family, scale: float, share: float, kind: torch.dtype, batch: int, seed: int = 0) -> Door:
    phi = family.draw((batch,), seed, forbidden=share, scale=scale)
    phi = family.kind(*(f.to(kind) for f in fields_of(phi)))
    return open_door(family.structure, phi, family.lengths(batch, seed) if seed % 3 else None)


@pytest.mark.parametrize("family", FAMILIES + LARGE, ids=str)
def test_results_are_the_same_bits_without_it(family: Family):
    """A draw of scale, share, dtype and batch for each family; all of them with the marker `exhaustive`."""
    draw = random.Random(str(family))
    kinds = KINDS if draw.random() < 0.5 else KINDS[::-1]
    for kind, batches in zip(kinds, (BATCHES[:2], BATCHES[2:]), strict=True):  # too few for lanes, and enough
        door = drawn(family, draw.choice(SCALES), draw.choice(SHARES), kind, draw.choice(batches), draw.randrange(99))
        same_without(door, (*SUMS, draw.choice(OTHERS)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("family", FAMILIES + LARGE, ids=str)
def test_all_results_are_the_same_bits_without_it(family: Family):
    for seed, how in enumerate(itertools.product(SCALES, SHARES, KINDS, BATCHES)):
        same_without(drawn(family, *how, seed), SUMS + OTHERS)


@settings(max_examples=40)
@given(structure=programs, size=st.integers(2, 6), seed=st.integers(0, 1000))
def test_random_programs_give_the_same_bits_without_it(structure: Any, size: int, seed: int):
    draw = random.Random(seed)
    pairs, scale, kind = draw.choice((1, 2, 5, 9)), draw.choice(SCALES), draw.choice(KINDS)
    made = [potentials(structure, size, seed + i) for i in range(pairs)]
    fields = (torch.cat(both) for both in zip(*made, strict=True))
    door = open_door(structure, type(made[0])(*((scale * f).to(kind) for f in fields)), torch.tensor([size, 1] * pairs))
    same_without(door, SUMS[:2])


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("scale", [1.0, 30.0, 100.0, 1e3, 1e4])
@pytest.mark.parametrize(
    "family", [chain(12, 3), chain(12, 8), chain(12, 31), alignment(8, 17), heads(9), segments(9, 3, 4)], ids=str
)
def test_gradients_of_large_potentials(family: Family, scale: float, share: float):
    """In single precision, by total and gradient as two calls and as one, beside the eager machine in double."""
    for batch in (4, 9):
        door = drawn(family, scale, share, torch.float32, batch)
        job = job_of(door, ss.LogSemiring())
        exact = replace(job, fields=[f.double() for f in job.fields])
        value, charts = EAGER.total(exact)
        seed = torch.ones_like(value)
        expected = EAGER.gradient(exact, charts, seed)
        for found in (CPU.gradient(job, CPU.total(job)[1], seed), CPU.total_and_gradient(job)[1]):
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a.double(), b, rtol=0, atol=2e-4)


def test_the_switch_is_put_back():
    def fail() -> None:
        assert not reuse.allowed() and memory.KEPT == 0
        raise ZeroDivisionError

    before = reuse.allowed(), memory.KEPT
    with pytest.raises(ZeroDivisionError), reuse.without():
        fail()
    assert (reuse.allowed(), memory.KEPT) == before and before[0]


def test_a_wrong_decision_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """Slopes in the place of what is read again: a tied transition, whose entries all positions read."""
    door = drawn(chain(6, 4, tied=True), 1.0, 0.0, torch.float64, 4)
    same_without(door, SUMS[:1])
    monkeypatch.setattr(reuse, "read_once", lambda program: (True,) * program.charts)
    encode.cache_clear()
    with pytest.raises(AssertionError):
        same_without(door, SUMS[:1])
    encode.cache_clear()


def slopes(door: Door) -> list[Tensor]:
    job = job_of(door, ss.LogSemiring())
    return CPU.gradient(job, *CPU.total(job)[::-1])


def test_calls_do_not_see_one_another():
    """Scratch goes from call to call: a call's result does not depend on the ones before it."""
    doors = [drawn(f, s, 0.2, k, b) for f in LARGE[:12] for s, k, b in ((1.0, KINDS[0], 9), (30.0, KINDS[1], 3))]
    alone = []
    for door in doors:
        memory.release()
        alone.append([*bits_of(slopes(door))])
    assert [[*bits_of(slopes(door))] for door in doors] == alone
