"""The named distributions, expanding them, and a structure of the user's own."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.distributions import Independent
from torch.testing import assert_close

import semiring_struct as ss
from tests.distributions.truth import Truth, fields, flat
from tests.structures.families import alignment, chain, heads, segments, spans

NAMED = (
    (ss.LinearChainCRF, {}, chain(3, 2)),
    (ss.LinearChainCRF, {}, chain(3, 2, tied=True)),
    (ss.SemiMarkovCRF, {}, segments(3, 2, 2)),
    (ss.TreeCRF, {}, spans(4)),
    (ss.TreeCRF, {"labelled": True}, spans(3, 2)),
    (ss.ProjectiveDependencyCRF, {}, heads(4)),
    (ss.ProjectiveDependencyCRF, {"single_root": True}, heads(4, single_root=True)),
    (ss.AlignmentCRF, {}, alignment(2, 2)),
)
every_name = pytest.mark.parametrize("name, settings, family", NAMED, ids=lambda x: getattr(x, "__name__", str(x)))


@every_name
def test_is_the_distribution_of_its_structure(name, settings, family):
    phi, lengths = family.draw((3,), seed=0), family.lengths(3, seed=0)
    for given in (None, lengths):
        ours = name(phi, given, validate_args=True, **settings)
        theirs = ss.StructDistribution(family.structure, phi, given)
        assert isinstance(ours, ss.StructDistribution)
        assert type(ours.structure) is type(theirs.structure)
        assert torch.equal(ours.entropy(), theirs.entropy())
        assert repr(ours).startswith(f"{name.__name__}({type(family.structure).__name__}(")


@every_name
def test_expand(name, settings, family):
    phi, lengths = family.draw((3,), seed=0), family.lengths(3, seed=0)
    narrow = name(phi, lengths, validate_args=False, **settings)
    wide = narrow.expand((2, 3))
    assert type(wide) is name
    assert wide.batch_shape == (2, 3)
    assert wide.event_shape == narrow.event_shape
    assert wide._validate_args is False
    assert all(a.shape == (2, 3) for a in fields(wide.lengths))
    for a, b in zip(fields(wide.log_potentials), fields(phi), strict=True):
        assert a.data_ptr() == b.data_ptr()
    assert torch.equal(wide.entropy(), narrow.entropy().expand(2, 3))
    x = wide.sample((4,))
    assert [f.shape for f in fields(x)] == [(4, 2, 3, *s) for s in family.shapes]
    assert_close(wide.log_prob(x)[:, 1], narrow.log_prob(family.kind(*(f[:, 1] for f in fields(x)))))
    with pytest.raises(RuntimeError):
        narrow.expand((4,))


@pytest.mark.parametrize("labelled, shape", [(None, (3, 3)), (None, (3, 3, 2)), (False, (4, 3, 3)), (True, (3, 3, 3))])
def test_tree_settles_its_labels_once(labelled: bool | None, shape: tuple[int, ...]):
    """Expanding to a batch as large as the sentence does not change what is a label."""
    d = ss.TreeCRF(torch.randn(shape), labelled=labelled)
    assert d.expand((3, *d.batch_shape)).event_shape == d.event_shape
    assert d.expand((3, *d.batch_shape)).entropy().shape == (3, *d.batch_shape)


def test_hmm():
    """The log-partition is the log-probability of the observations; the mode the Viterbi path."""
    initial, transition, emission = (torch.randn(*s, dtype=torch.float64) for s in ((2,), (2, 2), (2, 3)))
    seen = torch.tensor([[0, 2, 1], [1, 1, 0]])
    d = ss.HMM(initial, transition, emission, seen)
    start, move, emit = (x.log_softmax(-1) for x in (initial, transition, emission))
    for row in range(2):
        joint = {}
        for path in itertools.product(range(2), repeat=3):
            steps = sum(move[a, b] for a, b in itertools.pairwise(path))
            joint[path] = start[path[0]] + steps + sum(emit[z, o] for z, o in zip(path, seen[row], strict=True))
        total = torch.stack(list(joint.values())).logsumexp(0)
        assert_close(d.log_partition()[row], total)
        best = max(joint, key=lambda path: float(joint[path]))
        assert d.argmax(labels=True)[row].tolist() == list(best)
        assert_close(d.log_prob(torch.tensor(best))[row], joint[best] - total)
    short = ss.HMM(initial, transition, emission, seen, lengths=torch.tensor([2, 1]))
    cut = ss.HMM(initial, transition, emission, seen[:, :2], torch.tensor([2, 1]))
    assert_close(short.log_partition(), cut.log_partition())


@pytest.mark.parametrize("family", [spans(3), heads(3, single_root=True), spans(3, 2)], ids=str)
def test_independent(family):
    base = ss.StructDistribution(family.structure, family.draw((2, 3), seed=0))
    d = Independent(base, 1)
    assert (d.batch_shape, d.event_shape) == ((2,), (3, *family.shapes[0]))
    x = d.sample((4,))
    assert_close(d.log_prob(x), base.log_prob(x).sum(-1))
    assert_close(d.entropy(), base.entropy().sum(-1))
    assert d.mean.shape == (2, 3, *family.shapes[0])
    assert d.support.event_dim == 1 + base.support.event_dim
    assert bool(d.support.check(x).all())


class Walk(ss.DynamicProgram):
    """Three steps between two places, scored by one table whatever the step: its events are counts, undeclared."""

    event_dim = 2

    def inside(self, p, step):
        at = p.chart(4, 2)
        at[0] = p.one.expand(2)
        for i in range(3):
            at[i + 1] = (at[i][:, None] * step).sum(0)
        return at[3].sum(-1)


def test_a_structure_of_the_users_own():
    phi = torch.randn(3, 2, 2, dtype=torch.float64)
    d = ss.StructDistribution(Walk(), phi)
    events = []
    for path in itertools.product(range(2), repeat=4):
        events.append(torch.zeros(2, 2, dtype=torch.float64))
        for a, b in itertools.pairwise(path):
            events[-1][a, b] += 1
    counts = torch.stack(events)
    probs = torch.einsum("sab,xab->sx", counts, phi).softmax(0)
    mean = torch.einsum("sx,sab->xab", probs, counts)
    assert_close(d.mean, mean)
    assert_close(d.variance, torch.einsum("sx,sab->xab", probs, counts**2) - mean**2)
    assert d.event_shape == (2, 2)
    assert d.lengths is None
    assert d.expand((2, 3)).entropy().shape == (2, 3)
    with pytest.raises(ss.UnsupportedQueryError):
        d.sample(labels=True)
    with pytest.raises(ss.UnsupportedQueryError):
        d.log_prob(torch.zeros(3, dtype=torch.int64))


def test_plain_tuples_stay_plain():
    family = chain(3, 2)
    d = ss.StructDistribution(ss.LinearChain(), tuple(family.draw((2,), seed=0)))
    assert type(d.event_shape) is type(d.mean) is type(d.sample()) is tuple
    assert_close(flat(d.mean, 1), Truth(family, d.log_potentials).mean)


@pytest.mark.parametrize("tied", [False, True])
def test_empty_batch_and_many_tied_entries(tied: bool):
    empty = ss.LinearChainCRF(chain(3, 2, tied).draw((0,), seed=0))
    assert empty.variance.transition.shape == empty.log_potentials.transition.shape
    family = chain(3, 7, tied)
    d = ss.LinearChainCRF(family.draw((2,), seed=0))
    assert_close(flat(d.variance, 1), Truth(family, d.log_potentials).variance, atol=1e-9, rtol=1e-7)
