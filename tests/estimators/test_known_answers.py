"""Exact means and variances worked out elsewhere."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, OneHotCategorical

import semiring_struct as ss
from semiring_struct import estimators
from semiring_struct.estimators.unordered import set_weights
from tests.estimators.scripted import moments

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers.json").read_text())
CATEGORICAL = CASES["score_function_categorical4"]
VARIANCES = CATEGORICAL["total_variance"]


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, tensor(expected), rtol=tolerance, atol=tolerance)


THETA, COST, P = tensor(CATEGORICAL["theta"]), tensor(CATEGORICAL["f"]), tensor(CATEGORICAL["p"])


def one_hot(theta: Tensor) -> OneHotCategorical:
    return OneHotCategorical(logits=theta)


def cost(event: Tensor) -> Tensor:
    return (event * COST).sum(-1)


def tuples(k: int, *, distinct: bool = False) -> tuple[Tensor, Tensor]:
    """Events `(k, outcomes, 4)` of all ordered draws of `k`, and their chances."""
    index = torch.tensor(
        list(itertools.permutations(range(4), k) if distinct else itertools.product(range(4), repeat=k))
    )
    p = THETA.softmax(0)[index]
    left = 1 - (p.cumsum(1) - p) if distinct else torch.ones_like(p)
    return torch.eye(4, dtype=torch.float64)[index].transpose(0, 1), (p / left).prod(1)


def check(found: tuple[Tensor, Tensor, Tensor], variance: float) -> None:
    value, mean, total = found
    same(value, CATEGORICAL["expectation"])
    same(mean, CATEGORICAL["gradient"])
    same(total, variance)


class Constant(estimators.Baseline):
    def __init__(self, number: float):
        self.number = number

    def value(self, draws: estimators.Draws) -> Tensor:
        return torch.full_like(draws.costs, self.number)


@pytest.mark.parametrize(
    ("samples", "baseline", "variance"),
    [
        (1, estimators.NoBaseline(), VARIANCES["sfe"]),
        (1, Constant(CATEGORICAL["expectation"]), VARIANCES["sfe_mean_baseline"]),
        (1, Constant(VARIANCES["optimal_baseline_value"]), VARIANCES["sfe_optimal_scalar_baseline"]),
        (2, estimators.NoBaseline(), VARIANCES["leave_one_out"]["2"]["total_variance_plain_K_average"]),
        (2, estimators.LeaveOneOut(), VARIANCES["leave_one_out"]["2"]["total_variance"]),
        (3, estimators.LeaveOneOut(), VARIANCES["leave_one_out"]["3"]["total_variance"]),
    ],
)
def test_score_function(samples: int, baseline: estimators.Baseline, variance: float):
    events, chances = tuples(samples)
    found = moments(lambda d: estimators.score_function(d, cost, samples, baseline), one_hot, THETA, events, chances)
    check(found, variance)


@pytest.mark.parametrize("k", [1, 2])
def test_sum_and_sample(k: int):
    events, chances = tuples(k + 1, distinct=True)
    found = moments(lambda d: estimators.sum_and_sample(d, cost, k), one_hot, THETA, events, chances)
    check(found, VARIANCES["sum_and_sample_top"][str(k)])


@pytest.mark.parametrize(
    ("baseline", "variance"), [(False, "unordered_set_k2"), (True, "unordered_set_k2_builtin_baseline")]
)
def test_unordered_set(baseline: bool, variance: str):
    events, chances = tuples(2, distinct=True)
    found = moments(lambda d: estimators.unordered_set(d, cost, 2, baseline), one_hot, THETA, events, chances)
    check(found, VARIANCES[variance])


@pytest.mark.parametrize("row", CATEGORICAL["unordered_set_table_set_prob_R1_estimate_estimateWithBaseline"], ids=str)
def test_unordered_set_table(row: list[Any]):
    members, _, ratios, plain, with_baseline = row
    weights, _ = set_weights(P[members].log())
    same(weights / P[members], ratios)
    events = torch.eye(4, dtype=torch.float64)[members].unsqueeze(1)
    for baseline, expected in [(False, plain), (True, with_baseline)]:
        _, gradient, _ = moments(
            lambda d, b=baseline: estimators.unordered_set(d, cost, 2, b), one_hot, THETA, events, torch.ones(1)
        )
        same(gradient, expected)


def test_offset_turns_the_order_around():
    """A built-in baseline hurts on centred costs, and helps where costs share an offset."""
    events, chances = tuples(2)

    def variance(offset: float, baseline: estimators.Baseline) -> Tensor:
        return moments(
            lambda d: estimators.score_function(d, lambda e: cost(e) + offset, 2, baseline),
            one_hot,
            THETA,
            events,
            chances,
        )[2]

    assert variance(0.0, estimators.LeaveOneOut()) > variance(0.0, estimators.NoBaseline())
    assert variance(5.0, estimators.LeaveOneOut()) < variance(5.0, estimators.NoBaseline())


def test_vimco():
    case = CASES["vimco_K2"]
    log_w = tensor(case["log_weights"])
    events, chances = tuples(2)
    value, mean, _ = moments(
        lambda d: estimators.vimco(d, lambda e: (e * log_w).sum(-1), 2), one_hot, tensor(case["theta"]), events, chances
    )
    same(value, case["bound"])
    same(mean, case["gradient_score_part"])


def bits(theta: Tensor) -> Independent:
    return Independent(Bernoulli(logits=theta), 1)


def cost_of_bits(z: Tensor) -> Tensor:
    return (z[..., 0] - 0.4) ** 2 + 2 * z[..., 1] * z[..., 2] - z[..., 2] + 0.5 * z[..., 0] * z[..., 1]


def test_muprop():
    case = CASES["bernoulli3_estimators"]
    theta = tensor(case["theta"])
    events = torch.cartesian_prod(*[tensor([0.0, 1.0])] * 3)
    chances = bits(theta).log_prob(events).exp()
    for run, variance in [
        (lambda d: estimators.muprop(d, cost_of_bits), case["muprop"]["total_variance"]),
        (lambda d: estimators.score_function(d, cost_of_bits, 1, estimators.NoBaseline()), case["sfe_total_variance"]),
    ]:
        value, mean, total = moments(run, bits, theta, events.unsqueeze(0), chances)
        same(value, case["expectation"], case["tol"])
        same(mean, case["gradient"], case["tol"])
        same(total, variance, case["tol"])


def test_exact():
    theta = THETA.clone().requires_grad_()
    value = estimators.exact(one_hot(theta), cost)
    same(value.detach(), CATEGORICAL["expectation"])
    same(torch.autograd.grad(value, theta)[0], CATEGORICAL["gradient"])
    case = CASES["bernoulli3_estimators"]
    theta = tensor(case["theta"]).requires_grad_()
    value = estimators.exact(bits(theta), cost_of_bits)
    same(value.detach(), case["expectation"])
    same(torch.autograd.grad(value, theta)[0], case["gradient"])


def test_topk_sparsemax_of_bits():
    case = CASES["topk_sparsemax_bits_D8"]
    logits = tensor(case["logits"])
    found: list[Tensor] = []

    def seen(event: Tensor) -> Tensor:
        found.append(event)
        return event[..., 0] * 0

    for k, answer in case["by_k"].items():
        kind = estimators.TopKSparsemax(int(k))
        estimators.sparse_expectation(bits(logits), seen, kind)
        assert found.pop().tolist() == case["kbest_bits"][: len([p for p in answer["p"] if p > 0])]
        first = estimators.sparse_expectation(
            bits(logits), lambda e: (e == tensor(case["kbest_bits"][0])).all(-1).double(), kind
        )
        assert math.isclose(float(first), answer["p"][0], abs_tol=1e-9)
    estimators.sparse_expectation(bits(logits), seen, estimators.Sparsemax())
    assert len(found.pop()) == case["full_support"]


def test_sparsemap_expectation_over_spanning_trees():
    """The losses of the three trees in the support are all that is asked for."""
    case = CASES["sparsemap_marginalisation_gradient_K4"]
    edges = list(itertools.combinations(range(4), 2))
    eta = tensor(case["eta"]).requires_grad_()
    phi = torch.zeros(4, 4, dtype=torch.float64)
    rows, columns = torch.tensor(edges).T
    trees = torch.zeros(16, 4, 4, dtype=torch.float64)
    for tree, chosen in zip(trees, case["trees"], strict=True):
        for i, j in chosen:
            tree[i, j] = 1

    def loss(event: Tensor) -> Tensor:
        return (event[:, None] == trees).flatten(2).all(-1).double() @ tensor(case["loss_per_tree"])

    counted = estimators.CountedCost(loss)
    distribution = ss.StructDistribution(ss.SpanningTree(), phi.index_put((rows, columns), eta))
    value = estimators.sparse_expectation(distribution, counted, estimators.SparseMAP())
    assert counted.events == len(case["support"])
    same(value.detach(), case["expected_loss"])
    same(torch.autograd.grad(value, eta)[0], case["grad_eta"])
