"""Reductions by segment, beside a loop over segments."""

from __future__ import annotations

import pytest
import torch

from semiring_struct import ops

NEG_INF = -torch.inf


def case(size: int):
    x = torch.randn(3, 12, dtype=torch.float64)
    x[0, :3] = NEG_INF
    index = torch.randint(-1, size, (3, 12))
    index[2] = -1
    return x, index


@pytest.mark.parametrize("size", [1, 2, 5])
def test_values(size):
    x, index = case(size)
    total, top = ops.segment_logsumexp(x, index, size), ops.segment_max(x, index, size)
    least = ops.segment_argmin(-x, index, size)
    for b in range(3):
        for s in range(size):
            own = x[b][index[b] == s]
            expected = ops.logsumexp(own, 0) if len(own) else torch.tensor(NEG_INF, dtype=torch.float64)
            torch.testing.assert_close(total[b, s], expected)
            if not (own > NEG_INF).any():
                assert top[b, s] == NEG_INF and least[b, s] == -1
            else:
                assert top[b, s] == own.max() and x[b, least[b, s]] == own.max() and index[b, least[b, s]] == s


@pytest.mark.parametrize("size", [1, 3])
def test_ties_go_to_the_first(size):
    index = torch.tensor([[-1, 0, 0, 0]])
    assert ops.segment_argmin(torch.tensor([[0.0, 2.0, 1.0, 1.0]]), index, size)[0, 0] == 2


@pytest.mark.parametrize("size", [1, 3])
def test_gradients(size):
    x, index = case(size)
    free = x > NEG_INF

    def total(values):
        out = ops.segment_logsumexp(x.masked_scatter(free, values), index, size)
        return out[out > NEG_INF]

    values = x[free].requires_grad_()
    assert torch.autograd.gradcheck(total, values)
    assert torch.autograd.gradgradcheck(total, values)


def test_gradient_of_an_empty_segment_is_zero():
    x = torch.full((1, 4), NEG_INF, requires_grad=True)
    out = ops.segment_logsumexp(x, torch.tensor([[0, 0, 1, -1]]), 3)
    assert (out == NEG_INF).all()
    assert (torch.autograd.grad(out.sum(), x)[0] == 0).all()
