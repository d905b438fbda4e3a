"""What a program prints: every index exists, and is that of the cell that the table names."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import torch
from hypothesis import given, settings

import semiring_struct as ss
from semiring_struct.programs import Program, Window
from semiring_struct.programs import printer as printed
from semiring_struct.testing._scalar import place
from tests.programs.random_programs import potentials, programs
from tests.structures.families import FAMILIES, Family

FACTOR = re.compile(r"(\d)(?=[a-z])")


def value(text: str, names: dict[str, int]) -> int:
    """An index expression such as `-2i+t+3`."""
    return eval(FACTOR.sub(r"\1*", text), {"__builtins__": {}}, names)


def check(program: Program, window: Window, letters: dict[str, int], turns: int) -> None:
    """The text of one window, evaluated for all values of its letters."""
    text = printed._cell(program, window, letters, turns)
    name, _, inner = text.partition("[")
    flat = name.endswith(".flat")
    ranges = [*letters.items(), ("t", turns)]
    bounds = zip(program.bound_shift, program.default_lengths, strict=True)
    lengths = list(itertools.product(*(range(a, b + 1) for a, b in bounds)))
    for values in itertools.product(*(range(n) for _, n in ranges)):
        names = dict(zip([x for x, _ in ranges], values, strict=True))
        for each in lengths if window.per_length else [program.default_lengths]:
            names |= {"length" if s == 0 else f"length_{s}": n for s, n in enumerate(each)}
            address = place(window, values[:-1][: len(window.strides)], values[-1], each)
            base, shape = home(program, window, name.removesuffix(".flat"))
            index = [value(x, names) for x in inner.removesuffix("]").split(", ")] if inner else []
            if flat:
                assert index == [address - base]
            else:
                assert all(0 <= i < n for i, n in zip(index, shape, strict=True)), text
                assert sum(i * math.prod(shape[d + 1 :]) for d, i in enumerate(index)) == address - base, text


def home(program: Program, window: Window, name: str) -> tuple[int, tuple[int, ...]]:
    if window.buffer < program.charts:
        return 0, program.field_shapes[window.buffer]
    chart = next(c for c in program.chart_list if c.name == name)
    return chart.base, chart.layout


def check_all(program: Program) -> None:
    for count, row in [(b.count, r) for b in program.blocks for r in b.rows] + [(1, program.answer)]:
        out = printed._sizes(row.out)
        if row is not program.answer:
            check(program, row.target, out, count)
        for term in row.terms:
            for window in term.factors:
                check(program, window, out | printed._sizes(term.summed, len(out)), count)


@pytest.mark.parametrize("family", [f for f in FAMILIES if isinstance(f.structure, ss.DynamicProgram)], ids=str)
def test_printed_indices_exist(family: Family):
    from semiring_struct.inference.door import open_door

    check_all(open_door(family.structure, family.draw((1,), seed=0)).program)


@settings(max_examples=60)
@given(programs)
def test_printed_indices_of_random_programs_exist(program: ss.DynamicProgram):
    check_all(ss.program(program, potentials(program, 4, seed=0)))


class Lattice(ss.DynamicProgram):
    """Rows whose first cells alone do not tell rows from columns."""

    event_dim = (2, 2)

    def inside(self, p, down, right):
        a = p.chart(4, 3)
        a[0, 0] = p.one
        for i, j in itertools.product(range(4), range(3)):
            steps = [a[i - 1, j] * down[i - 1, j]] * bool(i) + [a[i, j - 1] * right[i, j - 1]] * bool(j)
            if steps:
                a[i, j] = sum(steps[1:], steps[0])
        return a[3, 2]


def test_antidiagonals_are_printed_as_such():
    program = ss.program(Lattice(), (torch.zeros(4, 3), torch.zeros(4, 2)))
    check_all(program)
    assert "right[i+1, -i+1]" in str(program)


class Round(ss.DynamicProgram):
    """Cells that go round the ends of lines at one step: no linear index says where they stand."""

    event_dim = 1

    def inside(self, p, item):
        a, b = p.chart(2, 3), p.chart(6)
        for i in range(6):
            b[i] = item[i]
        for i, (row, column) in enumerate([(0, 1), (0, 2), (1, 0), (1, 1)]):
            a[row, column] = b[i + 1] * item[i]
        return a.sum()


def test_cells_that_go_round_the_ends_of_lines_are_printed_by_address():
    program = ss.program(Round(), torch.zeros(6))
    check_all(program)
    assert "a.flat[i+1]" in str(program)
