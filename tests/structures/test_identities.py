"""What must hold between structures, and counts in closed form at sizes that no enumeration reaches."""

from __future__ import annotations

from math import comb

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.enumerations.test_enumerations import delannoy
from tests.structures.families import chain, heads, spans


def zeros(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


def same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 7, 12, 20])
def test_counts(n: int):
    assert ss.count(ss.SpanTree(), zeros(n, n)) == comb(2 * n - 2, n - 1) // n
    assert ss.count(ss.ProjectiveTree(), zeros(n + 1, n + 1)) == comb(3 * n, n) // (2 * n + 1)
    assert ss.count(ss.ProjectiveTree(single_root=True), zeros(n + 1, n + 1)) == comb(3 * n - 2, n - 1) // n
    assert ss.count(ss.LinearChain(), ss.ChainPotentials(zeros(n, 3), zeros(n - 1, 3, 3))) == 3**n
    assert ss.count(ss.SemiMarkov(), ss.SemiMarkovPotentials(zeros(n, n, 1), zeros(n, 1, 1))) == 2 ** (n - 1)
    grid = ss.AlignmentPotentials(zeros(n, 5), zeros(n, 6), zeros(n + 1, 5))
    assert ss.count(ss.Alignment(), grid) == delannoy(n, 5)


def test_a_segmentation_into_single_positions_is_a_chain():
    phi = chain(5, 3).draw((2,), seed=0)
    first = phi.transition.new_zeros(2, 1, 3, 3)
    segments = ss.SemiMarkovPotentials(phi.emission.unsqueeze(2), torch.cat([first, phi.transition], 1))
    for query in (ss.log_partition, ss.max_score, ss.entropy):
        same(query(ss.SemiMarkov(), segments), query(ss.LinearChain(), phi))
    same(ss.marginals(ss.SemiMarkov(), segments).segment.squeeze(2), ss.marginals(ss.LinearChain(), phi).emission)


def test_tied_parameters_equal_repeated_ones():
    tied = chain(5, 3, tied=True).draw((2,), seed=1)
    free = ss.ChainPotentials(tied.emission, tied.transition.expand(2, 4, 3, 3))
    for query in (ss.log_partition, ss.max_score, ss.entropy):
        same(query(ss.LinearChain(), tied), query(ss.LinearChain(), free))
    counts = ss.marginals(ss.LinearChain(), free).transition.sum(1, keepdim=True)
    same(ss.marginals(ss.LinearChain(), tied).transition, counts)


def test_one_label_is_no_label():
    phi = spans(6).draw((2,), seed=2)
    labelled = ss.SpanTree(labelled=True)
    same(ss.log_partition(labelled, phi.unsqueeze(-1)), ss.log_partition(ss.SpanTree(), phi))
    same(ss.marginals(labelled, phi.unsqueeze(-1)).squeeze(-1), ss.marginals(ss.SpanTree(), phi))


def test_independent_labels_add_up_before_the_tree():
    phi = spans(5, 4).draw((2,), seed=3)
    same(ss.log_partition(ss.SpanTree(labelled=True), phi), ss.log_partition(ss.SpanTree(), phi.logsumexp(-1)))


def test_single_root_trees_are_those_of_all_trees():
    """Forbidding every root arc but one, the two structures agree; over the choices of that one they add up."""
    phi = heads(6).draw((), seed=4)
    totals = []
    for word in range(1, 6):
        one = phi.clone()
        one[0] = float("-inf")
        one[0, word] = phi[0, word]
        totals.append(ss.log_partition(ss.ProjectiveTree(), one))
        same(totals[-1], ss.log_partition(ss.ProjectiveTree(single_root=True), one))
    same(torch.stack(totals).logsumexp(0), ss.log_partition(ss.ProjectiveTree(single_root=True), phi))


def test_an_alignment_without_gaps_is_the_diagonal():
    match = torch.randn(2, 6, 6, dtype=torch.float64)
    gaps = torch.full((2, 6, 7), float("-inf"), dtype=torch.float64)
    phi = ss.AlignmentPotentials(match, gaps, gaps.transpose(1, 2))
    same(ss.log_partition(ss.Alignment(), phi), match.diagonal(0, 1, 2).sum(-1))


def test_alignments_mirror():
    """Exchanging the two sequences exchanges deletions and insertions."""
    phi = ss.AlignmentPotentials(*(torch.randn(2, *s, dtype=torch.float64) for s in ((4, 6), (4, 7), (5, 6))))
    mirror = ss.AlignmentPotentials(*(x.transpose(1, 2) for x in (phi.match, phi.insert, phi.delete)))
    same(ss.log_partition(ss.Alignment(), phi), ss.log_partition(ss.Alignment(), mirror))


def test_one_of_is_a_categorical():
    phi = torch.randn(3, 7, dtype=torch.float64)
    usual = torch.distributions.Categorical(logits=phi)
    same(ss.marginals(ss.OneOf(), phi), usual.probs)
    same(ss.entropy(ss.OneOf(), phi), usual.entropy())
    labels = torch.tensor([2, 0, 6])
    same(ss.log_prob(ss.OneOf(), phi, labels), usual.log_prob(labels))


def test_hidden_markov_model_against_the_sum_over_paths():
    generator = torch.Generator().manual_seed(5)
    initial, transition, emission = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).log_softmax(-1)
        for shape in ((2,), (2, 2), (2, 4))
    )
    seen = torch.tensor([3, 0, 1])
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                moves = transition[a, b] + transition[b, c]
                said = emission[a, seen[0]] + emission[b, seen[1]] + emission[c, seen[2]]
                total = total + (initial[a] + moves + said).exp()
    same(ss.log_partition(ss.LinearChain(), ss.hmm(initial, transition, emission, seen)), total.log())


@pytest.mark.parametrize("n", [3, 8])
def test_uniform_potentials_are_symmetric(n: int):
    """Mirroring a row of leaves maps uniform bracketings to themselves."""
    marginals = ss.marginals(ss.SpanTree(), zeros(n, n))
    same(marginals, marginals.flip(0, 1).T)
