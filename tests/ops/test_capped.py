"""Entries of the unit cube with a given sum: optimality conditions, gradients, extremes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, capped, clipped, exponential_up_to_one, logistic

RESPONSES = [clipped, exponential_up_to_one, logistic]


def margin(response, z: Tensor, x: Tensor) -> Tensor:
    """The derivative of `<z, x> - f(x)`, up to a constant."""
    if response is clipped:
        return z - x
    return z - x.log() if response is exponential_up_to_one else z - x.log() + (1 - x).log()


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1e4])
@pytest.mark.parametrize("total", [1, 3, 6])
def test_optimality(response, scale, total) -> None:
    """One price on inner entries; entries at 1 would pay more, entries at 0 less."""
    z = scale * torch.randn(40, 7, dtype=torch.float64)
    z[torch.rand(z.shape) < 0.1] = NEG_INF
    z = z[(z > NEG_INF).sum(-1) > total]
    x = capped(z, response, total)
    torch.testing.assert_close(x.sum(-1), torch.full((len(z),), float(total)).double(), rtol=0, atol=1e-9)
    assert ((x >= 0) & (x <= 1)).all()
    assert not x[z == NEG_INF].any()
    for row, entries in zip(z, x, strict=True):
        inner = (entries > 1e-8) & (entries < 1 - 1e-8)
        price = margin(response, row[inner], entries[inner])
        if inner.any():
            torch.testing.assert_close(price, price[:1].expand_as(price), rtol=0, atol=1e-6 * (1 + scale))
            worst, best = price.min() - 1e-6 * (1 + scale), price.max() + 1e-6 * (1 + scale)
            full, none = entries == 1, (entries == 0) & (row > NEG_INF)
            # the logistic reaches 0 and 1, and the exponential 0, by rounding only
            assert response is logistic or (margin(response, row[full], entries[full]) >= worst).all()
            assert response is not clipped or (margin(response, row[none], entries[none]) <= best).all()


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("at_most", [False, True])
def test_gradients(response, at_most) -> None:
    z = torch.randn(4, 6, dtype=torch.float64)
    z[0, 2] = z[1, :3] = NEG_INF
    z[2:] -= 2
    free = z > NEG_INF
    v = z[free].requires_grad_()

    def run(v: Tensor) -> Tensor:
        return capped(z.masked_scatter(free, v), response, 2, at_most)

    assert torch.autograd.gradcheck(run, v)
    assert torch.autograd.gradgradcheck(run, v)


@pytest.mark.parametrize("response", RESPONSES)
def test_at_most(response) -> None:
    z = torch.tensor([[-3.0, -2.0, 0.2, -4.0], [3.0, 2.0, 0.3, 1.0]], dtype=torch.float64)
    x = capped(z, response, 2, at_most=True)
    torch.testing.assert_close(x[0], response(z[0]))
    torch.testing.assert_close(x[1], capped(z, response, 2)[1])


@pytest.mark.parametrize("response", RESPONSES)
def test_corners(response) -> None:
    """Nothing to choose: totals of 0 and of all entries, with gradient 0."""
    z = torch.randn(3, 4, dtype=torch.float64)
    z[0, 1:] = z[1, 2:] = NEG_INF
    z.requires_grad_()
    for total in (0, 4):
        x = capped(z, response, total)
        assert torch.equal(x, (z > NEG_INF).double() * (total > 0))
        assert not torch.autograd.grad(x.sum(), z, allow_unused=True, materialize_grads=True)[0].any()
    wide = torch.tensor([1e4, 9e3, -1e4, -9.9e3], requires_grad=True)
    x = capped(wide, response, 2)
    torch.testing.assert_close(x, torch.tensor([1.0, 1.0, 0.0, 0.0]).double())
    first = torch.autograd.grad(x[0], wide, create_graph=True)[0]
    assert first.isfinite().all()
    if first.requires_grad:
        assert torch.autograd.grad(first.sum(), wide)[0].isfinite().all()
