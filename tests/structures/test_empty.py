"""Sizes of 0: an instance without positions is the same as one of which no position counts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import (
    Family,
    accepted_chain,
    accepted_subset,
    affine,
    alignment,
    arborescence,
    bits,
    chain,
    ctc,
    fields_of,
    grammar,
    heads,
    held,
    low_rank_grammar,
    matching,
    neighbours,
    segments,
    spanning,
    spans,
    subset,
    warping,
)

# an empty family, and the same with a position more on each side that is empty
PAIRS: list[tuple[Family, Family]] = [
    (chain(0, 2), chain(1, 2)),
    (chain(0, 2, tied=True), chain(1, 2, tied=True)),
    (segments(0, 2, 2), segments(1, 2, 2)),
    (segments(0, 2, 2, tied=True), segments(1, 2, 2, tied=True)),
    (spans(0), spans(1)),
    (spans(0, 2), spans(1, 2)),
    (heads(1), heads(2)),
    (heads(1, single_root=True), heads(2, single_root=True)),
    (alignment(0, 2), alignment(1, 2)),
    (alignment(2, 0), alignment(2, 1)),
    (alignment(0, 0), alignment(1, 1)),
    (affine(0, 2), affine(1, 2)),
    (affine(2, 0), affine(2, 1)),
    (affine(0, 2, tied=True), affine(1, 2, tied=True)),
    (affine(0, 2, local=True), affine(1, 2, local=True)),
    (affine(0, 0, local=True), affine(1, 1, local=True)),
    (bits(0), bits(1)),
    (subset(0, 0), subset(1, 0)),
    (subset(0, 1), subset(1, 1)),
    (subset(0, 2, at_most=True), subset(1, 2, at_most=True)),
    (neighbours(0, 0, tied=True), neighbours(1, 0, tied=True)),
    (neighbours(0, 1), neighbours(1, 1)),
    (held(0, 2), held(1, 2)),
    (held(2, 0), held(2, 1)),
    (held(0, 0), held(1, 1)),
    (warping(0, 2), warping(1, 2)),
    (warping(0, 0), warping(1, 1)),
    (ctc(0, 3, ()), ctc(1, 3, ())),
    (ctc(0, 3, (1,)), ctc(1, 3, (1,))),
    (grammar(0, 1, 2), grammar(1, 1, 2)),
    (grammar(0, 1, 2, spans=True), grammar(1, 1, 2, spans=True)),
    (low_rank_grammar(0, 1, 1, 2), low_rank_grammar(1, 1, 1, 2)),
    (accepted_chain(0, tied=True), accepted_chain(1, tied=True)),
    (accepted_subset(0, 0), accepted_subset(1, 0)),
    (matching(0), matching(1)),
    (arborescence(1), arborescence(2)),
    (arborescence(1, single_root=True), arborescence(2, single_root=True)),
    (spanning(0), spanning(1)),
]


def given(family: Family, more: Family) -> tuple[Any, Any, Any]:
    """Potentials of both, two instances, and the lengths of the larger one."""
    generator = torch.Generator().manual_seed(0)
    shapes = [tuple(max(size, 0) for size in shape) for shape in family.shapes]
    small = [torch.randn(2, *shape, generator=generator, dtype=torch.float64) for shape in shapes]
    large = [grown(f, shape) for f, shape in zip(small, more.shapes, strict=True)]
    lengths = tuple(torch.full((2,), n) for n in family.sizes)
    return family.kind(*small), more.kind(*large), lengths if len(lengths) > 1 else lengths[0]


def grown(field: Tensor, shape: tuple[int, ...]) -> Tensor:
    wide = torch.full((2, *shape), 3.0, dtype=torch.float64)
    wide[(slice(None), *(slice(0, n) for n in field.shape[1:]))] = field
    return wide


def cut(value: Any, like: Any) -> list[Tensor]:
    """The leading block of each field."""
    pairs = zip(fields_of(value), fields_of(like), strict=True)
    return [a[(..., *(slice(0, n) for n in b.shape[1:]))] for a, b in pairs]


@pytest.mark.parametrize(("family", "more"), PAIRS, ids=[f"{a.name}" for a, _ in PAIRS])
def test_every_query_is_that_of_length_0(family: Family, more: Family):
    structure, (phi, wide, lengths) = family.structure, given(family, more)
    for query in (ss.log_partition, ss.max_score, ss.entropy, ss.count):
        torch.testing.assert_close(query(structure, phi), query(structure, wide, lengths))
    marginals = cut(ss.marginals(structure, wide, lengths), phi)
    leaves = [f.clone().requires_grad_() for f in fields_of(phi)]
    slopes = torch.autograd.grad(ss.log_partition(structure, family.kind(*leaves)).sum(), leaves)
    for one, slope, other in zip(fields_of(ss.marginals(structure, phi)), slopes, marginals, strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(slope, other)
    ranked, listed = ss.topk(structure, phi, 3), ss.topk(structure, wide, 3, lengths)
    torch.testing.assert_close(ranked.scores, listed.scores)
    distinct = ss.sample_without_replacement(structure, phi, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(distinct.valid, listed.valid)
    if not bool(listed.valid[0].all()):
        for ask in (ss.argmax, ss.sample):
            with pytest.raises(ss.InfeasibleError):
                ask(structure, phi)
        return
    for event in (ss.argmax(structure, phi), ss.sample(structure, phi)):
        assert ss.contains(structure, phi, event).all()
        wanted = ss.score(structure, phi, event) - ss.log_partition(structure, phi)
        torch.testing.assert_close(ss.log_prob(structure, phi, event), wanted)
    if isinstance(structure, ss.DTW | ss.LowRankPCFG):
        return
    labels = ss.argmax(structure, phi, labels=True)
    drawn = ss.sample(structure, phi, (4,), labels=True)
    assert ss.contains(structure, phi, labels).all() and ss.contains(structure, phi, drawn).all()
    best = ss.argmax(structure, phi)
    torch.testing.assert_close(ss.log_prob(structure, phi, labels), ss.log_prob(structure, phi, best))
    for one, other in zip(fields_of(structure.from_labels(labels, phi)), fields_of(best), strict=True):
        assert torch.equal(one, other)


def test_a_batch_without_instances_of_nothing():
    phi = ss.ChainPotentials(torch.zeros(0, 0, 2), torch.zeros(0, 1, 2, 2))
    assert ss.log_partition(ss.LinearChain(), phi).shape == (0,)


def test_an_hmm_without_observations():
    model = torch.zeros(2), torch.zeros(2, 2), torch.zeros(2, 3)
    phi = ss.hmm(*model, torch.zeros(0, dtype=torch.long))
    assert phi.emission.shape == (0, 2) and ss.log_partition(ss.LinearChain(), phi) == 0
    assert ss.HMM(*model, torch.zeros(4, 0, dtype=torch.long)).entropy().tolist() == [0.0] * 4


@pytest.mark.parametrize("shape", list(itertools.product((0, 2), (0, 3))))
def test_only_what_lengths_bound_may_be_empty(shape: tuple[int, int]):
    n, c = shape
    phi = ss.ChainPotentials(torch.zeros(n, c), torch.zeros(1, c, c))
    if c:
        assert ss.count(ss.LinearChain(), phi) == c**n
    else:
        with pytest.raises(ss.ShapeError, match="c must be at least 1"):
            ss.count(ss.LinearChain(), phi)


class Plain(ss.DynamicProgram):
    """Reads its first item whatever the size."""

    event_dim = 1
    shapes = {"item": "n"}

    def inside(self, p, item):
        total = p.chart(item.shape[0] + 1)
        total[0] = p.one
        total[1] = item[0]
        return total[p.length]


def test_a_structure_that_does_not_cover_size_0_says_so():
    with pytest.raises(ss.ShapeError, match=r"Plain.*size 0.*p\.one"):
        ss.log_partition(Plain(), torch.zeros(0))
