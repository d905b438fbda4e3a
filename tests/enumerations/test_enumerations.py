"""The enumerations against counts known in closed form, and their events against the definitions."""

from __future__ import annotations

from math import comb

import pytest
import torch

from tests.enumerations.alignment import alignment_events
from tests.enumerations.linear_chain import chain_events
from tests.enumerations.one_of import one_of_events
from tests.enumerations.projective_tree import projective_tree_events
from tests.enumerations.semi_markov import segmentation_events
from tests.enumerations.span_tree import span_events


def distinct(*fields: torch.Tensor) -> int:
    return len(torch.cat([field.flatten(1) for field in fields], 1).unique(dim=0))


def delannoy(n: int, m: int) -> int:
    return sum(comb(n, k) * comb(m, k) * 2**k for k in range(min(n, m) + 1))


def test_one_of():
    assert distinct(one_of_events(4)) == 4
    assert one_of_events(3).sum(0).tolist() == [1, 1, 1]


@pytest.mark.parametrize("n, c", [(1, 3), (2, 2), (3, 3), (4, 2)])
def test_chain(n: int, c: int):
    emission, transition = chain_events(n, c)
    assert distinct(emission) == distinct(emission, transition) == len(emission) == c**n
    torch.testing.assert_close(emission.sum((1, 2)), torch.full((c**n,), float(n), dtype=torch.float64))
    assert torch.equal(chain_events(n, c, tied=True)[1].squeeze(1), transition.sum(1))
    assert len(chain_events(n, c, length=0)[0]) == 1
    shorter, moves = chain_events(n, c, length=n - 1)
    assert len(shorter) == c ** (n - 1)
    assert not shorter[:, n - 1 :].any() and not moves[:, max(n - 2, 0) :].any()


@pytest.mark.parametrize("n, w, c", [(1, 1, 2), (3, 3, 1), (3, 2, 2), (4, 5, 2)])
def test_segmentation(n: int, w: int, c: int):
    counts = [1]
    for i in range(1, n + 1):
        counts.append(c * sum(counts[max(0, i - w) : i]))
    segment, transition = segmentation_events(n, w, c)
    assert distinct(segment) == len(segment) == counts[n]
    covered = (segment.sum((1, 3)) * torch.arange(1, w + 1)).sum(1)
    assert covered.unique().tolist() == [n]
    assert torch.equal(transition.sum((1, 2, 3)), segment.sum((1, 2, 3)) - 1)
    assert not transition[:, 0].any()
    assert torch.equal(segmentation_events(n, w, c, tied=True)[1].squeeze(1), transition.sum(1))
    assert len(segmentation_events(n, w, c, length=n - 1)[0]) == counts[n - 1]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_spans(n: int):
    catalan = comb(2 * n - 2, n - 1) // n
    events = span_events(n)
    assert distinct(events) == len(events) == catalan
    assert events.sum((1, 2)).unique().tolist() == [2 * n - 1]
    if n < 4:
        assert distinct(span_events(n, 2)) == catalan * 2 ** (2 * n - 1)
    assert len(span_events(n, length=0)) == 1
    assert len(span_events(n + 1, length=n)) == catalan


@pytest.mark.parametrize("words, multiple, single", [(1, 1, 1), (2, 3, 2), (3, 12, 7), (4, 55, 30)])
def test_projective_trees(words: int, multiple: int, single: int):
    assert multiple == comb(3 * words, words) // (2 * words + 1)
    events = projective_tree_events(words + 1)
    assert distinct(events) == len(events) == multiple
    assert torch.equal(events[:, :, 1:].sum(1), torch.ones(multiple, words, dtype=torch.float64))
    assert distinct(projective_tree_events(words + 1, single_root=True)) == single
    assert len(projective_tree_events(words + 2, length=words)) == multiple
    assert len(projective_tree_events(words + 1, length=0)) == 1


@pytest.mark.parametrize("n, m", [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_alignments(n: int, m: int):
    match, delete, insert = alignment_events(n, m)
    assert distinct(match, delete, insert) == len(match) == delannoy(n, m)
    assert (match.sum((1, 2)) + delete.sum((1, 2))).unique().tolist() == [n]
    assert (match.sum((1, 2)) + insert.sum((1, 2))).unique().tolist() == [m]
    assert len(alignment_events(n, m, lengths=(n - 1, m))[0]) == delannoy(n - 1, m)
    assert len(alignment_events(n, m, lengths=(0, 0))[0]) == 1
    tied = alignment_events(n, m, shapes=((n, m), (1, 1), (n + 1, 1)))
    assert torch.equal(tied[1].squeeze((1, 2)), delete.sum((1, 2)))
    assert torch.equal(tied[2].squeeze(2), insert.sum(2))
