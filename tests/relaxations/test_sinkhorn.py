"""Sinkhorn's iteration: published cases, an independent implementation, what it cannot match."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.relaxations import sinkhorn
from tests.known import CASES, tensor

CASE = CASES["sinkhorn_3x3"]
NEG_INF = float("-inf")


def test_known_answers() -> None:
    scores = tensor(CASE["logits"])
    for iterations, expected in CASE["row_then_col"].items():
        torch.testing.assert_close(sinkhorn(scores, 1.0, int(iterations)).mean, tensor(expected))
    torch.testing.assert_close(sinkhorn(scores, 0.5, 20).mean, tensor(CASE["at_temperature_0p5_20it"]))
    found = sinkhorn(scores, 1.0, 200)
    torch.testing.assert_close(found.mean, tensor(CASE["converged"]))
    assert found.residual < 1e-12
    exact = ss.marginals(ss.Matching(), scores)
    torch.testing.assert_close(exact, tensor(CASE["exact_permutation_marginals"]))
    assert ss.argmax(ss.Matching(), scores, labels=True).tolist() == CASE["optimal_assignment"]


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_limit_is_regularised_transport(temperature) -> None:
    scores = torch.randn(5, 5, dtype=torch.float64)
    found = sinkhorn(scores, temperature, 2000)
    one = [1 / 5] * 5
    plan = ot.sinkhorn(one, one, (-scores).tolist(), temperature, stopThr=1e-13, numItermax=20_000)
    torch.testing.assert_close(found.mean, 5 * tensor(np.asarray(plan).tolist()), rtol=0, atol=1e-9)


def test_residual_is_the_largest_error_of_a_row() -> None:
    found = sinkhorn(torch.randn(2, 3, 6, 6, dtype=torch.float64), 0.5, 3)
    torch.testing.assert_close(found.mean.sum(-2), torch.ones(2, 3, 6).double())
    torch.testing.assert_close(found.residual, (found.mean.sum(-1) - 1).abs().amax(-1))


def test_lengths_and_forbidden_pairs() -> None:
    scores = torch.randn(4, 4, 4, dtype=torch.float64)
    scores[:, 0, 1] = NEG_INF
    scores.requires_grad_()
    lengths = torch.tensor([4, 3, 1, 0])
    found = sinkhorn(scores, 1.0, 50, lengths)
    gradient = torch.autograd.grad(found.mean.square().sum(), scores)[0]
    assert gradient.isfinite().all()
    for i, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(found.mean[i, :n, :n], sinkhorn(scores[i, :n, :n], 1.0, 50).mean)
        assert not found.mean[i, n:].any()
        assert not found.mean[i, :, n:].any()
        assert not gradient[i, n:].any()
    assert not found.mean[:, 0, 1].any()


def test_gradients() -> None:
    scores = torch.randn(2, 3, 3, dtype=torch.float64)
    scores[0, 1, 2] = NEG_INF
    free = scores > NEG_INF

    def run(v: Tensor) -> Tensor:
        return sinkhorn(scores.masked_scatter(free, v), 0.7, 4).mean

    v = scores[free].requires_grad_()
    assert torch.autograd.gradcheck(run, v)
    assert torch.autograd.gradgradcheck(run, v)


def test_the_tape_does_not_grow_by_matrices() -> None:
    scores = torch.randn(40, 40, dtype=torch.float64, requires_grad=True)

    def kept(iterations: int) -> int:
        """Numbers saved for the backward pass, each storage once."""
        storages: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes() // 8
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            found = sinkhorn(scores, 1.0, iterations)
        assert found.mean.requires_grad
        return sum(storages.values())

    assert kept(30) - kept(10) <= 20 * 2 * 40


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_scores(dtype) -> None:
    scores = (1e4 * torch.randn(3, 6, 6)).to(dtype).requires_grad_()
    found = sinkhorn(scores, 1.0, 50)
    assert found.mean.dtype == torch.float32
    assert found.mean.isfinite().all()
    assert torch.autograd.grad(found.mean.square().sum(), scores)[0].isfinite().all()


def test_no_perfect_matching() -> None:
    scores = torch.zeros(3, 3)
    scores[:2, :2] = NEG_INF
    assert sinkhorn(scores, 1.0, 100).residual > 0.4
    scores[0] = NEG_INF
    assert sinkhorn(scores, 1.0, 100).residual == 1


def test_refusals() -> None:
    with pytest.raises(ss.ShapeError, match="n, n"):
        sinkhorn(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="temperature above 0"):
        sinkhorn(torch.zeros(2, 2), 0.0)
    with pytest.raises(ValueError, match="at least 1"):
        sinkhorn(torch.zeros(2, 2), 1.0, 0)
    with pytest.raises(TypeError, match="floating"):
        sinkhorn(torch.zeros(2, 2).long())
    with pytest.raises(ValueError, match="NaN"):
        sinkhorn(torch.full((2, 2), float("nan")))
