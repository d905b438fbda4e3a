"""Regularized argmaxes: published cases, closed forms against the general method, refusals."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct.ops import softmax, sparsemax
from semiring_struct.relaxations import (
    BinaryEntropy,
    CategoricalEntropy,
    Euclidean,
    ExponentialFamily,
    regularized_argmax,
    sparsemap,
)
from tests.known import CASES, tensor

KINDS = {
    "euclid": Euclidean(),
    "bin_ent": BinaryEntropy(),
    "cat_ent": CategoricalEntropy(),
    "exp_family": ExponentialFamily(),
}
NEG_INF = float("-inf")


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("sst_topk")])
@pytest.mark.parametrize("kind", KINDS)
def test_k_subsets(name, kind) -> None:
    case = CASES[name]
    u = tensor(case["utilities"]).requires_grad_()
    x = regularized_argmax(ss.Subset(case["k"]), u, KINDS[kind], case["temperature"])
    torch.testing.assert_close(x, tensor(case["x"][kind]), rtol=0, atol=1e-9)
    if "vjp" in case:
        pulled = torch.autograd.grad(x, u, tensor(case["cotangent"]))[0]
        torch.testing.assert_close(pulled, tensor(case["vjp"][kind]), rtol=0, atol=1e-8)


@pytest.mark.parametrize("structure", [ss.Subset(2), ss.Subset(at_most=2), ss.BitVector(), ss.OneOf()], ids=repr)
def test_euclidean_is_sparsemap(structure) -> None:
    u = torch.randn(9, 5, dtype=torch.float64)
    u[0, 1] = NEG_INF
    u.requires_grad_()
    closed = regularized_argmax(structure, u, Euclidean(), 0.7)
    general = sparsemap(structure, u / 0.7).mean
    torch.testing.assert_close(closed, general)
    g = torch.randn_like(u)
    torch.testing.assert_close(torch.autograd.grad(closed, u, g), torch.autograd.grad(general, u, g))


def test_euclidean_of_any_structure_is_sparsemap() -> None:
    phi = torch.randn(3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(
        regularized_argmax(ss.ProjectiveTree(), phi, Euclidean(), 2.0), sparsemap(ss.ProjectiveTree(), phi / 2).mean
    )


def test_one_option_and_bits() -> None:
    u = torch.randn(4, 6, dtype=torch.float64)
    u[1, 2] = NEG_INF
    one, bits = ss.OneOf(), ss.BitVector()
    torch.testing.assert_close(regularized_argmax(one, u, CategoricalEntropy(), 0.5), softmax(u / 0.5, -1))
    torch.testing.assert_close(regularized_argmax(one, u, ExponentialFamily(), 0.5), softmax(u / 0.5, -1))
    torch.testing.assert_close(regularized_argmax(one, u, Euclidean()), sparsemax(u, -1))
    torch.testing.assert_close(regularized_argmax(bits, u, BinaryEntropy(), 0.5), (u / 0.5).sigmoid())
    torch.testing.assert_close(regularized_argmax(bits, u, ExponentialFamily(), 0.5), (u / 0.5).sigmoid())
    torch.testing.assert_close(regularized_argmax(bits, u, Euclidean(), 0.5), (u / 0.5).clamp(0, 1))
    torch.testing.assert_close(regularized_argmax(bits, u, CategoricalEntropy()), (u - 1).exp().clamp_max(1.0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("structure", [ss.Subset(2), ss.Subset(at_most=2), ss.BitVector()], ids=repr)
def test_lengths_and_precision(kind, structure) -> None:
    u, lengths = torch.randn(4, 6), torch.tensor([2, 6, 4, 3])
    x = regularized_argmax(structure, u.requires_grad_(), KINDS[kind], 0.5, lengths)
    assert x.dtype == torch.float32
    gradient = torch.autograd.grad(x.square().sum(), u)[0]
    for i, n in enumerate(lengths.tolist()):
        assert not x[i, n:].any()
        assert not gradient[i, n:].any()
        torch.testing.assert_close(x[i, :n], regularized_argmax(structure, u[i, :n], KINDS[kind], 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_falling_temperature(kind) -> None:
    u = torch.randn(5, 6, dtype=torch.float64)
    soft = regularized_argmax(ss.Subset(3), u, KINDS[kind], 1e-4)
    torch.testing.assert_close(soft, ss.argmax(ss.Subset(3), u), rtol=0, atol=1e-6)


def test_a_chain_of_several_fields() -> None:
    phi = ss.ChainPotentials(torch.randn(2, 4, 3), torch.randn(2, 3, 3, 3))
    soft = regularized_argmax(ss.LinearChain(), phi, ExponentialFamily(), 0.5)
    expected = ss.marginals(ss.LinearChain(), ss.ChainPotentials(phi.emission * 2, phi.transition * 2))
    torch.testing.assert_close(soft, expected)


def test_refusals() -> None:
    u = torch.randn(4, 4)
    for entropy in (CategoricalEntropy(), BinaryEntropy()):
        with pytest.raises(ss.UnsupportedQueryError, match=r"ExponentialFamily\(\).*Euclidean\(\)"):
            regularized_argmax(ss.ProjectiveTree(), u, entropy)
    with pytest.raises(ss.InfeasibleError, match="k=5 does not fit 4 items"):
        regularized_argmax(ss.Subset(5), u, Euclidean())
    with pytest.raises(ValueError, match="temperature above 0"):
        regularized_argmax(ss.OneOf(), u, Euclidean(), 0.0)
    with pytest.raises(TypeError, match="needs a regularizer"):
        regularized_argmax(ss.OneOf(), u, "euclidean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        regularized_argmax(ss.OneOf(), u * float("nan"), Euclidean())
