"""Products with automata beyond the contract of structures: rules of tags, labels, refusals, cost."""

from __future__ import annotations

from itertools import product

import pytest
import torch

import semiring_struct as ss
from semiring_struct import constraints
from semiring_struct.constraints import AcceptedChain, AcceptedSubset
from tests.structures.families import accepts


def automaton(moves: list[list[int]], *accepting: int) -> ss.Automaton:
    return ss.Automaton(torch.tensor(moves), torch.tensor([state in accepting for state in range(len(moves))]))


ALWAYS = automaton([[0, 0, 0]], 0)
NO_NEIGHBOURS = automaton([[0, 1], [0, -1]], 0, 1)


def test_an_automaton_that_accepts_everything_changes_nothing():
    phi = ss.ChainPotentials(torch.randn(2, 6, 3, dtype=torch.float64), torch.randn(2, 1, 3, 3, dtype=torch.float64))
    lengths = torch.tensor([6, 4])
    for ask in (ss.log_partition, ss.entropy, ss.max_score, ss.count):
        torch.testing.assert_close(
            ask(AcceptedChain(ALWAYS), phi, lengths=lengths), ask(ss.LinearChain(), phi, lengths=lengths)
        )
    item = torch.randn(3, 7, dtype=torch.float64)
    either = automaton([[0, 0]], 0)
    exact, budget = AcceptedSubset(either, 3), AcceptedSubset(either, at_most=3)
    for mine, plain in ((exact, ss.Subset(3)), (budget, ss.Subset(at_most=3))):
        torch.testing.assert_close(ss.marginals(mine, item), ss.marginals(plain, item))


def test_rules_of_a_scheme_as_an_automaton():
    """BIO by masks and by the automaton whose state is whether I may follow."""
    phi = ss.ChainPotentials(torch.randn(7, 3, dtype=torch.float64), torch.randn(6, 3, 3, dtype=torch.float64))
    by_state = automaton([[1, -1, 0], [1, 1, 0]], 0, 1)
    by_mask = constraints.follow(phi, constraints.bio(["B", "I", "O"]))
    accepted = AcceptedChain(by_state)
    torch.testing.assert_close(ss.log_partition(accepted, phi), ss.log_partition(ss.LinearChain(), by_mask))
    best = ss.argmax(accepted, phi, labels=True)
    assert torch.equal(best, ss.argmax(ss.LinearChain(), by_mask, labels=True))


def test_draws_are_accepted():
    every_third = automaton([[1, -1], [2, -1], [2, 0]], 0, 1, 2)     # two left between any two taken
    phi, lengths = torch.randn(4, 12), torch.tensor([12, 9, 5, 4])
    drawn = ss.sample(AcceptedSubset(every_third, at_most=3), phi, (50,), lengths=lengths)
    for row, length in zip(drawn.flatten(0, 1), lengths.repeat(50), strict=True):
        assert accepts(every_third, row[: int(length)].int().tolist())


def test_labels_that_are_not_accepted():
    phi = torch.zeros(5)
    picked = AcceptedSubset(NO_NEIGHBOURS, 2).from_labels(torch.tensor([1, 3]), phi)
    assert picked.tolist() == [0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match="does not accept"):
        AcceptedSubset(NO_NEIGHBOURS, 2).from_labels(torch.tensor([1, 2]), phi)
    chain = ss.ChainPotentials(torch.zeros(4, 2), torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match="does not accept"):
        AcceptedChain(NO_NEIGHBOURS).from_labels(torch.tensor([0, 1, 1, 0]), chain)
    padded = ss.log_prob(AcceptedChain(NO_NEIGHBOURS), chain, torch.tensor([0, 1, 1, 1]), lengths=torch.tensor(2))
    assert padded.isfinite()


def test_one_program_for_automata_of_one_size():
    phi = torch.zeros(9)
    other = automaton([[1, 0], [1, 0]], 1)
    assert ss.program(AcceptedSubset(NO_NEIGHBOURS, 2), phi) is ss.program(AcceptedSubset(other, 2), phi)
    rows = [len(block.rows) for block in ss.program(AcceptedSubset(NO_NEIGHBOURS, 2), torch.zeros(400)).blocks]
    assert sum(rows) <= 6
    chain = ss.ChainPotentials(torch.zeros(400, 3), torch.zeros(1, 3, 3))
    assert sum(len(block.rows) for block in ss.program(AcceptedChain(ALWAYS), chain).blocks) <= 10


def test_strings():
    every = torch.tensor(list(product((0, 1), repeat=5)))
    found = NO_NEIGHBOURS.accepts(every)
    assert found.tolist() == [accepts(NO_NEIGHBOURS, string) for string in every.tolist()]
    assert found.sum() == 13
    short = torch.full((32,), 3)
    assert NO_NEIGHBOURS.accepts(every, short).tolist() == [accepts(NO_NEIGHBOURS, s[:3]) for s in every.tolist()]


def test_other_symbols():
    with pytest.raises(ss.ShapeError, match="3 symbols"):
        ss.log_partition(AcceptedChain(ALWAYS), ss.ChainPotentials(torch.zeros(4, 2), torch.zeros(3, 2, 2)))
    with pytest.raises(ss.ShapeError, match="2 symbols"):
        AcceptedSubset(ALWAYS, 2)
    with pytest.raises(ValueError, match="Subset takes"):
        AcceptedSubset(NO_NEIGHBOURS)
