"""Allowed parts and partial annotation, against sums over enumerations."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct import constraints
from tests.enumerations.linear_chain import chain_events
from tests.enumerations.span_tree import span_events
from tests.structures.families import chain, spans, subset

NEG_INF = float("-inf")


def test_probability_of_partly_known_tags():
    phi = chain(4, 3).draw((2,), seed=0)
    tags = torch.tensor([[-1, 2, -1, 0], [1, -1, -1, -1]])
    mask = constraints.known_tags(tags, 3)
    found = constraints.log_prob(ss.LinearChain(), phi, (mask, None))
    emission, transition = chain_events(4, 3)
    for b in range(2):
        scores = (emission * phi.emission[b]).sum((1, 2)) + (transition * phi.transition[b]).sum((1, 2, 3))
        strings = emission.argmax(-1)
        fits = ((strings == tags[b]) | (tags[b] == -1)).all(1)
        torch.testing.assert_close(found[b], scores[fits].logsumexp(0) - scores.logsumexp(0))


def test_all_known_is_log_prob_and_nothing_known_is_certain():
    phi, tags = chain(4, 3).draw((5,), seed=1), torch.randint(0, 3, (5, 4))
    lengths = torch.tensor([4, 3, 2, 1, 0])
    found = constraints.log_prob(ss.LinearChain(), phi, (constraints.known_tags(tags, 3), None), lengths)
    torch.testing.assert_close(found, ss.log_prob(ss.LinearChain(), phi, tags, lengths))
    free = constraints.log_prob(ss.LinearChain(), phi, (constraints.known_tags(torch.full_like(tags, -1), 3), None))
    assert torch.equal(free, torch.zeros(5, dtype=torch.float64))


def test_partly_known_bracketings():
    phi = spans(4).draw((), seed=2)
    crossing = torch.zeros(4, 4, dtype=torch.bool)
    crossing[0, 2] = crossing[2, 3] = True
    events = span_events(4)
    scores = (events * phi).sum((1, 2))
    fits = ~(events.bool() & crossing).any((1, 2))
    found = constraints.log_prob(ss.SpanTree(), phi, ~crossing)
    torch.testing.assert_close(found, scores[fits].logsumexp(0) - scores.logsumexp(0))


def test_gradient_is_the_difference_of_marginals():
    phi = subset(4, 2).draw((3,), seed=3).requires_grad_()
    mask = torch.tensor([True, True, False, True])
    (gradient,) = torch.autograd.grad(constraints.log_prob(ss.Subset(2), phi, mask).sum(), phi)
    within = ss.marginals(ss.Subset(2), constraints.allow(phi, mask))
    torch.testing.assert_close(gradient, (within - ss.marginals(ss.Subset(2), phi)).detach())
    assert torch.autograd.gradcheck(lambda x: constraints.log_prob(ss.Subset(2), x, mask), phi)
    assert torch.autograd.gradgradcheck(lambda x: constraints.log_prob(ss.Subset(2), x, mask), phi)


def test_an_impossible_set():
    phi = torch.randn(2, 4, requires_grad=True)
    nothing = torch.tensor([[False] * 4, [True] * 4])
    found = constraints.log_prob(ss.Subset(2), phi, nothing)
    assert found.tolist() == [NEG_INF, 0.0]
    (gradient,) = torch.autograd.grad(torch.where(found > NEG_INF, found, 0.0).sum(), phi)
    assert torch.equal(gradient, torch.zeros_like(phi))
    barred = torch.full((4,), NEG_INF)
    assert constraints.log_prob(ss.Subset(2), barred, torch.ones(4, dtype=torch.bool)) == NEG_INF


def test_large_totals_keep_their_difference():
    phi = 1e4 + torch.randn(64, 300)
    mask = torch.rand(300) < 0.9
    found = constraints.log_prob(ss.BitVector(), phi, mask)
    torch.testing.assert_close(found, -phi[:, ~mask].double().sum(1).float())


def test_what_is_refused():
    phi = chain(3, 2).draw((), seed=0)
    every = torch.ones(3, 2, dtype=torch.bool)
    for mask, message in ((every, "2 masks"), ((None,), "2 masks"), ((1.0, None), "boolean")):
        with pytest.raises(TypeError, match=message):
            constraints.allow(phi, mask)
    for wrong in (3, -2):
        with pytest.raises(ValueError, match="known_tags"):
            constraints.known_tags(torch.tensor([0, wrong]), 3)
