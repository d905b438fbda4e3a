"""The symmetric-Jacobian gradient against exact ones."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct import relaxations
from tests.enumerations.listed import Listed, subsets
from tests.known import CASES, same, tensor


def test_k_subset():
    case = CASES["finite_difference_vjp"]
    theta = tensor(case["theta"])
    subset = Listed(subsets(len(theta), case["k"]))
    g = tensor(case["cotangent"])
    for step, expected in case["central"].items():
        phi = theta.clone().requires_grad_()
        soft = relaxations.finite_difference(ss.marginals, float(step) * float(g.abs().amax()))(subset, phi)
        soft.backward(g)
        assert phi.grad is not None
        same(phi.grad, expected, 1e-8)
    phi = theta.clone().requires_grad_()
    ss.marginals(subset, phi).backward(g)
    assert phi.grad is not None
    same(phi.grad, case["exact"])


def test_several_fields():
    g = torch.Generator().manual_seed(0)
    phi = ss.ChainPotentials(*(torch.randn(2, *s, generator=g, dtype=torch.float64) for s in [(4, 3), (3, 3, 3)]))
    weights = [torch.randn(f.shape, generator=g, dtype=torch.float64) for f in phi]
    grads = []
    for relaxation in (ss.marginals, relaxations.finite_difference(ss.marginals, 1e-4)):
        leaves = ss.ChainPotentials(*(f.clone().requires_grad_() for f in phi))
        soft = relaxation(ss.LinearChain(), leaves)
        grads.append(torch.autograd.grad(sum((s * w).sum() for s, w in zip(soft, weights, strict=True)), leaves))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_a_step_of_nothing_is_refused():
    with pytest.raises(ValueError, match="step"):
        relaxations.finite_difference(ss.marginals, 0.0)


def test_no_gradient_where_none_arrives():
    phi = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    relaxations.finite_difference(ss.marginals)(ss.OneOf(), phi).backward(torch.zeros(3, dtype=torch.float64))
    assert phi.grad is not None and phi.grad.tolist() == [0.0, 0.0, 0.0]
