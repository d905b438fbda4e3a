"""Sums in a fixed order: as torch's, by the forms for every device, and what is promised of them beyond that."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct.ops import add_at_, counted, entmax, pick, running_sum, sparsemax, sum_at
from tests.unordered import Unordered

SHAPES = ((0,), (1,), (2,), (3,), (8,), (13,), (2, 5), (3, 0), (0, 4), (2, 3, 33))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_running_sums(shape: tuple[int, ...], dtype: torch.dtype):
    x = torch.randn(shape, dtype=dtype)
    for dim in range(-len(shape), len(shape)):
        plain = running_sum(x, dim)
        assert torch.equal(plain, x.cumsum(dim))
        with Unordered():
            found = running_sum(x, dim)
        torch.testing.assert_close(found, plain)
        assert found.dtype == dtype


def test_running_sums_never_fall_and_stand_still_where_nothing_is_added():
    """What inversion draws by: an option of no weight is never reached."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(500, 300, generator=generator) * 10.0 ** torch.randint(-9, 9, (500, 300), generator=generator)
    x = torch.where(torch.rand(x.shape, generator=generator) < 0.4, 0.0, x)
    with Unordered():
        total = running_sum(x)
    step = total.diff(dim=-1)
    assert (step >= 0).all() and (step[x[:, 1:] == 0] == 0).all()
    with Unordered():
        weights = ss.SampleSemiring(generator).reduction.weights(x.log())
    assert (weights.sum(-1) == 1).all() and (x[weights == 1] > 0).all()


def test_draws_are_those_of_the_cpu_but_for_rounding():
    x = torch.randn(2000, 37)
    draw = [ss.SampleSemiring(torch.Generator().manual_seed(1)).reduction for _ in range(2)]
    plain = draw[0].weights(x)
    with Unordered():
        assert torch.equal(draw[1].weights(x), plain)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_added_at(batch: int):
    into, value = torch.randn(batch, 6, dtype=torch.float64), torch.randn(batch, 9, dtype=torch.float64)
    shared, own = torch.randint(0, 6, (9,)), torch.randint(0, 6, (batch, 9))
    for index in (shared, own):
        wanted = into.clone()
        for b in range(batch):
            for k, place in enumerate(index[b] if index.dim() > 1 else index):
                wanted[b, place] += value[b, k]
        plain = add_at_(into.clone(), index, value)
        with Unordered():
            found = add_at_(into.clone(), index, value)
        torch.testing.assert_close(plain, wanted)
        torch.testing.assert_close(found, wanted)
    x = value.clone().requires_grad_()
    with Unordered():
        total = sum_at(x, own, 6)
        (slope,) = torch.autograd.grad(total.sum(), x)
    torch.testing.assert_close(total, add_at_(torch.zeros_like(into), own, value))
    assert (slope == 1).all()


@pytest.mark.parametrize(("shape", "dim", "index"), [((4,), 0, (6,)), ((3, 4), 1, (3, 9)), ((3, 4, 2), -2, (3, 5, 2))])
def test_picked_entries_and_their_gradients(shape: tuple[int, ...], dim: int, index: tuple[int, ...]):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    at, weight = torch.randint(0, 4, index), torch.randn(index, dtype=torch.float64)
    plain = torch.autograd.grad((pick(x, dim, at) * weight).sum(), x)[0]
    with Unordered():
        found = pick(x, dim, at)
        slope = torch.autograd.grad((found * weight).sum(), x)[0]
    assert torch.equal(found, x.gather(dim, at))
    torch.testing.assert_close(slope, plain)
    torch.testing.assert_close(torch.autograd.grad((x.gather(dim, at) * weight).sum(), x)[0], plain)


def test_counts_and_maps_onto_the_simplex():
    picked = torch.tensor([[0, 0, 0, 2, -1], [-1, 1, 1, 1, 1]])
    x = torch.randn(5, 17, dtype=torch.float64)
    plain = counted(picked, 3, torch.float32), sparsemax(x, -1), entmax(x, 1.5, 0)
    with Unordered():
        found = counted(picked, 3, torch.float32), sparsemax(x, -1), entmax(x, 1.5, 0)
    for one, other in zip(found, plain, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other)


ONE = torch.tensor([1, 1, 1])
OPEN = {
    "cumsum": lambda x: x.cumsum(0),
    "scatter_add": lambda x: torch.zeros(2).scatter_add_(0, ONE, x),
    "index_add": lambda x: torch.zeros(2).index_add_(0, ONE, x),
    "scatter_reduce": lambda x: torch.zeros(2).scatter_reduce_(0, ONE, x, "sum"),
    "backward of gather": lambda x: (x.requires_grad_().gather(0, ONE) * torch.rand(3)).sum().backward(),
}


@pytest.mark.parametrize("name", OPEN)
def test_the_device_refuses_what_it_should(name: str):
    with pytest.raises(AssertionError, match=r"on a GPU|at one place"), Unordered():
        OPEN[name](torch.rand(3))
