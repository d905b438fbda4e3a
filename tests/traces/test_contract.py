"""Every algorithm keeps what `check_trace` asks for, beside other algorithms for the same structures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import traces
from semiring_struct.testing import check_sampler
from tests.traces import reference

NEG_INF = -torch.inf


def rates(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CASES = {
    "top 2 of 5": (traces.TopK(2), (5,), lambda noise: reference.smallest(noise, 2)),
    "top 0 of 2": (traces.TopK(0), (2,), lambda noise: reference.smallest(noise, 0)),
    "top 4 of 4": (traces.TopK(4), (4,), lambda noise: reference.smallest(noise, 4)),
    "ranking": (traces.Ranking(), (4,), reference.ranking),
    "spanning tree": (traces.Kruskal(), (4, 4), reference.spanning_tree),
    "arborescence": (traces.ChuLiuEdmonds(), (4, 4), reference.arborescence),
    "arborescence from 2": (traces.ChuLiuEdmonds(root=2), (3, 3), lambda noise: reference.arborescence(noise, 2)),
    "matching": (traces.GreedyMatching(), (3, 3), reference.matching),
    "binary tree": (traces.BinaryTree(), (5,), reference.binary_tree),
}
cases = pytest.mark.parametrize("algorithm, shape, event", CASES.values(), ids=list(CASES))


@pytest.mark.statistical
@cases
def test_contract(algorithm, shape, event):
    ss.testing.check_trace(algorithm, rates(2, *shape), event)


FORBIDDEN = {
    "top 2": (traces.TopK(2), (5,), [(0,), (3,)]),
    "ranking": (traces.Ranking(), (4,), [(1,)]),
    "spanning tree": (traces.Kruskal(), (4, 4), [(0, 1), (2, 3)]),
    "arborescence": (traces.ChuLiuEdmonds(), (4, 4), [(0, 1), (0, 2), (3, 2)]),
    "matching": (traces.GreedyMatching(), (3, 3), []),
    "binary tree": (traces.BinaryTree(), (5,), [(0,), (2,)]),
}


@pytest.mark.statistical
@pytest.mark.parametrize("algorithm, shape, forbidden", FORBIDDEN.values(), ids=list(FORBIDDEN))
def test_contract_with_forbidden_items(algorithm, shape, forbidden):
    log_rates = rates(*shape)
    for key in forbidden:
        log_rates[key] = NEG_INF
    ss.testing.check_trace(algorithm, log_rates)


LENGTHS = {
    "top 2": (traces.TopK(2), (4,), [4, 2, 3]),
    "ranking": (traces.Ranking(), (4,), [4, 0, 2]),
    "spanning tree": (traces.Kruskal(), (4, 4), [4, 1, 3]),
    "no vertices": (traces.Kruskal(), (2, 2), [0, 2]),
    "arborescence": (traces.ChuLiuEdmonds(), (4, 4), [0, 2, 3]),
    "matching": (traces.GreedyMatching(), (3, 3), [0, 3, 2]),
    "binary tree": (traces.BinaryTree(), (4,), [4, 1, 0]),
}


@pytest.mark.statistical
@pytest.mark.parametrize("algorithm, shape, lengths", LENGTHS.values(), ids=list(LENGTHS))
def test_contract_with_lengths(algorithm, shape, lengths):
    ss.testing.check_trace(algorithm, rates(len(lengths), *shape), lengths=torch.tensor(lengths))


@pytest.mark.parametrize("algorithm, shape, lengths", LENGTHS.values(), ids=list(LENGTHS))
def test_padding_changes_nothing(algorithm, shape, lengths):
    """Each instance has the traces and probabilities of its unpadded self, and gradient 0 past its length."""
    padded = rates(len(lengths), *shape).requires_grad_()
    extra, dims = algorithm.extra, len(shape)
    trace = algorithm.sample(padded, lengths=torch.tensor(lengths))
    log_prob = algorithm.log_prob(trace, padded, lengths=torch.tensor(lengths))
    grad = torch.autograd.grad(log_prob.sum(), padded)[0]
    mean = algorithm.conditional_mean(trace, padded, lengths=torch.tensor(lengths))
    event = algorithm.event(trace)
    for b, length in enumerate(lengths):
        m = length + extra
        past = torch.ones(shape, dtype=torch.bool)
        past[(slice(m),) * dims] = False
        assert (grad[b][past] == 0).all() and (mean[b][past] == torch.inf).all()
        keep = event[b]
        keep = keep[m:] if event[b].dim() == 1 else keep[:, m:]
        assert (keep == 0).all()
        if m == 0:
            assert log_prob[b] == 0 and (trace[b] == -1).all()
            continue
        own = padded[b][(slice(m),) * dims].detach()
        listed = algorithm.enumerate_traces(own)
        whole = algorithm.enumerate_traces(padded[b], lengths=torch.tensor(length))
        torch.testing.assert_close(whole.log_probs, listed.log_probs)


@cases
def test_batch_dims(algorithm, shape, event):
    log_rates = rates(2, 1, 3, *shape)
    generator = torch.Generator().manual_seed(0)
    trace = algorithm.sample(log_rates, (4,), generator=generator)
    assert trace.shape[:-1] == (4, 2, 1, 3)
    log_prob = algorithm.log_prob(trace, log_rates)
    assert log_prob.shape == (4, 2, 1, 3)
    one = algorithm.log_prob(trace[3, 1, 0, 2], log_rates[1, 0, 2])
    assert one.shape == () and torch.allclose(one, log_prob[3, 1, 0, 2])
    assert algorithm.event(trace).shape[:4] == (4, 2, 1, 3)
    assert algorithm.conditional_noise(trace, log_rates).shape == (4, 2, 1, 3, *shape)
    assert algorithm.noise(log_rates, (4,)).shape == (4, 2, 1, 3, *shape)
    assert algorithm.greedy(log_rates).shape == trace.shape[1:]
    wide = algorithm.log_prob(trace, log_rates[:1, :, :1])
    assert wide.shape == (4, 2, 1, 3)
    empty = log_rates[:0]
    assert algorithm.sample(empty, (2,)).shape == (2, 0, 1, 3, trace.shape[-1])
    assert algorithm.log_prob(trace[:, :0], empty).shape == (4, 0, 1, 3)


@cases
def test_single_precision(algorithm, shape, event):
    log_rates = rates(3, *shape)
    trace = algorithm.sample(log_rates)
    for dtype, answer in ((torch.float32, torch.float32), (torch.bfloat16, torch.float32)):
        narrow = log_rates.to(dtype)
        log_prob = algorithm.log_prob(trace, narrow)
        assert log_prob.dtype == answer and algorithm.conditional_noise(trace, narrow).dtype == answer
        assert torch.allclose(log_prob.double(), algorithm.log_prob(trace, narrow.double()), atol=1e-5)


@cases
def test_greedy_is_the_run_on_the_mean_noise(algorithm, shape, event):
    log_rates = rates(20, *shape)
    assert torch.equal(algorithm.greedy(log_rates), algorithm.from_noise((-log_rates).exp()))
    assert torch.equal(algorithm.run(traces.Greedy(), log_rates), algorithm.greedy(log_rates))
    log_noise = algorithm.log_noise(1000 * log_rates)
    trace = algorithm.greedy(-log_noise)
    assert torch.equal(algorithm.greedy(-algorithm.conditional_log_noise(trace, 1000 * log_rates)), trace)


@cases
def test_large_log_rates(algorithm, shape, event):
    """No NaN, in value or gradient, for log-rates up to 1e4: nothing is exponentiated."""
    log_rates = (1e4 * rates(8, *shape).tanh()).requires_grad_()
    trace = algorithm.sample(log_rates, (2,))
    log_prob = algorithm.log_prob(trace, log_rates)
    log_noise = algorithm.conditional_log_noise(trace, log_rates)
    first = torch.autograd.grad(log_prob.sum() + log_noise.sum(), log_rates, create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), log_rates)[0]
    assert all(x.isfinite().all() for x in (log_prob, log_noise, first, second))


@cases
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_large_and_forbidden(algorithm, shape, event, share):
    """No NaN to second order where up to 90 % of the items are forbidden and the others reach 1e4."""
    generator = torch.Generator().manual_seed(1)
    log_rates = 1e4 * rates(100, *shape).tanh()
    log_rates[torch.rand(log_rates.shape, generator=generator) < share] = NEG_INF
    possible = algorithm.enumerate_traces(log_rates).valid.any(0)
    log_rates = log_rates[possible].requires_grad_()
    assert share > 0.5 or len(log_rates)
    if len(log_rates) == 0:
        return
    trace = algorithm.enumerate_traces(log_rates).traces[0]
    log_prob = algorithm.log_prob(trace, log_rates)
    log_noise = algorithm.conditional_log_noise(trace, log_rates)
    assert torch.equal(log_noise == torch.inf, log_rates == NEG_INF)
    total = log_prob.sum() + torch.where(log_noise < torch.inf, log_noise, 0.0).sum()
    first = torch.autograd.grad(total, log_rates, create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), log_rates)[0]
    assert all(x.isfinite().all() for x in (log_prob, first, second))
    assert (first[log_rates == NEG_INF] == 0).all()


@pytest.mark.statistical
def test_every_arborescence_trace_is_as_frequent_as_it_is_probable():
    """Thousands of traces on five nodes, those expected fewer than five times pooled."""
    log_rates, algorithm = rates(5, 5, seed=1), traces.ChuLiuEdmonds()
    listed = algorithm.enumerate_traces(log_rates)
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> Tensor:
        drawn = algorithm.sample(log_rates, (count,), generator=generator)
        code = torch.cat([listed.traces, drawn]).unique(dim=0, return_inverse=True)[1]
        place = torch.full((len(code),), -1).scatter(0, code[: len(listed.traces)], torch.arange(len(listed.traces)))
        return place[code[len(listed.traces) :]]

    check_sampler(draw, listed.log_probs.exp(), draws=40_000, name="arborescence traces")


def test_a_planted_bias_is_caught():
    """An algorithm that forgets to drop what it has taken is no longer what its probabilities say."""

    class Biased(traces.AlgorithmTrace):
        subtracts = False

        def __init__(self):
            self.inner = traces.TopK(2)

        def entries(self, size):
            return size

        def size(self, entries):
            return entries

        def start(self, allowed, lengths):
            return self.inner.start(allowed, lengths)

        def stop(self, state):
            return self.inner.stop(state)

        def split(self, state, step):
            return self.inner.split(state, step)

        def map(self, state, picks):
            after = self.inner.map(state, picks)
            return after._replace(items=after.items.roll(1, -1) if int(after.wanted.max()) == 1 else after.items)

        def combine(self, trace):
            return self.inner.combine(trace)

    with pytest.raises(AssertionError):
        ss.testing.check_trace(Biased(), rates(4), gradients=False)
