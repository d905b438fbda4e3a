"""`TraceDistribution`: torch's contract, and estimates that are unbiased."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct import traces


def spanning(*batch: int, n: int = 4) -> torch.Tensor:
    return torch.randn(*batch, n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_methods_are_those_of_the_algorithm():
    log_rates, algorithm = spanning(2, 3), traces.Kruskal()
    dist = ss.TraceDistribution(algorithm, log_rates)
    assert dist.batch_shape == (2, 3) and dist.event_shape == (3,)
    trace = dist.sample((5,), generator=torch.Generator().manual_seed(1))
    assert torch.equal(trace, algorithm.sample(log_rates, (5,), generator=torch.Generator().manual_seed(1)))
    assert torch.equal(dist.log_prob(trace), algorithm.log_prob(trace, log_rates))
    assert dist.event(trace).dtype == torch.float64 and dist.event(trace).shape == (5, 2, 3, 4, 4)
    assert torch.equal(dist.greedy(), algorithm.greedy(log_rates))
    assert bool(dist.support.check(trace).all())
    noise = dist.noise((5,), generator=torch.Generator().manual_seed(1))
    assert torch.equal(dist.from_noise(noise), trace)
    given = dist.conditional_noise(trace)
    assert torch.equal(dist.from_noise(given), trace)


def test_lengths_go_along():
    lengths = torch.tensor([4, 2])
    dist = ss.TraceDistribution(traces.Kruskal(), spanning(2), lengths)
    trace = dist.sample((3,))
    assert bool((trace[:, 1, 1:] == -1).all())
    assert torch.equal(dist.from_noise(dist.conditional_noise(trace)), trace)
    assert dist.log_prob(trace).shape == (3, 2)
    assert dist.noise_log_prob(dist.noise((3,))).shape == (3, 2)
    listed = dist.enumerate_traces()
    torch.testing.assert_close(listed.log_probs.exp().sum(0), torch.ones(2, dtype=torch.float64))
    with pytest.raises(ss.UnsupportedQueryError):
        dist.enumerate_support()


def test_expand_and_enumerate():
    dist = ss.TraceDistribution(traces.TopK(2), torch.randn(5), torch.tensor(4)).expand((2, 3))
    assert dist.sample((7,)).shape == (7, 2, 3, 5)
    assert dist.enumerate_support().shape == (12, 2, 3, 5)
    assert dist.enumerate_support(expand=False).shape == (12, 1, 1, 5)
    torch.testing.assert_close(dist.log_prob(dist.enumerate_support()).exp().sum(0), torch.ones(2, 3))


def test_noise_log_prob():
    """The density of independent exponentials, over the arcs that matter; its score averages to that of the trace."""
    log_rates = spanning(n=3)
    dist = ss.TraceDistribution(traces.ChuLiuEdmonds(), log_rates)
    noise = dist.noise((4,))
    reads = torch.tensor([[False, True, True], [False, False, True], [False, True, False]])
    expected = torch.distributions.Exponential(log_rates[reads].exp()).log_prob(noise[:, reads]).sum(-1)
    torch.testing.assert_close(dist.noise_log_prob(noise), expected)
    log_rates[0, 1] = -torch.inf
    dist = ss.TraceDistribution(traces.ChuLiuEdmonds(), log_rates)
    assert dist.noise_log_prob(dist.noise((4,))).isfinite().all()


@pytest.mark.statistical
def test_conditional_scores_average_to_the_score_of_the_trace():
    """The score of the noise, averaged over noise with one trace, is the score of that trace: within 5 deviations."""
    log_rates = spanning(n=3).requires_grad_()
    dist = ss.TraceDistribution(traces.ChuLiuEdmonds(), log_rates)
    trace = dist.sample(generator=torch.Generator().manual_seed(0))
    exact = torch.autograd.grad(dist.log_prob(trace), log_rates)[0]
    many = dist.conditional_noise(trace.expand(20_000, -1), generator=torch.Generator().manual_seed(1)).detach()
    reads = exact != 0
    scores = (1 - log_rates.detach().exp() * many)[:, reads]  # of one item: 1 - rate * noise
    error = (scores.mean(0) - exact[reads]).abs() / (scores.std(0) / len(scores) ** 0.5)
    assert float(error.max()) < 5


@pytest.mark.statistical
@pytest.mark.parametrize("samples", [1, 4])
def test_entropy_estimate(samples):
    """Value and gradient within 5 standard deviations of those by enumeration."""
    log_rates = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64).requires_grad_()
    listed = traces.TopK(2).enumerate_traces(log_rates.detach())
    log_probs = traces.TopK(2).log_prob(listed.traces, log_rates)
    exact = -(log_probs.exp() * log_probs).sum()
    gradient = torch.autograd.grad(exact, log_rates)[0]
    wide = log_rates.detach().expand(4000, 3).clone().requires_grad_()
    dist = ss.TraceDistribution(traces.TopK(2), wide)
    estimate = dist.entropy_estimate(samples, generator=torch.Generator().manual_seed(0))
    each = torch.autograd.grad(estimate.sum(), wide)[0]
    assert abs(estimate.mean() - exact) < 5 * estimate.std() / 4000**0.5
    assert ((each.mean(0) - gradient).abs() < 5 * each.std(0) / 4000**0.5).all()


def test_refusals():
    with pytest.raises(ss.UnsupportedQueryError, match="entropy_estimate"):
        ss.TraceDistribution(traces.TopK(1), torch.zeros(3)).entropy()
    with pytest.raises(TypeError, match="needs an algorithm"):
        ss.TraceDistribution(ss.LinearChain(), torch.zeros(3))
    with pytest.raises(ss.ShapeError):
        ss.TraceDistribution(traces.Kruskal(), torch.zeros(3))
    with pytest.raises(ValueError, match="samples >= 1"):
        ss.TraceDistribution(traces.TopK(1), torch.zeros(3)).entropy_estimate(0)
