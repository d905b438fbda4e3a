"""Gradients through a distribution: right, repeatable, and held by no cached property."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import semiring_struct as ss
from tests.distributions.truth import fields
from tests.structures.families import FAMILIES, Family, alignment, chain, heads, segments, spans

FEW = (chain(3, 2), segments(2, 2, 2), spans(3, 2), heads(3), alignment(2, 1))
few = pytest.mark.parametrize("family", FEW, ids=str)


def leaves(family: Family, batch: tuple[int, ...] = (2,)) -> list[torch.Tensor]:
    return [f.clone().requires_grad_() for f in fields(family.draw(batch, seed=0))]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_of_log_prob(family: Family):
    """The gradient of the log-probability of an event is the event less its mean."""
    parts = leaves(family)
    d = ss.StructDistribution(family.structure, family.kind(*parts))
    x = d.sample()
    grads = torch.autograd.grad(d.log_prob(x).sum(), parts, materialize_grads=True)
    for grad, event, mean in zip(grads, fields(x), fields(d.mean), strict=True):
        assert_close(grad, event - mean)


@few
def test_second_order(family: Family):
    x = ss.StructDistribution(family.structure, family.draw((2,), seed=1)).sample()

    def answers(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        d = ss.StructDistribution(family.structure, family.kind(*parts))
        return (d.log_prob(x), d.entropy(), *fields(d.mean), *fields(d.variance))

    assert torch.autograd.gradcheck(answers, leaves(family))


@few
def test_each_call_builds_its_own_graph(family: Family):
    parts = leaves(family)
    d = ss.StructDistribution(family.structure, family.kind(*parts))
    x = d.sample()
    queries = (
        lambda: d.log_prob(x), d.entropy, d.log_partition, d.max_score, lambda: d.kl(d.expand((2,))),
        lambda: fields(d.mean)[0], lambda: fields(d.variance)[0], lambda: fields(d.stddev)[0],
        lambda: d.renyi_entropy(2.0),
    )  # fmt: skip
    for query in queries:
        first, second = (torch.autograd.grad(query().sum(), parts, allow_unused=True) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            assert (a is None and b is None) or torch.equal(a, b)


@few
def test_answers_without_gradient(family: Family):
    d = ss.StructDistribution(family.structure, family.kind(*leaves(family)))
    for value in (d.mode, d.sample(), d.enumerate_support(), d.topk(2).scores, d.count(), d.support.log_potentials):
        assert not any(f.requires_grad for f in fields(value))
    with torch.no_grad():
        assert not d.entropy().requires_grad
        assert not fields(d.mean)[0].requires_grad


def test_through_an_expanded_distribution():
    parts = leaves(chain(3, 2), ())
    d = ss.LinearChainCRF(ss.ChainPotentials(*parts))
    once = torch.autograd.grad(d.log_partition(), parts)
    many = torch.autograd.grad(d.expand((3, 2)).log_partition().sum(), parts)
    for a, b in zip(once, many, strict=True):
        assert_close(6 * a, b)
