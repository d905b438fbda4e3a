"""Under `torch.func`, under `torch.compile`, and second order."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, vmap

from semiring_struct import traces

ALL = [
    (traces.TopK(2), (4,)),
    (traces.Ranking(), (4,)),
    (traces.Kruskal(), (4, 4)),
    (traces.ChuLiuEdmonds(), (4, 4)),
    (traces.GreedyMatching(), (3, 3)),
    (traces.BinaryTree(), (5,)),
]
every = pytest.mark.parametrize("algorithm, shape", ALL, ids=[repr(a) for a, _ in ALL])


def case(algorithm, shape):
    log_rates = torch.randn(3, *shape, dtype=torch.float64)
    return log_rates, algorithm.sample(log_rates)


@every
def test_vmap(algorithm, shape):
    log_rates, trace = case(algorithm, shape)
    scores = vmap(grad(lambda x, t: algorithm.log_prob(t, x)))(log_rates, trace)
    x = log_rates.clone().requires_grad_()
    expected = torch.autograd.grad(algorithm.log_prob(trace, x).sum(), x)[0]
    torch.testing.assert_close(scores, expected)
    drawn = vmap(lambda x: algorithm.sample(x), randomness="different")(log_rates)
    assert algorithm.log_prob(drawn, log_rates).isfinite().all()
    assert torch.equal(vmap(algorithm.event)(trace), algorithm.event(trace))
    given = vmap(lambda x, t: algorithm.conditional_noise(t, x), randomness="different")(log_rates, trace)
    assert torch.equal(algorithm.from_noise(given), trace)


@pytest.mark.parametrize("algorithm", [traces.TopK(2), traces.ChuLiuEdmonds()], ids=repr)
def test_compiled(algorithm):
    log_rates, trace = case(algorithm, (3,) * algorithm.rates_dim)
    compiled = torch.compile(lambda x, t: algorithm.log_prob(t, x), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(log_rates, trace), algorithm.log_prob(trace, log_rates))


@every
def test_global_generator(algorithm, shape):
    """Without a generator the global one is used, and so a seed of it repeats the draw."""
    log_rates = torch.randn(3, *shape)
    torch.manual_seed(5)
    first = algorithm.sample(log_rates, (2,))
    torch.manual_seed(5)
    assert torch.equal(first, algorithm.sample(log_rates, (2,)))


@every
def test_score_averages_to_zero(algorithm, shape):
    """The expected score of the trace is 0, the identity that makes the score function unbiased."""
    log_rates = torch.randn(shape, dtype=torch.float64).requires_grad_()
    listed = algorithm.enumerate_traces(log_rates.detach())
    total = algorithm.log_prob(listed.traces, log_rates).exp().sum()
    torch.testing.assert_close(torch.autograd.grad(total, log_rates)[0], torch.zeros_like(log_rates))
