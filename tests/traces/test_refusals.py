"""What is refused, by name."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct import traces

NEG_INF = -torch.inf
SOME = [
    traces.TopK(1),
    traces.Ranking(),
    traces.Kruskal(),
    traces.ChuLiuEdmonds(),
    traces.GreedyMatching(),
    traces.BinaryTree(),
]
some = pytest.mark.parametrize("algorithm", SOME, ids=repr)


def zeros(algorithm, *batch, n=3):
    return torch.zeros(*batch, *[n] * algorithm.rates_dim)


@some
def test_bad_log_rates(algorithm):
    good = zeros(algorithm, 2)
    for bad in (torch.nan, torch.inf):
        log_rates = good.clone()
        log_rates.view(-1)[1] = bad
        with pytest.raises(ValueError, match="log_rates must be finite"):
            algorithm.sample(log_rates)
    with pytest.raises(TypeError, match="floating point"):
        algorithm.sample(good.long())
    with pytest.raises(TypeError, match="as a tensor"):
        algorithm.sample([0.0])
    with pytest.raises(ss.ShapeError, match="needs log_rates of shape"):
        algorithm.sample(torch.tensor(0.0))
    with pytest.raises(ss.ShapeError, match="needs log_rates of shape"):
        algorithm.sample(good[..., :0])
    if algorithm.rates_dim == 2:
        with pytest.raises(ss.ShapeError, match="needs log_rates of shape"):
            algorithm.sample(good[..., :2])


@some
def test_bad_lengths(algorithm):
    log_rates = zeros(algorithm, 2)
    with pytest.raises(ValueError, match="must lie in"):
        algorithm.sample(log_rates, lengths=torch.tensor([1, 4]))
    with pytest.raises(ss.ShapeError):
        algorithm.sample(log_rates, lengths=torch.tensor([1, 1, 1]))


@some
def test_bad_sample_shape(algorithm):
    with pytest.raises(ValueError, match="sample_shape"):
        algorithm.sample(zeros(algorithm), (-1,))


@some
def test_bad_noise(algorithm):
    noise = zeros(algorithm)
    noise.view(-1)[1] = torch.nan
    with pytest.raises(ValueError, match="noise must be finite"):
        algorithm.from_noise(noise)


@some
def test_bad_traces(algorithm):
    log_rates = torch.randn(zeros(algorithm).shape)
    trace = algorithm.greedy(log_rates)
    with pytest.raises(TypeError, match="integers"):
        algorithm.log_prob(trace.float(), log_rates)
    with pytest.raises(ss.ShapeError, match="trace has shape"):
        algorithm.log_prob(trace[:1], log_rates)
    with pytest.raises(ValueError, match="holds keys in"):
        algorithm.log_prob(trace + 100, log_rates)
    with pytest.raises(ss.ShapeError, match="lead dims"):
        algorithm.log_prob(trace.expand(3, -1), log_rates.expand(2, *log_rates.shape))
    for wrong in (torch.full_like(trace, -1), torch.where(trace >= 0, trace.max(), -1)):
        if torch.equal(wrong, trace):
            continue
        with pytest.raises(ValueError, match="no trace of this algorithm"):
            algorithm.log_prob(wrong, log_rates)
        with pytest.raises(ValueError, match="no trace of this algorithm"):
            algorithm.conditional_noise(wrong, log_rates)


@pytest.mark.parametrize(
    "algorithm, wrong",
    [
        (traces.TopK(2), [0, 1, 2]),
        (traces.Ranking(), [0, 1, -1]),
        (traces.Kruskal(), [1, -1]),
        (traces.Kruskal(), [3, 1]),
        (traces.ChuLiuEdmonds(), [-1, 1, 2, 2]),
        (traces.ChuLiuEdmonds(), [-1, 7, 5, -1]),
        (traces.GreedyMatching(), [0, 1, 8]),
        (traces.BinaryTree(), [1, 2, 0]),
    ],
)
def test_what_is_no_trace(algorithm, wrong):
    with pytest.raises(ValueError, match="no trace of this algorithm"):
        algorithm.log_prob(torch.tensor(wrong), zeros(algorithm))


@pytest.mark.parametrize(
    "algorithm, forbidden, trace",
    [
        (traces.TopK(2), [(0,)], [0, 1, -1]),
        (traces.Ranking(), [(0,)], [1, 2, 0]),
        (traces.Kruskal(), [(0, 1)], [1, 2]),
        (traces.ChuLiuEdmonds(), [(0, 1)], [-1, 1, 2, -1]),
        (traces.GreedyMatching(), [(0, 0)], [0, 4, 8]),
        (traces.BinaryTree(), [(0,)], [1, 0, 2]),
    ],
)
def test_a_trace_with_a_forbidden_item(algorithm, forbidden, trace):
    log_rates = zeros(algorithm)
    for key in forbidden:
        log_rates[key] = NEG_INF
    log_rates.requires_grad_()
    log_prob = algorithm.log_prob(torch.tensor(trace), log_rates)
    assert log_prob == NEG_INF
    assert (torch.autograd.grad(log_prob, log_rates)[0] == 0).all()
    with pytest.raises(ValueError, match="forbidden key"):
        algorithm.conditional_noise(torch.tensor(trace), log_rates)


def forbid(algorithm, *keys):
    """Two instances of which the second is infeasible."""
    log_rates = zeros(algorithm, 2)
    for key in keys:
        log_rates[(1, *key)] = NEG_INF
    return algorithm, log_rates


@pytest.mark.parametrize(
    "algorithm, log_rates",
    [
        forbid(traces.TopK(2), (0,), (1,)),
        forbid(traces.Kruskal(), (0, 1), (0, 2)),
        forbid(traces.ChuLiuEdmonds(), (0, 1), (2, 1)),
        forbid(traces.ChuLiuEdmonds(), (0, 1), (0, 2)),
        forbid(traces.GreedyMatching(), (0, slice(None))),
    ],
)
def test_infeasible_instances(algorithm, log_rates):
    for call in (algorithm.sample, algorithm.greedy, lambda x: algorithm.sample(x, (3,))):
        with pytest.raises(ss.InfeasibleError, match=r"first at index \(1,\)"):
            call(log_rates)
    with pytest.raises(ss.InfeasibleError, match=r"first at index \(1,\)"):
        algorithm.from_noise(torch.where(log_rates == NEG_INF, torch.inf, 1.0))
    listed = algorithm.enumerate_traces(log_rates)
    assert not listed.valid[:, 1].any()


def test_a_short_instance():
    with pytest.raises(ss.InfeasibleError):
        traces.TopK(3).sample(torch.zeros(4), lengths=torch.tensor(2))
    with pytest.raises(ss.InfeasibleError):
        traces.TopK(5).sample(torch.zeros(4))


def test_settings():
    for k in (-1, 1.5, True):
        with pytest.raises(ValueError, match="k >= 0"):
            traces.TopK(k)
    with pytest.raises(ValueError, match="root"):
        traces.ChuLiuEdmonds(-1)
    with pytest.raises(ValueError, match="needs that node"):
        traces.ChuLiuEdmonds(3).sample(torch.zeros(3, 3))


def test_too_many_traces():
    with pytest.raises(ValueError, match="more than limit=100"):
        traces.Ranking().enumerate_traces(torch.zeros(6), 100)


def test_events_of_what_is_no_trace():
    with pytest.raises(ss.ShapeError, match="traces of 5 entries"):
        traces.ChuLiuEdmonds().event(torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="holds keys in"):
        traces.Kruskal().event(torch.tensor([9, 1]))


@some
def test_queries_on_potentials_say_what_is_offered(algorithm):
    for query in (ss.log_partition, ss.sample, ss.argmax, ss.marginals):
        with pytest.raises(ss.UnsupportedQueryError, match=r"offers methods \(sample, log_prob"):
            query(algorithm, zeros(algorithm))
