"""Arborescences and spanning trees beside known answers, networkx, counts in closed form, and at scale."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor

import semiring_struct as ss

NEG_INF = float("-inf")
CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers.json").read_text())
ROOTS = pytest.mark.parametrize("single_root", [False, True])


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, tensor(expected), rtol=tolerance, atol=tolerance)


def edges_as_matrix(edges: list[list[int]], values: Any, n: int = 4) -> Tensor:
    out = torch.zeros(n, n, dtype=torch.float64)
    for (i, j), value in zip(edges, values, strict=True):
        out[i, j] = value
    return out


def random_arcs(batch: int, m: int, seed: int, *, scale: float = 1.0, forbidden: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    arcs = scale * torch.randn(batch, m, m, generator=generator, dtype=torch.float64)
    return arcs.masked_fill(torch.rand(arcs.shape, generator=generator) < forbidden, NEG_INF)


def test_known_spanning_tree():
    case = CASES["spanning_tree_K4"]
    edges, tree = case["edges"], ss.SpanningTree()
    phi = edges_as_matrix(edges, case["theta"]).requires_grad_()
    i, j = torch.tensor(edges).T
    same(ss.log_partition(tree, phi).detach(), case["logZ"])
    same(ss.entropy(tree, phi).detach(), case["entropy"])
    marginals = ss.marginals(tree, phi)
    same(marginals[i, j].detach(), case["marginals"])
    (pulled,) = torch.autograd.grad(marginals[i, j] @ tensor(case["cotangent"]), phi)
    same(pulled[i, j], case["vjp"])
    columns = [ss.covariance_vp(tree, phi.detach(), edges_as_matrix(edges, row))[i, j] for row in torch.eye(6)]
    same(torch.stack(columns), case["edge_covariance"])
    assert ss.argmax(tree, phi, labels=True).tolist() == case["map_edges"]
    best = ss.topk(tree, phi.detach(), len(case["kbest"]))
    same(best.scores, [score for _, score in case["kbest"]])
    assert tree.to_labels(best.events).tolist() == [edges for edges, _ in case["kbest"]]


def test_extreme_weights_are_not_clipped():
    case = CASES["spanning_tree_extreme_logits"]
    phi = edges_as_matrix(case["edges"], case["theta"])
    i, j = torch.tensor(case["edges"]).T
    same(ss.log_partition(ss.SpanningTree(), phi), case["logZ"], 1e-11)
    same(ss.marginals(ss.SpanningTree(), phi)[i, j], case["marginals"])


@ROOTS
def test_known_arborescence(single_root: bool):
    whole = CASES["arborescence_n4"]
    case = whole["single_root" if single_root else "multi_root"]
    phi, tree = tensor(whole["W_head_modifier"]), ss.Arborescence(single_root=single_root)
    same(ss.log_partition(tree, phi), case["logZ"])
    same(ss.count(tree, phi), case["count"])
    same(ss.marginals(tree, phi), case["marginals_head_mod"])
    same(ss.entropy(tree, phi), case["entropy"])
    assert ss.argmax(tree, phi, labels=True).tolist() == case["map_parents"]
    same(ss.max_score(tree, phi), case["map_score"])
    best = ss.topk(tree, phi, len(case["kbest"]))
    same(best.scores, [score for _, score in case["kbest"]])
    assert tree.to_labels(best.events).tolist() == [heads for heads, _ in case["kbest"]]
    second = case["second_order"]
    r, s = tensor(second["R"]), tensor(second["S"])
    same(ss.expectation(tree, phi, r), second["E_r"])
    same((ss.covariance_vp(tree, phi, r) * s).sum(), second["Cov_rs"])
    same(ss.kl(tree, phi, tensor(case["kl"]["Wq"])), case["kl"]["kl_p_q"])


@ROOTS
def test_known_ranking(single_root: bool):
    case = CASES["arborescence_spanningtrees_readme"]
    expected = case["kbest_single_root" if single_root else "kbest_unconstrained"]
    tree = ss.Arborescence(single_root=single_root)
    best = ss.topk(tree, tensor(case["W"]), len(expected) + 1)
    same(best.scores[:-1], [score for _, score in expected])
    assert best.valid.tolist() == [True] * len(expected) + [False]
    heads = tree.to_labels(best.events[:-1]).tolist()
    assert sorted(heads) == sorted(heads for heads, _ in expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12])
def test_counts_in_closed_form(n: int):
    zeros = torch.zeros(n + 1, n + 1)
    assert ss.count(ss.Arborescence(), zeros) == (n + 1) ** (n - 1)
    assert ss.count(ss.Arborescence(single_root=True), zeros) == n ** (n - 1)
    assert ss.count(ss.SpanningTree(), torch.zeros(n, n)) == n ** max(n - 2, 0)


def best_by_networkx(arcs: Tensor, single_root: bool) -> float:
    """The best score; with a single root, the best over all choices of its only arc."""
    m = len(arcs)
    roots = [[d] for d in range(1, m)] if single_root else [list(range(1, m))]
    found = NEG_INF
    for allowed in roots:
        graph = nx.DiGraph()
        graph.add_nodes_from(range(m))
        for h, d in itertools.product(range(m), range(1, m)):
            if h != d and arcs[h, d] > NEG_INF and (h > 0 or d in allowed):
                graph.add_edge(h, d, weight=float(arcs[h, d]))
        try:
            best = nx.maximum_spanning_arborescence(graph)
        except nx.NetworkXException:
            continue
        found = max(found, sum(w for _, _, w in best.edges(data="weight")))
    return found


def compare_with_networkx(graphs: int, seed: int, single_root: bool) -> None:
    """Random graphs of 2 to 12 vertices, a third of them with ties, with 0 to 60 % of the arcs forbidden."""
    for m in range(2, 13):
        arcs = random_arcs(graphs, m, seed * 100 + m, forbidden=(m + seed) % 4 * 0.2)
        tied = torch.arange(graphs) % 3 == 0
        arcs = torch.where(tied[:, None, None], arcs.round(), arcs)
        best = ss.max_score(ss.Arborescence(single_root=single_root), arcs)
        expected = torch.tensor([best_by_networkx(one, single_root) for one in arcs], dtype=torch.float64)
        torch.testing.assert_close(best, expected, rtol=1e-12, atol=1e-12)


@ROOTS
def test_best_arborescences_are_those_of_networkx(single_root: bool):
    compare_with_networkx(12, 0, single_root)


@pytest.mark.exhaustive
@ROOTS
def test_best_arborescences_of_ten_thousand_graphs(single_root: bool):
    for seed in range(10):
        compare_with_networkx(91, seed, single_root)


@pytest.mark.parametrize("seed", range(3))
def test_best_spanning_trees_are_those_of_networkx(seed: int):
    edges = random_arcs(40, 9, seed, forbidden=0.3)
    edges = edges.round() if seed == 2 else edges
    best = ss.max_score(ss.SpanningTree(), edges)
    for found, one in zip(best.tolist(), edges, strict=True):
        graph = nx.Graph()
        graph.add_nodes_from(range(9))
        allowed = [(i, j) for i, j in itertools.combinations(range(9), 2) if one[i, j] > NEG_INF]
        graph.add_weighted_edges_from((i, j, float(one[i, j])) for i, j in allowed)
        if nx.is_connected(graph):
            total = sum(w for _, _, w in nx.maximum_spanning_tree(graph).edges(data="weight"))
            assert math.isclose(found, total, rel_tol=1e-12)
        else:
            assert found == NEG_INF


def test_a_single_root_is_kept_at_any_scale():
    """A penalty on root arcs that outweighs scores of 1e4 would leave no digits for scores of 1e-9."""
    arcs = torch.full((1, 4, 4), NEG_INF, dtype=torch.float64)
    arcs[0, 0, 1:] = 1e4
    arcs[0, 1, 2] = arcs[0, 2, 3] = arcs[0, 3, 2] = 0.0
    arcs[0, 1, 3] = 1e-9
    heads = ss.argmax(ss.Arborescence(single_root=True), arcs, labels=True)
    assert heads.tolist() == [[-1, 0, 1, 1]]


@ROOTS
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_large_graphs_at_every_scale(single_root: bool, scale: float):
    """float32, 40 % of the arcs forbidden: finite to second order, log Z right, one head for each word."""
    tree, arcs = ss.Arborescence(single_root=single_root), random_arcs(8, 41, 3, scale=scale, forbidden=0.4).float()
    leaf = arcs.clone().requires_grad_()
    log_z = ss.log_partition(tree, leaf)
    (mean,) = torch.autograd.grad(log_z.sum(), leaf, create_graph=True)
    (bent,) = torch.autograd.grad((mean * torch.randn(mean.shape, generator=torch.Generator())).sum(), leaf)
    assert log_z.isfinite().all() and mean.isfinite().all() and bent.isfinite().all()
    assert (mean >= 0).all() and (mean <= 1 + 1e-6).all()
    torch.testing.assert_close(mean[:, :, 1:].sum(1), torch.ones(8, 40), rtol=0, atol=1e-5)
    if single_root:
        torch.testing.assert_close(mean[:, 0].sum(1), torch.ones(8), rtol=0, atol=1e-5)
    exact = ss.log_partition(tree, arcs.double())
    torch.testing.assert_close(log_z.double(), exact, rtol=1e-6, atol=0)
    if scale == 1.0:
        torch.testing.assert_close(exact, by_determinant(arcs.double(), single_root), rtol=1e-12, atol=0)


def by_determinant(arcs: Tensor, single_root: bool) -> Tensor:
    """The matrix-tree theorem, with the first row replaced for a single root [koo2007]."""
    weight = arcs.exp() * (1 - torch.eye(arcs.shape[-1], dtype=arcs.dtype))
    words = weight[:, 1:, 1:]
    laplacian = torch.diag_embed(words.sum(1)) - words
    if single_root:
        laplacian[:, 0] = weight[:, 0, 1:]
    else:
        laplacian = laplacian + torch.diag_embed(weight[:, 0, 1:])
    return torch.linalg.slogdet(laplacian).logabsdet


def test_a_bridge_of_tiny_weight():
    """Two heavy cycles that hang from the root by arcs of weight e^-2000 are sure to use one of them each."""
    arcs = torch.full((1, 5, 5), NEG_INF, dtype=torch.float64)
    arcs[0, 1, 2] = arcs[0, 2, 1] = arcs[0, 3, 4] = arcs[0, 4, 3] = 1000.0
    arcs[0, 0, 1:] = -2000.0
    same(ss.log_partition(ss.Arborescence(), arcs), [2 * (math.log(2) - 1000.0)])
    same(ss.marginals(ss.Arborescence(), arcs)[0, 0], [0, 0.5, 0.5, 0.5, 0.5])
    drawn = ss.sample(ss.Arborescence(), arcs, (50,), generator=torch.Generator().manual_seed(0))
    assert (drawn[:, 0, 0].sum(-1) == 2).all()


def test_a_batch_of_sentences_is_decoded_at_once():
    arcs = random_arcs(128, 51, 0).float()
    lengths = torch.randint(1, 51, (128,), generator=torch.Generator().manual_seed(0))
    heads = ss.argmax(ss.Arborescence(single_root=True), arcs, labels=True, lengths=lengths)
    assert ((heads == 0).sum(1) == 1).all()
    for b in (0, 64, 127):
        n = int(lengths[b])
        alone = ss.argmax(ss.Arborescence(single_root=True), arcs[b, : n + 1, : n + 1], labels=True)
        assert torch.equal(heads[b, : n + 1], alone)


@ROOTS
def test_functional_transforms(single_root: bool):
    tree, arcs = ss.Arborescence(single_root=single_root), random_arcs(3, 5, 1)
    direct = ss.marginals(tree, arcs)
    per_one = torch.vmap(lambda x: ss.marginals(tree, x))(arcs)
    by_grad = torch.func.grad(lambda x: ss.log_partition(tree, x).sum())(arcs)
    torch.testing.assert_close(per_one, direct)
    torch.testing.assert_close(by_grad, direct)
    torch.testing.assert_close(torch.vmap(lambda x: ss.entropy(tree, x))(arcs), ss.entropy(tree, arcs))


def test_third_order_is_refused():
    arcs = random_arcs(1, 4, 1).requires_grad_()
    (mean,) = torch.autograd.grad(ss.log_partition(ss.Arborescence(), arcs).sum(), arcs, create_graph=True)
    (bent,) = torch.autograd.grad((mean**2).sum(), arcs, create_graph=True)
    with pytest.raises(NotImplementedError, match="third"):
        torch.autograd.grad(bent.sum(), arcs)


@pytest.mark.parametrize("query", [ss.log_partition, ss.marginals, ss.argmax], ids=lambda q: q.__name__)
def test_compiled(query: Any):
    torch.compiler.reset()
    arcs = random_arcs(2, 4, 1)
    compiled = torch.compile(lambda x: query(ss.Arborescence(), x), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(arcs), query(ss.Arborescence(), arcs))


def test_labels_that_are_no_trees():
    arcs, edges = torch.zeros(4, 4), torch.zeros(4, 4)
    for heads, complaint in (([-1, 2, 1, 0], "descends"), ([-1, 0, 0, 4], "0..length"), ([-1, 0, 0, 3], "descends")):
        with pytest.raises(ValueError, match=complaint):
            ss.Arborescence().from_labels(torch.tensor(heads), arcs)
    with pytest.raises(ValueError, match="single_root"):
        ss.Arborescence(single_root=True).from_labels(torch.tensor([-1, 0, 0, 1]), arcs)
    for pairs in ([[0, 1], [0, 2], [1, 2]], [[0, 1], [0, 1], [2, 3]]):
        with pytest.raises(ValueError, match="connect all"):
            ss.SpanningTree().from_labels(torch.tensor(pairs), edges)
    with pytest.raises(ValueError, match="pair of vertices"):
        ss.SpanningTree().from_labels(torch.tensor([[1, 0], [0, 2], [0, 3]]), edges)


def test_what_is_not_offered():
    with pytest.raises(ss.UnsupportedQueryError, match="program"):
        ss.evaluate(ss.Arborescence(), ss.LogSemiring(), torch.zeros(3, 3))
    assert "native Arborescence.best" in str(ss.explain(ss.Arborescence(), torch.zeros(3, 3), "argmax"))
