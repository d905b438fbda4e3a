"""Semiring einsum against torch.einsum on probabilities and against loops over indices."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import semiring_struct as ss

EQUATIONS = (
    "ab,bc->ac",
    "ab,bc,cd->ad",
    "ab,b->a",
    "abc,bd,ce->ade",
    "ab,ab->",
    "a,b,c->abc",
    "aab->ab",
    "ab,cb->ca",
    "ab->a",
    "abc->cab",
)
SIZES = {"a": 3, "b": 4, "c": 2, "d": 3, "e": 2}
every_equation = pytest.mark.parametrize("equation", EQUATIONS)


def operands(equation: str, batch: tuple[int, ...] = (), forbidden: float = 0.0) -> list[Tensor]:
    found = []
    for letters in equation.partition("->")[0].split(","):
        x = torch.randn(*batch, *(SIZES[i] for i in letters), dtype=torch.float64)
        found.append(x.masked_fill(torch.rand(x.shape) < forbidden, -torch.inf))
    return found


def batched(equation: str) -> str:
    left, _, right = equation.partition("->")
    return ",".join(f"z{letters}" for letters in left.split(",")) + f"->z{right}"


@every_equation
def test_log_values_and_gradients(equation: str):
    xs = [x.requires_grad_() for x in operands(equation, (2,))]
    found = ss.einsum(equation, *xs)
    expected = torch.einsum(batched(equation), *(x.exp() for x in xs)).log()
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    pair = (torch.autograd.grad(total, xs, weights) for total in (found, expected))
    for one, other in zip(*pair, strict=True):
        torch.testing.assert_close(one, other)


@every_equation
def test_second_derivatives(equation: str):
    xs = tuple(x.requires_grad_() for x in operands(equation))
    assert torch.autograd.gradgradcheck(lambda *x: ss.einsum(equation, *x), xs, fast_mode=True)


@every_equation
def test_max_with_forbidden_entries_by_loops(equation: str):
    xs = operands(equation, forbidden=0.3)
    found = ss.einsum(equation, *xs, semiring=ss.MaxSemiring())
    left, _, output = equation.partition("->")
    inputs = left.split(",")
    letters = sorted(set("".join(inputs)))
    expected = torch.full([SIZES[i] for i in output], -torch.inf, dtype=torch.float64)
    for values in itertools.product(*(range(SIZES[i]) for i in letters)):
        at = dict(zip(letters, values, strict=True))
        score = sum(x[tuple(at[i] for i in names)] for x, names in zip(xs, inputs, strict=True))
        place = tuple(at[i] for i in output)
        expected[place] = torch.maximum(expected[place], torch.as_tensor(score))
    torch.testing.assert_close(found, expected)


def test_other_semirings_and_batch_dims():
    xs = operands("ab,bc->ac")
    real = ss.einsum("ab,bc->ac", *xs, semiring=ss.RealSemiring())
    torch.testing.assert_close(real, xs[0].exp() @ xs[1].exp())
    assert ss.einsum("ab,bc->ac", *xs, semiring=ss.CountingSemiring()).eq(4).all()
    x, y = torch.randn(5, 1, 3, 4), torch.randn(2, 4, 2)
    torch.testing.assert_close(ss.einsum("ab,bc->ac", x, y), (x.exp() @ y.exp()).log())


def test_noisy_semirings_draw_anew():
    x = torch.zeros(1, 40, dtype=torch.float64).requires_grad_()
    generator = torch.Generator().manual_seed(0)
    draws = []
    for _ in range(5):
        total = ss.einsum("ab->a", x, semiring=ss.SampleSemiring(generator))
        draws.append(int(torch.autograd.grad(total.sum(), x)[0].argmax()))
    assert len(set(draws)) > 1


def test_equations_that_do_not_fit():
    x = torch.zeros(3, 4)
    for equation, error in (
        ("ab,bc->ac", ss.ShapeError),
        ("abc->a", ss.ShapeError),
        ("ab->c", ss.ProgramError),
        ("ab", ss.ProgramError),
        ("a1->a", ss.ProgramError),
        ("aa->a", ss.ProgramError),
    ):
        with pytest.raises(error, match="einsum"):
            ss.einsum(equation, x)
