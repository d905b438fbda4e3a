"""SparseMAP on the published small cases: means, supports, Jacobians, and the gradient of an expected loss."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.relaxations import sparsemap
from tests.enumerations.listed import Listed, trees_of_k4
from tests.known import CASES, tensor

EDGES = list(itertools.combinations(range(4), 2))


def matchings(n: int) -> Tensor:
    """The permutation matrices, flattened."""
    return torch.stack([torch.eye(n, dtype=torch.float64)[list(p)].flatten() for p in itertools.permutations(range(n))])


def structure_of(name: str) -> Any:
    """What the case is a projection onto, by a structure that lists its events where there is no other."""
    if "spanning_tree" in name or "marginalisation" in name:
        return Listed(trees_of_k4())
    if "matching" in name:
        return Listed(matchings(3))
    if "k_subset" in name:
        return ss.Subset(2)
    return ss.Subset(at_most=2) if "budget" in name else ss.BitVector()


SQUARED = [name for name, case in CASES.items() if name.startswith("sparsemap") and "jacobian" in case]


@pytest.mark.parametrize("name", SQUARED)
def test_mean_and_jacobian(name: str) -> None:
    case, structure = CASES[name], structure_of(name)
    eta = tensor(case["eta"]).requires_grad_()
    found = sparsemap(structure, eta)
    torch.testing.assert_close(found.mean, tensor(case["mu"]), rtol=0, atol=1e-9)
    value = eta @ found.mean - found.mean.square().sum() / 2
    torch.testing.assert_close(value, tensor(case["value"]), rtol=0, atol=1e-9)
    pulled = torch.autograd.grad(found.mean, eta, tensor(case["cotangent"]))[0]
    torch.testing.assert_close(pulled, tensor(case["vjp"]), rtol=0, atol=1e-7)
    jacobian = torch.autograd.functional.jacobian(lambda x: sparsemap(structure, x).mean, eta)
    torch.testing.assert_close(jacobian, tensor(case["jacobian"]), rtol=0, atol=1e-7)
    assert len(found.weights) <= len(eta) + 1


@pytest.mark.parametrize("name", [name for name in SQUARED if "spanning_tree" in name])
def test_spanning_trees(name: str) -> None:
    """The same by the structure of spanning trees, of which only one triangle is read."""
    case = CASES[name]
    phi = torch.full((4, 4), 1e30, dtype=torch.float64)
    at = tuple(torch.tensor(EDGES).T)
    phi[at] = tensor(case["eta"])
    found = sparsemap(ss.SpanningTree(), phi.requires_grad_())
    torch.testing.assert_close(found.mean[at], tensor(case["mu"]), rtol=0, atol=1e-9)
    assert not found.mean.tril().any()
    pulled = torch.autograd.grad(found.mean[at], phi, tensor(case["cotangent"]))[0]
    torch.testing.assert_close(pulled[at], tensor(case["vjp"]), rtol=0, atol=1e-7)
    assert not pulled.tril().any()


def test_matchings() -> None:
    """The same by the structure of matchings and its assignment solver."""
    case = CASES["sparsemap_matching_3x3_0"]
    phi = tensor(case["eta"]).reshape(3, 3).requires_grad_()
    found = sparsemap(ss.Matching(), phi)
    torch.testing.assert_close(found.mean.flatten(), tensor(case["mu"]), rtol=0, atol=1e-9)
    pulled = torch.autograd.grad(found.mean, phi, tensor(case["cotangent"]).reshape(3, 3))[0]
    torch.testing.assert_close(pulled.flatten(), tensor(case["vjp"]), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["sparsemap_bitvector_D4_two_state", "sparsemap_budget_D4_B2_two_state"])
def test_two_states_per_bit(name: str) -> None:
    """Both states squared: `x^2 + (1 - x)^2` over 2 is `x^2 - x` and a constant."""
    found = sparsemap(structure_of(name), tensor(CASES[name]["t"]) + 1, curvature=2.0)
    torch.testing.assert_close(found.mean, tensor(CASES[name]["mu_on"]), rtol=0, atol=1e-9)


def test_chain_with_a_quadratic_on_tags_only() -> None:
    case = CASES["sparsemap_chain_T3_S2_unary_quadratic"]
    phi = ss.ChainPotentials(tensor(case["unary"]), tensor(case["transition_from_to"])[None])
    found = sparsemap(ss.LinearChain(), phi, curvature=(1.0, 0.0))
    torch.testing.assert_close(found.mean.emission, tensor(case["mu_unary"]), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.mean.transition[0], tensor(case["mu_transition_counts"]), rtol=0, atol=1e-9)
    used = found.weights > 0
    tags = found.events.emission[used].argmax(-1).tolist()
    weights = dict(zip(map(tuple, tags), found.weights[used].tolist(), strict=True))
    assert weights == pytest.approx({tuple(t): w for t, w in case["support"]}, abs=1e-9)
    value = (found.mean.emission * phi.emission - found.mean.emission.square() / 2).sum()
    value = value + (found.mean.transition * phi.transition).sum()
    torch.testing.assert_close(value, tensor(case["value"]), rtol=0, atol=1e-9)


def test_expected_loss() -> None:
    """A case in which the distribution is unique: the gradient of a sum over its events."""
    case = CASES["sparsemap_marginalisation_gradient_K4"]
    rows = [[float(list(edge) in tree) for edge in EDGES] for tree in case["trees"]]
    trees, losses = tensor(rows), tensor(case["loss_per_tree"])
    eta = tensor(case["eta"]).requires_grad_()
    found = sparsemap(Listed(trees), eta)
    which = (found.events[:, None] == trees).all(-1).int().argmax(-1)
    expected = found.weights @ losses[which]
    torch.testing.assert_close(expected, tensor(case["expected_loss"]), rtol=0, atol=1e-9)
    gradient = torch.autograd.grad(expected, eta)[0]
    torch.testing.assert_close(gradient, tensor(case["grad_eta"]), rtol=0, atol=1e-7)
    torch.testing.assert_close(found.mean, tensor(case["mu"]), rtol=0, atol=1e-9)
