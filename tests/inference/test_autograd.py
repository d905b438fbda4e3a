"""How the queries behave as parts of a computation: modes, orders of derivatives, transforms, callers' tensors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import FAMILIES, Family, chain, spans
from tests.structures.test_contract import fields

TREE = ss.SpanTree()
every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)


def span_potentials(*batch: int) -> Tensor:
    return spans(4).draw(batch, seed=11)


def test_queries_work_without_gradients():
    phi = span_potentials(2).requires_grad_()
    with torch.no_grad():
        marginals = ss.marginals(TREE, phi)
        best = ss.argmax(TREE, phi)
    assert not marginals.requires_grad and not best.requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(ss.marginals(TREE, phi), marginals)


def test_a_second_backward_works():
    phi = span_potentials(2).requires_grad_()
    total = ss.log_partition(TREE, phi).sum()
    total.backward(retain_graph=True)
    first = phi.grad.clone()
    total.backward()
    torch.testing.assert_close(phi.grad, 2 * first)


def test_marginals_are_differentiable_and_detached_input_gives_detached_output():
    phi = span_potentials(2)
    assert not ss.marginals(TREE, phi).requires_grad
    assert ss.marginals(TREE, phi.requires_grad_()).requires_grad


def test_a_third_order_derivative_raises():
    phi = span_potentials().requires_grad_()
    (first,) = torch.autograd.grad(ss.log_partition(TREE, phi), phi, create_graph=True)
    (second,) = torch.autograd.grad((first * torch.arange(16.0).reshape(4, 4)).sum(), phi, create_graph=True)
    with pytest.raises(NotImplementedError, match="third derivatives"):
        torch.autograd.grad(second.square().sum(), phi)
    (slope,) = torch.autograd.grad(ss.entropy(TREE, phi), phi, create_graph=True)
    with pytest.raises(NotImplementedError, match="third derivatives"):
        torch.autograd.grad(slope.square().sum(), phi)


@every_family
def test_the_callers_tensors_are_left_alone(family: Family):
    phi = family.draw((2,), seed=12)
    before = [field.clone() for field in fields(phi)]
    ss.argmax(family.structure, phi)
    ss.marginals(family.structure, phi)
    ss.sample(family.structure, phi, (3,), generator=torch.Generator().manual_seed(0))
    ss.topk(family.structure, phi, 2)
    for field, copy in zip(fields(phi), before, strict=True):
        assert torch.equal(field, copy)
        assert not field.requires_grad
        assert field.grad is None


@every_family
def test_layout_of_the_input_does_not_matter(family: Family):
    """Expanded and transposed potentials, the same in every instance, give the same answers."""
    one = family.draw((), seed=13)
    expanded = family.kind(*(field.expand(3, *field.shape) for field in fields(one)))
    twisted = family.kind(*(field.movedim(0, -1).contiguous().movedim(-1, 0) for field in fields(expanded)))
    expected = ss.log_partition(family.structure, one)
    for phi in (expanded, twisted):
        torch.testing.assert_close(ss.log_partition(family.structure, phi), expected.expand(3))
        for found, single in zip(
            fields(ss.marginals(family.structure, phi)), fields(ss.marginals(family.structure, one)), strict=True
        ):
            torch.testing.assert_close(found, single.expand(3, *single.shape))


def test_empty_batches_have_empty_answers():
    phi = span_potentials(0)
    assert ss.log_partition(TREE, phi).shape == (0,)
    assert ss.marginals(TREE, phi).shape == phi.shape
    assert ss.argmax(TREE, phi).shape == phi.shape
    assert ss.sample(TREE, phi, (2,)).shape == (2, *phi.shape)


def test_vmap_and_functional_gradients():
    phi = span_potentials(3)
    expected = ss.marginals(TREE, phi)
    torch.testing.assert_close(torch.func.vmap(lambda x: ss.log_partition(TREE, x))(phi), ss.log_partition(TREE, phi))
    gradient = torch.func.grad(lambda x: ss.log_partition(TREE, x).sum())
    torch.testing.assert_close(gradient(phi), expected)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(lambda x: ss.log_partition(TREE, x)))(phi), expected)


def test_hessian_by_function_transforms():
    phi = spans(3).draw((), seed=14)
    rows = []
    for part in torch.eye(9, dtype=torch.float64).reshape(9, 3, 3):
        rows.append(ss.covariance_vp(ss.SpanTree(), phi, part).flatten())
    hessian = torch.func.jacrev(torch.func.jacrev(lambda x: ss.log_partition(ss.SpanTree(), x)))(phi)
    torch.testing.assert_close(hessian.reshape(9, 9), torch.stack(rows))


@pytest.mark.parametrize("family", [spans(4), chain(3, 2, tied=True)], ids=str)
def test_a_covariance_is_differentiable_in_its_vector(family: Family):
    phi, kind = family.draw((2,), seed=12), family.kind
    vector = tuple(v.requires_grad_() for v in fields(family.draw((2,), seed=13)))
    assert torch.autograd.gradcheck(lambda *v: fields(ss.covariance_vp(family.structure, phi, kind(*v))), vector)


def test_values_of_an_expectation_carry_gradients():
    phi, values = span_potentials(2), torch.randn(2, 4, 4, 3, dtype=torch.float64, requires_grad=True)
    mean = ss.expectation(TREE, phi, values)
    (gradient,) = torch.autograd.grad(mean.sum(), values)
    torch.testing.assert_close(gradient, ss.marginals(TREE, phi).unsqueeze(-1).expand_as(values))


def test_an_outer_autocast_changes_nothing():
    phi = span_potentials(2).float()
    expected = ss.log_partition(TREE, phi)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ss.log_partition(TREE, phi), expected)
