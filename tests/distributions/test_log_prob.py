"""What `log_prob` takes, and what it and the constructor refuse."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import semiring_struct as ss
from tests.distributions.truth import fields, flat, of, rows
from tests.structures.families import FAMILIES, LABELLED, Family, chain, heads, spans

every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)
untied = pytest.mark.parametrize("family", [f for f in LABELLED if "tied" not in f.name], ids=str)


@untied
def test_labels_and_events_agree(family: Family):
    d = of(family, (2, 3), seed=1)
    y = d.sample((4,), labels=True)
    events = d.from_labels(y)
    assert_close(d.log_prob(y), d.log_prob(events))
    assert torch.equal(d.to_labels(events), y)
    assert_close(d.log_prob(y[0, 0, 0]), d.log_prob(d.from_labels(y[0, 0, 0])))
    assert d.log_prob(y[0, 0, 0]).shape == (2, 3)


@untied
def test_labels_with_lengths(family: Family):
    lengths = family.lengths(3, seed=2, feasible=True)
    d = ss.StructDistribution(family.structure, family.draw((3,), seed=2), lengths)
    y = d.sample((4,), labels=True)
    assert_close(d.log_prob(y), d.log_prob(d.from_labels(y)))
    assert torch.equal(d.to_labels(d.from_labels(y)), y)


@every_family
def test_events_broadcast_over_the_batch(family: Family):
    d = of(family, (2, 3), seed=1)
    x = of(family, (), seed=2).sample()
    wide = family.kind(*(f.expand(2, 3, *f.shape) for f in fields(x)))
    assert_close(d.log_prob(x), d.log_prob(wide))
    assert d.contains(x).shape == d.score(x).shape == (2, 3)


@every_family
def test_outside_the_support(family: Family):
    phi = family.draw((2,), seed=1)
    empty = family.kind(*(torch.zeros_like(f) for f in fields(phi)))
    full = family.kind(*(torch.full_like(f, 3.0) for f in fields(phi)))
    strict = ss.StructDistribution(family.structure, phi, validate_args=True)
    loose = ss.StructDistribution(family.structure, phi, validate_args=False)
    legal = rows(flat(family.events(), 1))
    for bad in (x for x in (empty, full) if not rows(flat(x, 1)) <= legal):
        with pytest.raises(ValueError, match="within the support"):
            strict.log_prob(bad)
        assert torch.equal(loose.log_prob(bad), torch.full((2,), -torch.inf, dtype=torch.float64))
        assert not bool(strict.support.check(bad).any())
    half = family.kind(*(f * 0.5 for f in fields(strict.sample())))
    with pytest.raises(ValueError, match="within the support"):
        strict.log_prob(half)


def test_a_forbidden_event_is_in_the_support():
    phi = torch.zeros(3, 3).index_put((torch.tensor(0), torch.tensor(1)), torch.tensor(-torch.inf))
    d = ss.TreeCRF(phi, validate_args=True)
    x = d.enumerate_support()
    assert sorted(d.log_prob(x).tolist()) == [-torch.inf, 0.0]


@pytest.mark.parametrize("validate", [True, False])
def test_wrong_shapes_and_kinds(validate: bool):
    d = ss.LinearChainCRF(chain(3, 2).draw((2,), seed=0), validate_args=validate)
    emission, transition = d.sample((4,))
    wrong_batch = emission[:, :1].expand(4, 3, 3, 2)
    for bad in ((emission[..., :1], transition), (emission, transition[:, :, :1]), (wrong_batch, transition)):
        with pytest.raises(ss.ShapeError, match="an event has shape"):
            d.log_prob(bad)
    for bad in (emission, (emission,), None):
        with pytest.raises(TypeError, match="one tensor per field"):
            d.log_prob(bad)
    with pytest.raises(ss.ShapeError):
        d.log_prob(torch.zeros(2, 5, dtype=torch.int64))


def test_labels_of_no_structure_are_refused_by_validation_and_have_no_probability_without():
    phi, tags = chain(3, 2).draw((2,), seed=0), torch.tensor([[0, 1, 0], [0, 2, 0]])
    with pytest.raises(ValueError, match=r"tags must lie in 0..1 \(first at index \(1, 1\)"):
        ss.LinearChainCRF(phi, validate_args=True).log_prob(tags)
    with pytest.raises(ValueError, match=r"tags must lie in 0..1 \(first at index \(0, 1\)"):
        ss.LinearChainCRF(phi, validate_args=True).log_prob(tags[1])
    free = ss.LinearChainCRF(phi, validate_args=False)
    assert free.log_prob(tags).isfinite().tolist() == [True, False]
    assert free.contains(tags).tolist() == [True, False]
    assert free.support.check(tags).tolist() == [True, False]


@pytest.mark.parametrize("validate", [True, False])
def test_construction_refuses_at_once(validate: bool):
    def make(structure, phi, lengths=None):
        return ss.StructDistribution(structure, phi, lengths, validate_args=validate)

    good = chain(3, 2).draw((2,), seed=0)
    for bad in (torch.nan, torch.inf):
        spoilt = good.transition.clone()
        spoilt[1, 0, 0, 0] = bad
        with pytest.raises(ValueError, match="transition holds NaN or"):
            make(ss.LinearChain(), good._replace(transition=spoilt))
    with pytest.raises(ss.ShapeError):
        make(ss.LinearChain(), good._replace(transition=good.transition[..., :1, :].repeat(1, 3, 1, 1)))
    with pytest.raises(ss.ShapeError, match="broadcast"):
        make(ss.LinearChain(), good._replace(emission=good.emission.repeat(3, 1, 1)))
    with pytest.raises(TypeError, match="floating point"):
        make(ss.SpanTree(), torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match="structure"):
        make(ss.SpanTree, torch.zeros(3, 3))
    with pytest.raises(ValueError, match="lengths must lie"):
        make(ss.LinearChain(), good, torch.tensor([4, 1]))
    with pytest.raises(ss.ShapeError, match="lengths"):
        make(ss.LinearChain(), good, torch.tensor([1, 1, 1]))
    with pytest.raises(ValueError):
        make(ss.LinearChain(), good, torch.tensor([[True, False, True], [True, True, True]]))
    with pytest.raises(ss.InfeasibleError):
        make(ss.SpanTree(), torch.full((3, 3), -torch.inf)).sample()


def test_fields_broadcast_over_the_batch():
    family = chain(3, 2)
    emission, transition = family.draw((2, 1), seed=0).emission, family.draw((4,), seed=1).transition
    d = ss.LinearChainCRF(ss.ChainPotentials(emission, transition))
    assert d.batch_shape == (2, 4)
    one = ss.LinearChainCRF(ss.ChainPotentials(emission[1, 0], transition[3]))
    assert_close(d.entropy()[1, 3], one.entropy())


@pytest.mark.parametrize("family", [spans(3), heads(4), chain(3, 2)], ids=str)
def test_masks_and_integers_are_the_same_lengths(family: Family):
    n = family.sizes[0]
    lengths = torch.tensor([n, 1])
    mask = torch.arange(n) < lengths[:, None]
    phi = family.draw((2,), seed=0)
    by_mask, by_length = (ss.StructDistribution(family.structure, phi, x) for x in (mask, lengths))
    assert torch.equal(by_mask.lengths, lengths)
    assert torch.equal(by_mask.entropy(), by_length.entropy())
