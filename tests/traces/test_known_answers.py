"""Exact small cases worked out by enumeration elsewhere: `tests/data/known_answers.json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from semiring_struct import traces

ANSWERS = json.loads((Path(__file__).parents[1] / "data" / "known_answers.json").read_text())
NEG_INF = -torch.inf


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def near(actual: Tensor, expected: object, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, tensor(expected), atol=tolerance, rtol=tolerance)


def square(edges: list, values: list, m: int) -> Tensor:
    out = torch.zeros(m, m, dtype=torch.float64)
    for (i, j), value in zip(edges, values, strict=True):
        out[i, j] = value
    return out


def padded(order: list[int], n: int) -> Tensor:
    return torch.tensor(order + [-1] * (n - len(order)))


@pytest.mark.parametrize(
    "name, algorithm, table",
    [
        ("plackett_luce_n4", traces.Ranking(), "table_order_prob_condmeanE"),
        ("topk_trace_k1", traces.TopK(1), "ordered_prob_condmeanE"),
        ("topk_trace_k2", traces.TopK(2), "ordered_prob_condmeanE"),
    ],
)
def test_orders(name, algorithm, table):
    case = ANSWERS[name]
    log_rates = tensor(case["rates"]).log()
    orders, probabilities, means = zip(*case[table], strict=True)
    trace = torch.stack([padded(order, len(log_rates)) for order in orders])
    near(algorithm.log_prob(trace, log_rates).exp(), probabilities)
    near(algorithm.conditional_mean(trace, log_rates), means)
    listed = algorithm.enumerate_traces(log_rates).traces
    assert sorted(map(tuple, listed.tolist())) == sorted(map(tuple, trace.tolist()))


def test_ranking_score():
    case = ANSWERS["plackett_luce_n4"]
    log_rates = tensor(case["rates"]).log().requires_grad_()
    log_prob = traces.Ranking().log_prob(torch.arange(4), log_rates)
    near(torch.autograd.grad(log_prob, log_rates)[0], case["log_score_gradient_of_order_0123"])


def test_ranking_expectation_gradient():
    case = ANSWERS["pl_expectation_gradient"]
    log_rates = tensor(case["rates"]).log().requires_grad_()
    listed = traces.Ranking().enumerate_traces(log_rates.detach()).traces
    cost = (tensor(case["c"])[listed] * torch.arange(1, 5)).sum(-1)
    value = (traces.Ranking().log_prob(listed, log_rates).exp() * cost).sum()
    near(value, case["value"])
    near(torch.autograd.grad(value, log_rates)[0], case["grad_wrt_log_rate"], case["tol"])


@pytest.mark.parametrize("name", ["topk_trace_k1", "topk_trace_k2"])
def test_sets(name):
    case = ANSWERS[name]
    algorithm = traces.TopK(int(name[-1]))
    listed = algorithm.enumerate_traces(tensor(case["rates"]).log())
    event, weights = algorithm.event(listed.traces).double(), listed.log_probs.exp()
    near((weights.unsqueeze(-1) * event).sum(0), case["inclusion"])
    for items, probability in case["set_probs"]:
        near(weights[(event[:, items] == 1).all(-1)].sum(), probability)


@pytest.mark.parametrize("name", ["conditional_E_given_topk_2_0", "conditional_E_given_topk_0_1_3_2"])
def test_conditional_noise_of_given_uniforms(name):
    case = ANSWERS[name]
    log_rates = tensor(case["rates"]).log()
    chooser = traces.Conditional(padded(case["trace"], 4), tensor(case["uniforms"]).log().neg().log())
    traces.TopK(len(case["trace"])).run(chooser, log_rates)
    near(chooser.log_noise.exp(), case["e"])


def test_spanning_trees():
    case = ANSWERS["kruskal_trace_K3"]
    log_rates = square(case["edges"], case["rates"], 3).log().requires_grad_()
    listed = traces.Kruskal().enumerate_traces(log_rates.detach())
    assert len(listed.traces) == case["n_traces"]
    event, weights = traces.Kruskal().event(listed.traces).double(), listed.log_probs.exp()
    upper = [tuple(edge) for edge in case["edges"]]
    near(torch.stack([(weights.unsqueeze(-1).unsqueeze(-1) * event).sum(0)[e] for e in upper]), case["edge_marginals"])
    for tree, probability in case["tree_probs"]:
        near(weights[(event == square(tree, [1, 1], 3)).all(-1).all(-1)].sum(), probability)
    for order, probability, mean in case["some_traces_prob_condmeanE"]:
        trace = torch.tensor([3 * i + j for i, j in order])
        near(traces.Kruskal().log_prob(trace, log_rates.detach()).exp(), probability)
        known = traces.Kruskal().conditional_mean(trace, log_rates.detach())
        near(torch.stack([known[e] for e in upper]), mean)
    score = case["score_of_first_trace"]
    trace = torch.tensor([3 * i + j for i, j in score["trace"]])
    grad = torch.autograd.grad(traces.Kruskal().log_prob(trace, log_rates), log_rates)[0]
    near(torch.stack([grad[e] for e in upper]), score["dlogP_dlograte"])


def test_equal_rates_are_no_uniform_trees():
    case = ANSWERS["kruskal_iid_K4_not_uniform"]
    listed = traces.Kruskal().enumerate_traces(torch.zeros(4, 4, dtype=torch.float64))
    event = traces.Kruskal().event(listed.traces).double().flatten(1)
    kinds, kind = event.unique(dim=0, return_inverse=True)
    weights = torch.zeros(len(kinds), dtype=torch.float64).scatter_add(0, kind, listed.log_probs.exp())
    degree = (kinds.reshape(-1, 4, 4).sum(-1) + kinds.reshape(-1, 4, 4).sum(-2)).amax(-1)
    star, path = weights[degree == 3], weights[degree == 2]
    near(star, [case["star_prob_each"]] * case["n_star"])
    near(path, [case["path_prob_each"]] * case["n_path"])


def test_spanning_tree_of_utilities():
    case = ANSWERS["kruskal_sst_unit_test"]
    noise = -square(case["edges"], case["utilities"], 4)
    event = traces.Kruskal().event(traces.Kruskal().from_noise(noise))
    assert torch.equal(event.double(), square(case["max_tree"], [1, 1, 1], 4))


def test_arborescences():
    """The case lists choices by component; contracted cycles, of which there is at most one here, come after nodes."""
    case = ANSWERS["cle_trace_n3"]
    log_rates, algorithm = tensor(case["rates_head_modifier"]).log(), traces.ChuLiuEdmonds()
    listed = algorithm.enumerate_traces(log_rates)
    assert len(listed.traces) == case["n_traces"] == len(case["traces"])
    trees = algorithm.event(listed.traces)
    for known in case["traces"]:
        trace = torch.full((4,), -1)
        for component, (head, dependent) in known["steps"]:
            trace[component[0] if len(component) == 1 else 3] = 3 * head + dependent
        near(algorithm.log_prob(trace, log_rates).exp(), known["prob"])
        near(algorithm.conditional_mean(trace, log_rates), known["condmeanE"])
        heads = algorithm.event(trace).argmax(-2)
        assert heads[1:].tolist() == known["parents"][1:]
    for parents, probability in case["arborescence_probs"]:
        same = (trees.argmax(-2)[:, 1:] == torch.tensor(parents[1:])).all(-1)
        near(listed.log_probs.exp()[same].sum(), probability)


def test_variances_of_score_functions():
    """Scoring the structure varies no more than scoring the trace, which varies no more than scoring the noise."""
    case = ANSWERS["reinforce_variance_ordering_K3"]
    rates = square(case["edges"], case["rates"], 3)
    log_rates, algorithm = rates.log().requires_grad_(), traces.Kruskal()
    listed = algorithm.enumerate_traces(log_rates.detach())
    event = algorithm.event(listed.traces).double()
    cost = (event * tensor([[0, 1, -2], [0, 0, 0.5], [0, 0, 0]])).sum((-1, -2)) + 3 * (1 - event[:, 0, 1])
    log_prob = algorithm.log_prob(listed.traces, log_rates)
    p = listed.log_probs.exp()
    gradient = torch.autograd.grad((log_prob.exp() * cost).sum(), log_rates, retain_graph=True)[0]
    upper = torch.triu_indices(3, 3, 1).unbind()
    near(gradient[upper], case["gradient_wrt_log_rate"], case["tol"])
    scores = torch.stack([torch.autograd.grad(x, log_rates, retain_graph=True)[0][upper] for x in log_prob])
    kinds, kind = event.flatten(1).unique(dim=0, return_inverse=True)
    weight = torch.zeros(len(kinds), dtype=torch.float64).scatter_add(0, kind, p)
    pooled = torch.zeros(len(kinds), 3, dtype=torch.float64).index_add(0, kind, p.unsqueeze(-1) * scores)
    by_tree = (pooled / weight.unsqueeze(-1))[kind]
    spread = gradient.square().sum()
    near((p * cost.square() * scores.square().sum(-1)).sum() - spread, case["total_variance"]["T_level"], case["tol"])
    near((p * cost.square() * by_tree.square().sum(-1)).sum() - spread, case["total_variance"]["X_level"], case["tol"])
