"""Bits and subsets: exact cases worked out elsewhere, counts in closed form, extremes, and what the k best cost."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers_sets.json").read_text())


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, tensor(expected), rtol=tolerance, atol=tolerance)


def covariance(structure: Any, phi: Tensor) -> Tensor:
    units = torch.eye(len(phi), dtype=torch.float64)
    return torch.stack([ss.covariance_vp(structure, phi, unit) for unit in units])


def test_subset():
    case, pick = CASES["k_subset_n5_k2"], ss.Subset(2)
    phi = tensor(case["theta"])
    same(ss.log_partition(pick, phi), case["logZ"])
    same(ss.marginals(pick, phi), case["marginals"])
    same(covariance(pick, phi), case["pair_covariance"])
    same(ss.entropy(pick, phi), case["entropy"])
    same(ss.kl(pick, phi, tensor(case["theta_q"])), case["kl_p_q"])
    best = ss.topk(pick, phi, len(case["kbest"]))
    same(best.scores, [score for _, score in case["kbest"]])
    assert [row.nonzero().flatten().tolist() for row in best.events] == [items for items, _ in case["kbest"]]


def test_subset_of_bernoullis():
    case = CASES["k_subset_simple_readme"]
    same(ss.marginals(ss.Subset(case["k"]), tensor(case["p"]).logit()), case["marginals"])


def test_extreme_potentials():
    case = CASES["k_subset_extreme_logits"]
    phi, pick = tensor(case["theta"]), ss.Subset(case["k"])
    same(ss.log_partition(pick, phi), case["logZ"])
    found = ss.marginals(pick, phi)
    torch.testing.assert_close(found, tensor(case["marginals"]), rtol=1e-9, atol=0)
    assert covariance(pick, phi).isfinite().all()


def test_correlated_subset():
    case, pick = CASES["corr_topk_n5_k2"], ss.CorrelatedSubset(2)
    phi = ss.SubsetPotentials(tensor(case["unary"]), tensor(case["pairwise_adjacent_both_on"]))
    same(ss.log_partition(pick, phi), case["logZ"])
    marginals = ss.marginals(pick, phi)
    same(marginals.item, case["marginals_unary"])
    same(marginals.pair, case["marginals_pair"])
    assert ss.argmax(pick, phi).item.tolist() == case["map"]
    best = ss.topk(pick, phi, len(case["kbest"]))
    same(best.scores, [score for _, score in case["kbest"]])
    assert best.events.item.tolist() == [bits for bits, _ in case["kbest"]]
    units = torch.eye(9, dtype=torch.float64)
    rows = [ss.covariance_vp(pick, phi, ss.SubsetPotentials(unit[:5], unit[5:])) for unit in units]
    same(torch.stack([torch.cat(row) for row in rows]), case["covariance"])


def test_k_best_bits():
    case = CASES["topk_sparsemax_bits_D8"]
    best = ss.topk(ss.BitVector(), tensor(case["logits"]), len(case["kbest_scores"]))
    same(best.scores, case["kbest_scores"])
    assert best.events.tolist() == case["kbest_bits"]
    many = CASES["kbest_bits_D20"]
    same(ss.topk(ss.BitVector(), tensor(many["logits"]), 10).scores, many["top10_scores"])


def test_k_best_are_the_first_of_all():
    """More than half of all vectors, in order, for several instances."""
    phi = torch.randn(3, 10, dtype=torch.float64)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 10)
    best = ss.topk(ss.BitVector(), phi, 600)
    torch.testing.assert_close(best.scores, (every @ phi.T).sort(0, descending=True).values[:600])
    torch.testing.assert_close((best.events * phi).sum(-1), best.scores)
    assert all(len(best.events[:, b].unique(dim=0)) == 600 for b in range(3))


@pytest.mark.parametrize("n", [1, 4, 11])
def test_counts(n: int):
    phi = torch.zeros(n)
    assert ss.count(ss.BitVector(), phi) == 2**n
    for k in range(n + 2):
        assert ss.count(ss.Subset(k), phi) == comb(n, k)
        assert ss.count(ss.Subset(at_most=k), phi) == sum(comb(n, j) for j in range(k + 1))
        assert ss.count(ss.CorrelatedSubset(k), ss.SubsetPotentials(phi, phi[1:])) == comb(n, k)


def test_bits_are_independent():
    phi = torch.randn(3, 40, dtype=torch.float64)
    torch.testing.assert_close(ss.log_partition(ss.BitVector(), phi), torch.nn.functional.softplus(phi).sum(-1))
    torch.testing.assert_close(ss.marginals(ss.BitVector(), phi), phi.sigmoid())
    assert torch.equal(ss.argmax(ss.BitVector(), phi), (phi > 0).double())


def test_best_subsets_are_the_largest_items():
    phi = torch.randn(5, 60)
    labels = ss.argmax(ss.Subset(7), phi, labels=True)
    assert torch.equal(labels, phi.topk(7).indices.sort().values)
    budget = ss.argmax(ss.Subset(at_most=7), phi)
    assert torch.equal(budget, torch.zeros_like(phi).scatter(1, labels, 1.0) * (phi > 0))


def test_a_budget_that_does_not_bind_changes_nothing():
    phi = torch.randn(4, 9, dtype=torch.float64)
    for ask in (ss.log_partition, ss.marginals, ss.entropy):
        torch.testing.assert_close(ask(ss.Subset(at_most=9), phi), ask(ss.BitVector(), phi))


def test_neighbours_that_do_not_interact_are_a_subset():
    phi = torch.randn(4, 9, dtype=torch.float64)
    pairs = ss.SubsetPotentials(phi, torch.zeros(8, dtype=torch.float64))
    torch.testing.assert_close(ss.log_partition(ss.CorrelatedSubset(4), pairs), ss.log_partition(ss.Subset(4), phi))
    torch.testing.assert_close(ss.marginals(ss.CorrelatedSubset(4), pairs).item, ss.marginals(ss.Subset(4), phi))


@pytest.mark.parametrize("given", [(), (-1,), (1.0,), (True,), (None,)])
def test_sizes_that_are_none(given: tuple[Any, ...]):
    with pytest.raises(ValueError, match="Subset takes"):
        ss.Subset(*given)
    with pytest.raises(ValueError, match="Subset takes"):
        ss.Subset(2, at_most=2)
    if given:
        with pytest.raises(ValueError, match="CorrelatedSubset takes"):
            ss.CorrelatedSubset(*given)


def test_too_short_for_the_subset():
    phi, lengths = torch.randn(3, 4), torch.tensor([1, 2, 0])
    assert ss.log_partition(ss.Subset(2), phi, lengths).isinf().tolist() == [True, False, True]
    with pytest.raises(ss.InfeasibleError, match="index"):
        ss.argmax(ss.Subset(2), phi, lengths=lengths)
    with pytest.raises(ss.InfeasibleError):
        ss.argmax(ss.Subset(5), phi)


@pytest.mark.parametrize(
    "structure, phi",
    [
        (ss.BitVector(), torch.zeros(500)),
        (ss.Subset(15), torch.zeros(500)),
        (ss.CorrelatedSubset(15), ss.SubsetPotentials(torch.zeros(500), torch.zeros(499))),
        (ss.MonotonicAlignment(), torch.zeros(500, 40)),
        (ss.CTC(torch.ones(40, dtype=torch.int64)), torch.zeros(500, 3)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_loops_roll(structure: Any, phi: Any):
    """The number of rows does not grow with the number of positions."""
    assert sum(len(block.rows) for block in ss.program(structure, phi).blocks) <= 6
