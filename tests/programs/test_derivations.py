"""The table cell by cell: how many cells a walk visits at most, counted one alternative after another."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import semiring_struct as ss
from semiring_struct.inference.door import open_door
from semiring_struct.programs import Program
from semiring_struct.programs.derivations import NONE, derivations, place
from tests.programs.random_programs import potentials, programs
from tests.structures.families import FAMILIES, Family, alignment, chain, heads, segments, spans, subset

COPIES = tuple(subset(n, 0, at_most) for n in (1, 5, 8, 20) for at_most in (False, True))
LARGER = (chain(20, 3), spans(8), heads(7), segments(9, 3, 2), alignment(4, 6), subset(12, 4))


def visited(program: Program) -> int:
    """The most cells of any derivation at any lengths, as a walk goes from the answer to what it reads."""
    d = derivations(program)

    @cache
    def cells(x: int) -> float:
        """Those of the largest derivation of a cell, itself included."""
        return 1 + best(x, d.base[x])

    def best(x: int, base: np.ndarray) -> float:
        most = -np.inf
        for a in range(d.first[x], d.first[x] + d.count[x]):
            read = [q for q in range(d.chart_slots) if base[d.term[a], q] != NONE]
            most = max(most, sum((cells(int(d.alias[base[d.term[a], q] + d.move[a, q]])) for q in read), 0.0))
        return most

    found = 0.0
    for lengths in itertools.product(*(range(n + 1) for n in program.default_lengths)):
        if any(n < least for n, least in zip(lengths, program.bound_shift, strict=True)):
            continue
        base = d.base[d.cells].copy()
        for i, term in enumerate(program.answer.terms):
            for q, window in place(term, d.slots).items():
                base[i, q] += sum(lengths[side] * stride for side, _, stride in window.per_length)
        found = max(found, best(d.cells, base))
    return 1 + int(found)


def program_of(structure: Any, phi: Any) -> Program:
    return open_door(structure, phi).program


@pytest.mark.parametrize("family", FAMILIES + LARGER + COPIES, ids=str)
def test_as_many_cells_as_the_largest_derivation_visits(family: Family):
    program = program_of(family.structure, family.draw((1,), seed=0))
    assert derivations(program).longest == visited(program)


@settings(max_examples=60)
@given(structure=programs, size=st.integers(2, 5))
def test_random_programs(structure: Any, size: int):
    program = program_of(structure, potentials(structure, size, 0))
    assert derivations(program).longest == visited(program)


class Copied(ss.DynamicProgram):
    """One choice, copied over and over."""

    event_dim = 1

    def inside(self, p, item):
        n = item.shape[0]
        chart = p.chart(n + 1)
        chart[0] = item.sum()
        for i in range(n):
            chart[i + 1] = chart[i]
        return chart[p.length]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 33])
def test_copies_of_copies_are_not_visited(n: int):
    program = program_of(Copied(), torch.zeros(1, n))
    d = derivations(program)
    assert d.longest == visited(program) == 2
    assert set(d.alias[:-1].tolist()) == {int(d.alias[0])}
