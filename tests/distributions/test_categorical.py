"""`OneOf` beside torch's own categorical distributions."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Independent, OneHotCategorical, kl_divergence
from torch.testing import assert_close

import semiring_struct as ss


@pytest.fixture(params=[(), (3,), (2, 3)], ids=str)
def logits(request: pytest.FixtureRequest) -> torch.Tensor:
    return torch.randn(*request.param, 5, dtype=torch.float64)


def test_every_property(logits: torch.Tensor):
    ours, theirs = ss.StructDistribution(ss.OneOf(), logits), OneHotCategorical(logits=logits)
    assert ours.batch_shape == theirs.batch_shape
    assert ours.event_shape == theirs.event_shape
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    assert ours.has_rsample == theirs.has_rsample
    for name in ("mean", "mode", "variance", "stddev"):
        assert_close(getattr(ours, name), getattr(theirs, name))
    assert_close(ours.entropy(), theirs.entropy())
    assert_close(ours.perplexity(), theirs.perplexity())
    assert ours.support.event_dim == theirs.support.event_dim
    assert ours.support.is_discrete == theirs.support.is_discrete
    for expand in (True, False):
        assert_close(ours.enumerate_support(expand), theirs.enumerate_support(expand).double())
    x = theirs.sample((4,))
    assert_close(ours.log_prob(x), theirs.log_prob(x))
    assert torch.equal(ours.support.check(x), theirs.support.check(x))
    assert ours.sample((4, 2)).shape == theirs.sample((4, 2)).shape
    assert ours.sample().shape == theirs.sample().shape


def test_labels_are_those_of_categorical(logits: torch.Tensor):
    ours, theirs = ss.StructDistribution(ss.OneOf(), logits), Categorical(logits=logits)
    y = theirs.sample((6,))
    assert_close(ours.log_prob(y), theirs.log_prob(y))
    assert ours.sample((6,), labels=True).shape == y.shape
    assert torch.equal(ours.argmax(labels=True), theirs.mode)
    assert torch.equal(ours.from_labels(y), torch.nn.functional.one_hot(y, 5).double())
    assert torch.equal(ours.to_labels(ours.from_labels(y)), y)
    with pytest.raises(ValueError):
        theirs.log_prob(torch.tensor(5))
    with pytest.raises(ValueError):
        ours.log_prob(torch.tensor(5))


def test_forbidden_options(logits: torch.Tensor):
    logits = logits.clone()
    logits[..., 2] = -torch.inf
    ours, theirs = ss.StructDistribution(ss.OneOf(), logits), OneHotCategorical(logits=logits)
    assert_close(ours.enumerate_support(), theirs.enumerate_support().double())
    assert_close(ours.log_prob(ours.enumerate_support()).exp(), theirs.log_prob(theirs.enumerate_support()).exp())
    assert_close(ours.mean, theirs.mean)


def test_outside_the_support(logits: torch.Tensor):
    ours, theirs = ss.StructDistribution(ss.OneOf(), logits), OneHotCategorical(logits=logits)
    for bad in (torch.zeros(5), torch.ones(5), torch.eye(5)[0] * 2):
        for d in (ours, theirs):
            with pytest.raises(ValueError):
                d.log_prob(bad.double())
    with pytest.raises(ValueError):
        ours.log_prob(torch.eye(4)[0])


def test_divergence(logits: torch.Tensor):
    other = torch.randn(5, dtype=torch.float64)
    ours = [ss.StructDistribution(ss.OneOf(), x) for x in (logits, other)]
    theirs = [OneHotCategorical(logits=x) for x in (logits, other)]
    assert_close(kl_divergence(*ours), kl_divergence(*theirs))
    assert_close(kl_divergence(*ours[::-1]), kl_divergence(*theirs[::-1]))


def test_expand(logits: torch.Tensor):
    shape = (4, *logits.shape[:-1])
    ours = ss.StructDistribution(ss.OneOf(), logits).expand(shape)
    theirs = OneHotCategorical(logits=logits).expand(shape)
    x = theirs.sample((2,))
    assert ours.batch_shape == theirs.batch_shape
    assert_close(ours.log_prob(x), theirs.log_prob(x))
    assert_close(ours.mean, theirs.mean)


def test_independent():
    logits = torch.randn(2, 3, 5, dtype=torch.float64)
    ours = Independent(ss.StructDistribution(ss.OneOf(), logits), 1)
    theirs = Independent(OneHotCategorical(logits=logits), 1)
    x = theirs.sample((4,))
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    assert_close(ours.log_prob(x), theirs.log_prob(x))
    assert_close(ours.entropy(), theirs.entropy())
    assert_close(kl_divergence(ours, ours), torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)
    assert ours.sample((4,)).shape == x.shape
    assert torch.equal(ours.support.check(x), theirs.support.check(x))
    assert ours.expand((6, 2)).log_prob(x[0]).shape == (6, 2)
