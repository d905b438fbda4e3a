"""The language: what is recorded, what is refused by name, how loops roll, what is printed and counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import semiring_struct as ss
from semiring_struct.errors import ProgramError
from semiring_struct.programs.recorder import Chart

Inside = Callable[[Any, Any], Any]


def program_of(inside: Inside, size: int = 4) -> Any:
    """A structure of one field `(size,)` with the given program."""

    class Written(ss.DynamicProgram):
        """Made for one test."""

    Written.inside = lambda self, p, x: inside(p, x)  # type: ignore[method-assign, assignment]
    Written.__abstractmethods__ = frozenset()
    return lambda: ss.program(Written(), torch.zeros(size))


def twice(p: Any, x: Any) -> Any:
    chart = p.chart(4)
    chart[0] = x[0]
    chart[:2] = x[:2]
    return chart[1]


def late(p: Any, x: Any) -> Any:
    chart, other = p.chart(4), p.chart(1)
    other[0] = chart[2]
    chart[2] = x[2]
    return other[0]


def itself(p: Any, x: Any) -> Any:
    chart = p.chart(4)
    chart[0] = x[0]
    chart[1:] = chart[:-1] * x[1:]
    return chart[3]


def by_tensor(p: Any, x: Any) -> Any:
    return x[torch.tensor([0, 2])].sum()


def by_list(p: Any, x: Any) -> Any:
    return x[[0, 2]].sum()


def by_mask(p: Any, x: Any) -> Any:
    return x[torch.tensor([True, False, True, False])].sum()


def out_of_range(p: Any, x: Any) -> Any:
    return x[4]


def too_many(p: Any, x: Any) -> Any:
    return x[0, 0]


def shapes(p: Any, x: Any) -> Any:
    return (x[:2] * x[:3]).sum()


def into_a_field(p: Any, x: Any) -> Any:
    x[0] = p.one
    return x[0]


def by_length_in_a_statement(p: Any, x: Any) -> Any:
    chart = p.chart(2)
    chart[0] = x[p.length - 1]
    return chart[0]


def to_a_length(p: Any, x: Any) -> Any:
    chart = p.chart(5)
    chart[p.length] = x[0]
    return chart[0]


def a_number(p: Any, x: Any) -> Any:
    return x[0] * 2.0


def a_tensor(p: Any, x: Any) -> Any:
    return torch.zeros(3)


def a_bad_size(p: Any, x: Any) -> Any:
    return p.chart(-1)


def another_side(p: Any, x: Any) -> Any:
    return x[p.lengths[1] - 1]


def expanded(p: Any, x: Any) -> Any:
    chart = p.chart(1)
    chart.expand(3)[...] = x[:3]
    return chart[0]


REFUSED = [
    (twice, "chart.*written"),
    (late, "chart.*read before"),
    (itself, "chart.*(read|written)"),
    (by_tensor, "affine"),
    (by_list, "affine"),
    (by_mask, "affine"),
    (out_of_range, "out of range"),
    (too_many, "dims"),
    (shapes, "broadcast"),
    (into_a_field, "field"),
    (by_length_in_a_statement, "length"),
    (to_a_length, "length"),
    (a_number, "float"),
    (a_tensor, "Tensor"),
    (a_bad_size, "sizes"),
    (another_side, "lengths"),
    (expanded, "written"),
]


@pytest.mark.parametrize(("inside", "named"), REFUSED, ids=[case[0].__name__ for case in REFUSED])
def test_what_could_not_run_backwards_is_refused_by_name(inside: Inside, named: str):
    with pytest.raises(ProgramError, match=named):
        program_of(inside)()


def test_an_unwritten_cell_reads_as_zero():
    def inside(p: Any, x: Any) -> Any:
        chart, total = p.chart(4), p.chart(1)
        chart[1] = x[1]
        total[0] = chart.sum(0)
        return total[0]

    assert "total" in str(program_of(inside)())


@pytest.mark.parametrize("n", [3, 10, 1000])
def test_loops_roll(n: int):
    """A chain of any length is two rows; its cost grows with the length."""
    phi = ss.ChainPotentials(torch.zeros(n, 5), torch.zeros(n - 1, 5, 5))
    program = ss.program(ss.LinearChain(), phi)
    assert program.statements == n
    assert sum(len(block.rows) for block in program.blocks) <= 3
    assert program.cost.cells == 5 * n + 1
    assert program.cost.alternatives == 25 * (n - 1) + 5 + 5
    assert len(str(program).splitlines()) <= 8


def test_programs_are_shared_by_equal_structures_and_batches():
    one = ss.program(ss.ProjectiveTree(single_root=True), torch.zeros(5, 5))
    assert one is ss.program(ss.ProjectiveTree(single_root=True), torch.ones(7, 5, 5))
    assert one is not ss.program(ss.ProjectiveTree(), torch.zeros(5, 5))


def test_equations_of_a_chain():
    text = str(ss.program(ss.LinearChain(), ss.ChainPotentials(torch.zeros(6, 3), torch.zeros(1, 3, 3))))
    step = "alpha[t+1, i] = ⊕_j alpha[t, j] ⊗ transition[0, j, i]"
    for piece in ("emission[0, i]", step, "alpha[length-1, i]", "products"):
        assert piece in text


def test_views_agree_with_those_of_torch():
    """One structure per view: the total of the view's cells, against torch's own indexing."""
    x = torch.randn(4, 5, dtype=torch.float64)
    views: list[Callable[[Any], Any]] = [
        lambda v: v[1:3, ::2],
        lambda v: v[-1],
        lambda v: v[:, -2:],
        lambda v: v.T[1],
        lambda v: v.diagonal(1),
        lambda v: v.diagonal(-2),
        lambda v: v[None, ..., 0],
        lambda v: v.flip(1)[0] if hasattr(v, "recorder") else v.flip([1])[0],
        lambda v: v.unbind(1)[3],
        lambda v: v.transpose(0, 1)[2:, 1],
        lambda v: v[0][None].expand(3, 5),
    ]
    for view in views:

        class Total(ss.DynamicProgram):
            """⊕ of the cells of a view."""

            event_dim = 2

            def inside(self, p, field, view=view):
                return view(field).sum()

        torch.testing.assert_close(ss.log_partition(Total(), x), view(x).flatten().logsumexp(0))
        scale = torch.autograd.functional.jacobian(lambda v, view=view: view(v).flatten().logsumexp(0), x)
        torch.testing.assert_close(ss.marginals(Total(), x), scale)


def test_lines_of_a_chart_keep_apart():
    kept = {(): (), (500,): (500,), (9, 64): (9, 64)}
    shapes = kept | {(9, 65): (9, 66), (513, 513): (513, 514), (2, 3, 127): (2, 3, 130)}
    for shape, layout in shapes.items():
        chart = Chart("chart", 0, shape)
        assert chart.layout == layout and chart.size == math.prod(layout)


def test_a_program_of_lines_kept_apart_is_printed_by_its_shape():
    def inside(p: Any, x: Any) -> Any:
        table = p.chart(65, 65)
        table[0, 0] = x[0]
        for i in range(64):
            table[i + 1, i + 1] = table[i, i] * x[1]
        return table[64, 64]

    program = program_of(inside)()
    assert "table[t+1, t+1] = table[t, t] ⊗ x[1]" in str(program) and program.cells == 65 * 66


def read_in_halves(p: Any, x: Any) -> Any:
    chart = p.chart(4)
    chart[:2] = x[:2]
    chart[2:] = x[3:1:-1] * chart[:2]
    return chart[2]


def read_twice(p: Any, x: Any) -> Any:
    chart = p.chart(4)
    chart[:] = x[:]
    return chart[0] * x[0]


def read_in_part(p: Any, x: Any) -> Any:
    chart = p.chart(2, 2)
    chart[0] = x[:2]
    chart[1] = chart[0] * x[1:3]
    return chart[1, 0]


def read_by_each_of_a_sum(p: Any, x: Any) -> Any:
    chart, head = p.chart(4), p.chart(1)
    chart[:] = x[:]
    head[0] = (chart[:, None] * x[None, :]).sum((0, 1))
    return head[0]


def test_what_is_read_once():
    assert program_of(read_in_halves)().reads_once(0)
    for inside in (read_twice, read_in_part, read_by_each_of_a_sum):
        assert not program_of(inside)().reads_once(0)
