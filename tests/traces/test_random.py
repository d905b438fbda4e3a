"""Random graphs: the minimum trees on noise beside networkx, and certificates that need no other solver."""

from __future__ import annotations

import networkx
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import traces


def noise(count: int, m: int, forbidden: float = 0.0, seed: int = 0) -> Tensor:
    """Exponentials of very different rates, the star from node 0 always allowed."""
    generator = torch.Generator().manual_seed(1000 * m + seed)
    scale = (2 * torch.randn(count, m, m, generator=generator, dtype=torch.float64)).exp()
    x = scale * torch.rand(count, m, m, generator=generator, dtype=torch.float64).log().neg()
    drop = torch.rand(count, m, m, generator=generator) < forbidden
    drop[:, 0] = False
    return x.masked_fill(drop, torch.inf)


def weight(event: Tensor, x: Tensor) -> Tensor:
    return torch.where(event > 0, x, 0.0).sum((-1, -2))


def directed(x: Tensor) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    m = len(x)
    values = x.tolist()
    graph.add_weighted_edges_from(
        (h, d, values[h][d]) for h in range(m) for d in range(1, m) if h != d and values[h][d] < torch.inf
    )
    return graph


def check_arborescences(count: int, m: int, forbidden: float) -> None:
    x = noise(count, m, forbidden)
    event = traces.ChuLiuEdmonds().event(traces.ChuLiuEdmonds().from_noise(x))
    assert (event.sum(-2) == (torch.arange(m) > 0)).all()
    above = torch.linalg.matrix_power(event.double() + torch.eye(m, dtype=torch.float64), m)
    assert (above[:, 0] > 0).all()
    ours = weight(event, x)
    for b in range(count):
        best = networkx.minimum_spanning_arborescence(directed(x[b]))
        theirs = sum(float(x[b, h, d]) for h, d in best.edges)
        assert abs(float(ours[b]) - theirs) <= 1e-9 * theirs, (m, b)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 6, 9, 15])
@pytest.mark.parametrize("forbidden", [0.0, 0.5])
def test_minimum_arborescences(m, forbidden):
    if m > 1:
        check_arborescences(12, m, forbidden)
    else:
        assert traces.ChuLiuEdmonds().event(traces.ChuLiuEdmonds().from_noise(noise(3, 1))).sum() == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("m", range(2, 16))
def test_ten_thousand_minimum_arborescences(m):
    check_arborescences(359, m, 0.0)
    check_arborescences(359, m, 0.5)


@pytest.mark.parametrize("m", [10, 30])
def test_arborescences_are_certified(m):
    """The minima passed sum to the weight of the tree: the dual of the linear program, so that no tree is lighter."""
    x = noise(200, m)
    passed = traces.OnNoise(x)
    trace = traces.ChuLiuEdmonds().run(passed, torch.zeros_like(x))
    event = traces.ChuLiuEdmonds().event(trace)
    assert (passed.noise >= 0).all()
    used = passed.noise.reshape(x.shape)[event > 0]
    torch.testing.assert_close(used, torch.zeros_like(used), atol=1e-9, rtol=0)
    # each component is entered by exactly one arc of the tree: complementary slackness
    entries = trace.reshape(200, -1)
    assert ((entries >= 0).sum(-1) >= m - 1).all()


@pytest.mark.parametrize("m", [2, 5, 12])
def test_minimum_spanning_trees(m):
    x = noise(20, m)
    event = traces.Kruskal().event(traces.Kruskal().from_noise(x))
    for b in range(20):
        graph = networkx.Graph()
        graph.add_weighted_edges_from((i, j, float(x[b, i, j])) for i in range(m) for j in range(i + 1, m))
        assert {(i, j) for i, j in graph.edges if event[b, i, j]} == {
            (min(e), max(e)) for e in networkx.minimum_spanning_edges(graph, algorithm="prim", data=False)
        }


@pytest.mark.parametrize(
    "algorithm, m", [(traces.Kruskal(), 20), (traces.ChuLiuEdmonds(), 20), (traces.GreedyMatching(), 12)], ids=repr
)
def test_a_batch_is_its_instances(algorithm, m):
    """128 instances in one call, beside one by one; and the trace again from its conditional noise."""
    log_rates = torch.randn(128, m, m, generator=torch.Generator().manual_seed(0))
    trace = algorithm.sample(log_rates, generator=torch.Generator().manual_seed(1))
    log_prob = algorithm.log_prob(trace, log_rates)
    event = algorithm.event(trace)
    for b in range(0, 128, 16):
        torch.testing.assert_close(log_prob[b], algorithm.log_prob(trace[b], log_rates[b]))
        assert torch.equal(event[b], algorithm.event(trace[b]))
    given = algorithm.conditional_noise(trace, log_rates)
    assert torch.equal(algorithm.from_noise(given), trace)


@pytest.mark.parametrize("algorithm", [traces.Ranking(), traces.BinaryTree(), traces.TopK(50)], ids=repr)
def test_many_items(algorithm):
    log_rates = 3 * torch.randn(4, 400, generator=torch.Generator().manual_seed(0))
    trace = algorithm.sample(log_rates, (2,), generator=torch.Generator().manual_seed(1))
    assert algorithm.log_prob(trace, log_rates).isfinite().all()
    given = algorithm.conditional_noise(trace, log_rates)
    assert torch.equal(algorithm.from_noise(given), trace)


@pytest.mark.parametrize("m", [3, 8, 20])
def test_trees_are_the_argmax_of_the_structures(m):
    """The structures' own decoders, on minus the noise."""
    x = noise(32, m)
    directed_tree = traces.ChuLiuEdmonds().event(traces.ChuLiuEdmonds().from_noise(x))
    assert torch.equal(directed_tree.double(), ss.argmax(ss.Arborescence(), -x))
    tree = traces.Kruskal().event(traces.Kruskal().from_noise(x))
    assert torch.equal(tree.double(), ss.argmax(ss.SpanningTree(), -x))


@pytest.mark.parametrize("algorithm, shape", [(traces.TopK(2), (5,)), (traces.Kruskal(), (4, 4))], ids=repr)
def test_a_score_function_finds_the_gradient(algorithm, shape):
    """Exactly, over all traces: the mean of cost times score is the gradient of the mean cost."""
    log_rates = torch.randn(shape, dtype=torch.float64).requires_grad_()
    distribution = ss.TraceDistribution(algorithm, log_rates)
    listed = distribution.enumerate_traces()
    cost = (distribution.event(listed.traces) * torch.randn(shape, dtype=torch.float64)).flatten(1).sum(-1) ** 2
    log_probs = distribution.log_prob(listed.traces)
    exact = torch.autograd.grad((log_probs.exp() * cost).sum(), log_rates, retain_graph=True)[0]
    score = torch.autograd.grad((listed.log_probs.exp() * cost * log_probs).sum(), log_rates)[0]
    torch.testing.assert_close(score, exact)
