"""torch's contract, property by property, for every structure, against enumeration."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.distributions import Distribution, constraints
from torch.testing import assert_close

import semiring_struct as ss
from tests.distributions.truth import Truth, fields, flat, of, rows
from tests.structures.families import FAMILIES, SIDED, Family

every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)
every_sided = pytest.mark.parametrize("family", SIDED, ids=str)
every_batch = pytest.mark.parametrize("batch", [(), (2,), (2, 1, 3)], ids=str)


def kind(family: Family, values):
    return family.kind(*fields(values))


@every_family
@every_batch
def test_shapes(family: Family, batch: tuple[int, ...]):
    d = of(family, batch)
    assert isinstance(d, Distribution)
    assert d.batch_shape == torch.Size(batch)
    assert isinstance(d.batch_shape, torch.Size)
    shapes = [d.event_shape] if isinstance(d.event_shape, torch.Size) else list(d.event_shape)
    assert shapes == [torch.Size(s) for s in family.shapes]
    assert type(d.event_shape) is (torch.Size if len(shapes) == 1 else type(d.log_potentials))
    for lead in ((), (3,), (2, 0)):
        x = d.sample(lead)
        assert [f.shape for f in fields(x)] == [torch.Size((*lead, *batch, *s)) for s in family.shapes]
        assert d.log_prob(x).shape == (*lead, *batch)
    assert d.entropy().shape == batch
    for value in (d.mean, d.variance, d.stddev, d.mode):
        assert type(value) is type(d.log_potentials)
        assert [f.shape for f in fields(value)] == [f.shape for f in fields(d.log_potentials)]


@every_family
def test_flags_and_constraints(family: Family):
    d = of(family, (2,))
    assert not d.has_rsample
    assert d.has_enumerate_support
    with pytest.raises(NotImplementedError):
        d.rsample()
    for name, constraint in d.arg_constraints.items():
        assert isinstance(constraint, constraints.Constraint)
        assert bool(constraint.check(getattr(d, name)))
    assert isinstance(d.support, constraints.Constraint)
    assert d.support.is_discrete
    assert d.support.event_dim == d.structure.event_dim
    assert constraints.is_dependent(type(d).support)
    x = d.sample((4,))
    assert d.support.check(x).shape == (4, 2)
    assert bool(d.support.check(x).all())
    assert type(d.structure).__name__ in repr(d) and str(tuple(fields(d.log_potentials)[0].shape)) in repr(d)


@every_family
@pytest.mark.parametrize("forbidden", [0.0, 0.2])
def test_against_enumeration(family: Family, forbidden: float):
    d = of(family, (3, 2), seed=7, forbidden=forbidden)
    d = ss.StructDistribution(d.structure, kind(family, feasible(d)))
    truth = Truth(family, d.log_potentials)
    assert_close(flat(d.mean, 2), truth.mean)
    assert_close(flat(d.variance, 2), truth.variance, atol=1e-9, rtol=1e-7)
    assert_close(flat(d.stddev, 2), truth.variance.clamp(min=0).sqrt(), atol=1e-5, rtol=1e-5)
    assert_close(d.entropy(), truth.entropy)
    best = truth.log_probs.amax(0)
    assert_close(d.log_prob(d.mode), best)
    if forbidden == 0:
        assert_close(d.perplexity(), truth.entropy.exp())


def feasible(d: ss.StructDistribution):
    """The potentials, with those of instances without a structure set to 0."""
    ok = d.log_partition() > -torch.inf
    return [torch.where(ok.reshape(*ok.shape, *[1] * (f.dim() - ok.dim())), f, 0.0) for f in fields(d.log_potentials)]


@every_family
def test_log_prob_of_the_whole_support(family: Family):
    d = of(family, (2,), seed=3)
    events = d.enumerate_support()
    truth = Truth(family, d.log_potentials)
    assert rows(flat(events, 2)[:, 0]) == rows(truth.events)
    assert len(flat(events, 2)) == len(truth.events)
    found = d.log_prob(events)
    assert found.shape == (len(truth.events), 2)
    assert_close(found.exp().sum(0), torch.ones(2, dtype=torch.float64))
    assert_close(found.sort(0).values, truth.log_probs.sort(0).values)


@every_family
def test_enumerate_support_ignores_forbidden_parts_and_expands_on_request(family: Family):
    d = of(family, (2, 3), seed=3, forbidden=0.3)
    narrow, wide = d.enumerate_support(expand=False), d.enumerate_support()
    for a, b in zip(fields(narrow), fields(wide), strict=True):
        assert a.shape[1:3] == (1, 1) and b.shape[1:3] == (2, 3)
        assert torch.equal(a.expand_as(b), b)
    assert len(fields(wide)[0]) == len(Truth(family, d.log_potentials).events)


@every_sided
def test_lengths(family: Family):
    lengths = family.lengths(4, seed=5, feasible=True)
    d = ss.StructDistribution(family.structure, family.draw((4,), seed=5), lengths)
    sides = lengths if isinstance(lengths, tuple) else (lengths,)
    draws = d.sample((3,))
    assert bool(d.support.check(draws).all())
    for i in range(4):
        bounds = [int(x[i]) for x in sides]
        truth = Truth(family, kind(family, [f[i] for f in fields(d.log_potentials)]), *bounds)
        assert_close(flat(d.mean, 1)[i], truth.mean)
        assert_close(flat(d.variance, 1)[i], truth.variance, atol=1e-9, rtol=1e-7)
        assert_close(d.entropy()[i], truth.entropy)
        assert rows(flat(draws, 2)[:, i]) <= rows(truth.events)
    if any(len(side.unique()) > 1 for side in sides):
        with pytest.raises(NotImplementedError, match="one length"):
            d.enumerate_support()


@every_sided
def test_enumerate_support_of_one_length(family: Family):
    short = tuple(max(s - 1, 0) for s in family.sizes)
    lengths = torch.tensor(short[0]) if len(short) == 1 else tuple(map(torch.tensor, short))
    d = ss.StructDistribution(family.structure, family.draw((2,), seed=5), lengths)
    assert rows(flat(d.enumerate_support(), 2)[:, 1]) == rows(flat(family.events(*short), 1))


@every_family
def test_copies_answer_alike(family: Family):
    d = of(family, (2,))
    for other in (pickle.loads(pickle.dumps(d)), copy.deepcopy(d), copy.copy(d)):
        assert type(other) is type(d)
        assert torch.equal(other.entropy(), d.entropy())
        assert repr(other) == repr(d)
    settings = vars(pickle.loads(pickle.dumps(d.structure))).keys()
    assert not settings & {"_own_handle", "declaration"}


@every_family
def test_generator(family: Family):
    d = of(family, (2,))
    state = torch.get_rng_state()
    draws = [flat(d.sample((5,), generator=torch.Generator().manual_seed(3)), 2) for _ in range(2)]
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), state)
