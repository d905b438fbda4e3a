"""The probability of every structure, beside recursions over sets that share no code with the package."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semiring_struct import traces
from tests.enumerations import traces as laws


def rates(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def compare(algorithm: traces.AlgorithmTrace, log_rates: Tensor, law: dict, limit: int = 20_000) -> None:
    """Probabilities of all structures, each the sum over its traces."""
    listed = algorithm.enumerate_traces(log_rates, limit)
    kinds, kind = algorithm.event(listed.traces).flatten(1).unique(dim=0, return_inverse=True)
    found = torch.zeros(len(kinds), dtype=torch.float64).index_add(0, kind, listed.log_probs.exp())
    width = log_rates.shape[-1]
    expected = torch.zeros_like(found)
    place = {tuple(row): i for i, row in enumerate(kinds.int().tolist())}
    assert len(place) == len(law)
    for structure, probability in law.items():
        row = [0] * kinds.shape[1]
        for part in structure:
            row[part if isinstance(part, int) else part[0] * width + part[1]] = 1
        expected[place[tuple(row)]] = probability
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


def listed(log_rates: Tensor) -> list:
    return log_rates.exp().tolist()


def test_subsets():
    log_rates = rates(7)
    compare(traces.TopK(4), log_rates, laws.subsets(listed(log_rates), 4))


def test_spanning_trees():
    log_rates = rates(5, 5)
    compare(traces.Kruskal(), log_rates, laws.spanning_trees(listed(log_rates)))


def test_matchings():
    log_rates = rates(4, 4)
    compare(traces.GreedyMatching(), log_rates, laws.matchings(listed(log_rates)))


def test_binary_trees():
    log_rates = rates(8)
    compare(traces.BinaryTree(), log_rates, laws.binary_trees(listed(log_rates)))


@pytest.mark.parametrize("root", [0, 1])
def test_arborescences(root):
    log_rates = rates(4, 4)
    compare(traces.ChuLiuEdmonds(root), log_rates, laws.arborescences(listed(log_rates), root))


def test_arborescences_on_five_nodes():
    log_rates = rates(5, 5)
    compare(traces.ChuLiuEdmonds(), log_rates, laws.arborescences(listed(log_rates)), limit=200_000)


def test_spanning_trees_on_six_vertices():
    log_rates = rates(6, 6)
    compare(traces.Kruskal(), log_rates, laws.spanning_trees(listed(log_rates)), limit=200_000)
