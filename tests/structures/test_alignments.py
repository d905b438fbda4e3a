"""Alignments with affine gaps against Biopython and closed forms; membership where gaps are tied."""

from __future__ import annotations

from itertools import product
from math import comb

import pytest
import torch
from Bio.Align import PairwiseAligner, substitution_matrices
from torch import Tensor

import semiring_struct as ss
from tests.enumerations.affine_alignment import affine_events
from tests.enumerations.alignment import alignment_events

BLOSUM = substitution_matrices.load("BLOSUM62")
LETTERS = "ARNDCQEGHILKMFPSTVWY"


def proteins(count: int, longest: int, seed: int) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return ["".join(LETTERS[i] for i in torch.randint(0, 20, (n,), generator=generator)) for n in sizes]


def potentials(xs: list[str], ys: list[str], opening: float, extending: float) -> ss.AffineAlignmentPotentials:
    """One batch of all pairs, padded; gap scores tied over positions."""
    n, m = max(map(len, xs)), max(map(len, ys))
    match = torch.zeros(len(xs), n, m, dtype=torch.float64)
    for row, x, y in zip(match, xs, ys, strict=True):
        row[: len(x), : len(y)] = torch.tensor([[BLOSUM[a][b] for b in y] for a in x])
    gaps = [torch.full((1, 1), score, dtype=torch.float64) for score in (opening, extending)]
    return ss.AffineAlignmentPotentials(match, *gaps, *gaps)


def lengths_of(xs: list[str], ys: list[str]) -> tuple[Tensor, Tensor]:
    return torch.tensor([len(x) for x in xs]), torch.tensor([len(y) for y in ys])


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("opening, extending", [(-11.0, -1.0), (-4.0, -4.0), (-1.0, -0.5)])
def test_biopython(local: bool, opening: float, extending: float):
    xs, ys = proteins(25, 30, seed=0), proteins(25, 30, seed=1)
    ys[0] = xs[0]
    aligner = PairwiseAligner(mode="local" if local else "global", substitution_matrix=BLOSUM)
    aligner.open_gap_score, aligner.extend_gap_score = opening, extending
    phi = potentials(xs, ys, opening, extending)
    found = ss.max_score(ss.AffineAlignment(local=local), phi, lengths_of(xs, ys))
    assert found.tolist() == [aligner.score(x, y) for x, y in zip(xs, ys, strict=True)]
    best = ss.argmax(ss.AffineAlignment(local=local), phi, lengths=lengths_of(xs, ys))
    torch.testing.assert_close(ss.score(ss.AffineAlignment(local=local), phi, best), found)


def delannoy(n: int, m: int) -> int:
    return sum(comb(n, k) * comb(m, k) * 2**k for k in range(min(n, m) + 1))


@pytest.mark.parametrize("n, m", [(1, 1), (2, 5), (6, 6)])
def test_counts(n: int, m: int):
    one = torch.zeros(1, 1)
    phi = ss.AffineAlignmentPotentials(torch.zeros(n, m), one, one, one, one)
    assert ss.count(ss.AffineAlignment(), phi) == delannoy(n, m)
    # a path between the first and the last match, which lie `a` rows and `b` columns apart, or are the same
    between = sum((n - a) * (m - b) * delannoy(a - 1, b - 1) for a in range(1, n) for b in range(1, m))
    assert ss.count(ss.AffineAlignment(local=True), phi) == 1 + n * m + between


def test_gaps_that_cost_the_same_to_open_and_extend_are_plain():
    match, delete, insert = (torch.randn(3, *size, dtype=torch.float64) for size in ((5, 4), (5, 5), (6, 4)))
    plain = ss.AlignmentPotentials(match, delete, insert)
    phi = ss.AffineAlignmentPotentials(match, delete, delete, insert, insert)
    for ask in (ss.log_partition, ss.entropy, ss.max_score):
        torch.testing.assert_close(ask(ss.AffineAlignment(), phi), ask(ss.Alignment(), plain))
    ours, theirs = ss.marginals(ss.AffineAlignment(), phi), ss.marginals(ss.Alignment(), plain)
    torch.testing.assert_close(ours.match, theirs.match)
    torch.testing.assert_close(ours.delete_open + ours.delete_extend, theirs.delete)


def test_nothing_worth_aligning():
    phi = ss.AffineAlignmentPotentials(-torch.ones(3, 4), *[-torch.ones(1, 1)] * 4)
    best = ss.argmax(ss.AffineAlignment(local=True), phi)
    assert not any(field.any() for field in best) and ss.max_score(ss.AffineAlignment(local=True), phi) == 0
    assert (ss.argmax(ss.AffineAlignment(local=True), phi, labels=True) == -1).all()


def test_labels_of_a_local_alignment():
    phi = ss.AffineAlignmentPotentials(torch.zeros(5, 6), *[torch.zeros(1, 1)] * 4)
    labels = torch.tensor([[-1, -1], [0, 1], [1, 3], [1, 3], [0, 4]])
    event = ss.AffineAlignment(local=True).from_labels(labels, phi)
    assert event.match.nonzero().tolist() == [[1, 1], [4, 4]]
    assert [int(field) for field in event[1:]] == [1, 1, 2, 0]
    whole = phi._replace(insert_open=torch.zeros(6, 6), insert_extend=torch.zeros(6, 6))
    event = ss.AffineAlignment(local=True).from_labels(labels, whole)
    assert event.insert_open.nonzero().tolist() == [[2, 2], [4, 3]]
    for bad in ([[0, 0], [-1, -1], [0, 1]], [[1, 0], [0, 0], [-1, -1]], [[0, 0], [1, 1], [-1, -1]], [[-1, 0]] * 3):
        with pytest.raises(ValueError, match="local"):
            ss.AffineAlignment(local=True).from_labels(torch.tensor(bad + [[-1, -1]] * 2), phi)


@pytest.mark.parametrize("n, m, local", [(3, 3, False), (4, 2, False), (3, 3, True), (4, 3, True)])
def test_how_many_gaps_fit(n: int, m: int, local: bool):
    """Every count of gaps that an enumeration holds is accepted with its matches, and no other."""
    events = affine_events(n, m, local=local, tied=True)
    match = events[0].unique(dim=0)
    phi = ss.AffineAlignmentPotentials(*(torch.zeros_like(field[0]) for field in events))
    legal = {tuple(row) for row in torch.cat([field.flatten(1) for field in events], 1).int().tolist()}
    counts = torch.tensor(list(product(range(n + 1), range(n + 1), range(m + 1), range(m + 1))), dtype=torch.float64)
    every = ss.AffineAlignmentPotentials(
        match[:, None], *(count[:, None, None].expand(len(match), -1, 1, 1) for count in counts.T)
    )
    every = every._replace(match=every.match.expand(-1, len(counts), -1, -1))
    found = ss.contains(ss.AffineAlignment(local=local), phi, every)
    rows = torch.cat([field.flatten(2) for field in every], 2).int().flatten(0, 1).tolist()
    assert found.flatten().tolist() == [tuple(row) in legal for row in rows]


def test_enumerations():
    for n, m in ((1, 1), (2, 3)):
        match, delete, insert = alignment_events(n, m)
        events = affine_events(n, m)
        assert torch.equal(events[0], match)
        assert torch.equal(events[1] + events[2], delete) and torch.equal(events[3] + events[4], insert)
        assert not events[2][:, 0].any() and not events[4][:, :, 0].any()
