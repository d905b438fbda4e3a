"""Sparsemax over structures by the k best: published cases, enumeration, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.ops import sparsemax
from semiring_struct.relaxations import topk_sparsemax
from tests.known import CASES, tensor

NEG_INF = float("-inf")


@pytest.mark.parametrize("k", CASES["topk_sparsemax_bits_D8"]["by_k"])
def test_bits(k) -> None:
    case = CASES["topk_sparsemax_bits_D8"]
    expected = case["by_k"][k]
    found = topk_sparsemax(ss.BitVector(), tensor(case["logits"]), int(k))
    used = found.weights > 0
    torch.testing.assert_close(found.weights[used], tensor(expected["p"]))
    assert found.certificate.item() == expected["certified_exact"]
    bits = found.events[: min(int(k), 16)]
    assert bits.int().tolist() == case["kbest_bits"][: int(k)]


def test_against_enumeration() -> None:
    phi = torch.randn(6, 4, 4, dtype=torch.float64)
    phi[0, 0, 1] = NEG_INF
    every = ss.enumerate_events(ss.ProjectiveTree(), phi)
    scores = ss.score(ss.ProjectiveTree(), phi, every)
    exists = every.flatten(2).any(-1)
    full = sparsemax(torch.where(exists, scores, NEG_INF), 0)
    mean = torch.einsum("sb,sb...->b...", full, every)
    found = topk_sparsemax(ss.ProjectiveTree(), phi, 8)
    assert found.certificate.any()
    assert torch.equal(found.certificate, (found.weights == 0).any(0))
    ours = torch.einsum("sb,sb...->b...", found.weights, found.events)
    torch.testing.assert_close(ours[found.certificate], mean[found.certificate])
    assert (full > 0).sum(0)[~found.certificate].min() >= 8 if (~found.certificate).any() else True


@pytest.mark.parametrize("k", [1, 3, 40])
def test_gradient(k) -> None:
    """Of an expected cost, in every field, for instances of several lengths."""
    emission = torch.randn(3, 3, 2, dtype=torch.float64, requires_grad=True)
    transition = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([3, 1, 0])

    def run(e: Tensor, t: Tensor) -> Tensor:
        found = topk_sparsemax(ss.LinearChain(), ss.ChainPotentials(e, t), k, lengths)
        cost = found.events.emission[..., 0].sum(-1).square() + found.events.transition[..., 1].sum((-1, -2))
        return (found.weights * cost).sum(0)

    assert torch.autograd.gradcheck(run, (emission, transition))
    assert run(emission, transition)[2] == 0


def test_precision_and_blanks() -> None:
    phi = 1e4 * torch.randn(3, 4)
    found = topk_sparsemax(ss.Subset(3), phi.bfloat16(), 9)
    assert found.weights.dtype == found.events.dtype == torch.float32
    assert found.certificate.all()
    assert not found.weights[4:].any()
    torch.testing.assert_close(found.weights.sum(0), torch.ones(3))


def test_refusals() -> None:
    with pytest.raises(ss.InfeasibleError, match="no structure"):
        topk_sparsemax(ss.Subset(3), torch.zeros(2), 2)
    with pytest.raises(ValueError, match="k >= 1"):
        topk_sparsemax(ss.Subset(1), torch.zeros(2), 0)
