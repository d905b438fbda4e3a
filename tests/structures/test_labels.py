"""Labels by hand: what they mean for each structure, the round trip with events, and every kind of bad label."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.structures.labels import stored
from tests.structures.families import (
    LABELLED,
    SIDED,
    Family,
    alignment,
    bits,
    chain,
    ctc,
    heads,
    held,
    neighbours,
    one_of,
    segments,
    spans,
    subset,
)
from tests.structures.test_contract import fields

untied = [family for family in LABELLED if "tied" not in family.name]


def events_of(family: Family, *lengths: int) -> Any:
    """All events of one instance, with potentials that fit them."""
    return family.events(*lengths), family.draw((), seed=0)


@pytest.mark.parametrize("family", untied, ids=str)
def test_every_event_comes_back(family: Family):
    """Batched over all structures, in two batch dims, and one by one."""
    events, like = events_of(family)
    labels = family.structure.to_labels(events)
    assert labels.dtype == torch.int64
    assert len(labels.unique(dim=0)) == len(labels)
    spread = family.kind(*(f.expand(len(labels), *f.shape) for f in fields(like)))
    for one, other in zip(fields(family.structure.from_labels(labels, spread)), fields(events), strict=True):
        assert torch.equal(one, other)
    again = family.structure.from_labels(labels[:, None], family.kind(*(f[:, None] for f in fields(spread))))
    assert all(torch.equal(a[:, 0], b) for a, b in zip(fields(again), fields(events), strict=True))
    single = family.structure.from_labels(labels[0], like)
    assert all(torch.equal(a, b[0]) for a, b in zip(fields(single), fields(events), strict=True))
    assert torch.equal(family.structure.to_labels(single), labels[0])


@pytest.mark.parametrize("family", [family for family in SIDED if family in untied], ids=str)
def test_past_the_length_labels_are_blank_on_the_way_out_and_ignored_on_the_way_in(family: Family):
    lengths = tuple(max(0, size - 1) for size in family.sizes)
    if not len(fields(family.events(*lengths))[0]):
        lengths = family.sizes
    how = tuple(torch.tensor(n) for n in lengths) if len(lengths) > 1 else torch.tensor(lengths[0])
    events, like = events_of(family, *lengths)
    first = family.kind(*(field[0] for field in fields(events)))
    labels = family.structure.to_labels(first, how)
    ignored = torch.where(beyond(family, lengths, labels), 77, labels)
    assert (labels[ignored == 77] == -1).all()
    again = family.structure.from_labels(ignored, like, how)
    assert all(torch.equal(a, b) for a, b in zip(fields(again), fields(first), strict=True))


def beyond(family: Family, lengths: tuple[int, ...], labels: Tensor) -> Tensor:
    """Which slots of the labels stand past the length, in all their dims that positions index."""
    count = lengths[0] + 1 if isinstance(family.structure, ss.ProjectiveTree) else lengths[0]
    past = torch.arange(labels.shape[0]) >= count
    if isinstance(family.structure, ss.SpanTree | ss.PCFG):
        return past[:, None] | past
    return past.reshape(-1, *([1] * (labels.dim() - 1))).expand_as(labels)


def test_half_precision_and_tied_potentials_take_labels_too():
    tags = torch.tensor([[0, 1, 1, 2]])
    tied = chain(4, 3, tied=True).draw((1,), seed=0)
    counts = ss.LinearChain().from_labels(tags, tied)
    assert counts.transition.shape == (1, 1, 3, 3)
    assert counts.transition[0, 0].tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 0]]
    with pytest.raises(ValueError, match="tied"):
        ss.Alignment().to_labels(ss.AlignmentPotentials(torch.zeros(2, 2), torch.zeros(1, 1), torch.zeros(1, 1)))
    half = ss.LinearChain().from_labels(tags, ss.ChainPotentials(*(f.bfloat16() for f in tied)))
    assert half.emission.dtype == torch.float32


def test_what_the_labels_say():
    assert ss.OneOf().to_labels(torch.eye(3)[[2, 0]]).tolist() == [2, 0]
    cut = ss.SemiMarkov().from_labels(torch.tensor([[1, 0], [-1, -1], [0, 1]]), segments(3, 2, 2).draw((), 0))
    assert cut.segment.nonzero().tolist() == [[0, 1, 0], [2, 0, 1]]
    assert cut.transition.nonzero().tolist() == [[2, 0, 1]]
    tree = ss.ProjectiveTree().from_labels(torch.tensor([-1, 2, 0, 2]), torch.zeros(4, 4))
    assert tree.nonzero().tolist() == [[0, 2], [2, 1], [2, 3]]
    spanned = torch.full((3, 3), -1)
    spanned[0, 0] = spanned[1, 1] = spanned[2, 2] = spanned[0, 2] = 0
    spanned[1, 2] = 1
    marked = ss.SpanTree(labelled=True).from_labels(spanned, torch.zeros(3, 3, 2))
    assert marked[..., 1].nonzero().tolist() == [[1, 2]] and marked.sum() == 5
    path = ss.Alignment().from_labels(torch.tensor([[1, 1], [0, 1]]), alignment(2, 3).draw((), 0))
    assert path.match.nonzero().tolist() == [[1, 1]]
    assert path.delete.nonzero().tolist() == [[0, 1]]
    assert path.insert.nonzero().tolist() == [[0, 0], [2, 2]]
    assert ss.Subset(at_most=3).to_labels(torch.tensor([0.0, 1.0, 0.0, 1.0])).tolist() == [1, 3, -1]
    assert ss.BitVector().to_labels(torch.tensor([1.0, 0.0, 1.0])).tolist() == [0, 2, -1]
    taken = ss.CorrelatedSubset(2).from_labels(torch.tensor([1, 2]), neighbours(4, 2).draw((), 0))
    assert (taken.item.tolist(), taken.pair.tolist()) == ([0, 1, 1, 0], [0, 1, 0])
    emitted = ss.CTC(torch.tensor([2, 2])).from_labels(torch.tensor([2, 0, 2, 2]), torch.zeros(4, 3))
    assert emitted.argmax(-1).tolist() == [2, 0, 2, 2]


SPAN_BASE = [[0, 0, -1, 0], [-1, 0, -1, -1], [-1, -1, 0, 0], [-1, -1, -1, 0]]


def spanning(**changes: int) -> list[list[int]]:
    """The tree ((0 1) (2 3)) with some spans changed: `s12=0` marks the span 1..2."""
    table = [row.copy() for row in SPAN_BASE]
    for name, label in changes.items():
        table[int(name[1])][int(name[2])] = label
    return table


BAD: list[tuple[str, Family, Any]] = [
    ("one-of: above", one_of(4), 4),
    ("one-of: negative", one_of(4), -1),
    ("chain: above", chain(3, 2), [0, 2, 1]),
    ("chain: negative", chain(3, 2), [0, -1, 1]),
    ("chain: the ignore index of losses", chain(3, 2), [0, 1, -100]),
    ("segments: width above", segments(3, 2, 2), [[2, 0], [-1, -1], [-1, -1]]),
    ("segments: label above", segments(3, 2, 2), [[1, 2], [-1, -1], [0, 0]]),
    ("segments: a width without label", segments(3, 2, 2), [[1, -1], [-1, -1], [0, 0]]),
    ("segments: width below -1", segments(3, 2, 2), [[1, 0], [-100, -1], [0, 0]]),
    ("segments: a gap", segments(3, 2, 2), [[0, 0], [-1, -1], [0, 0]]),
    ("segments: an overlap", segments(3, 2, 2), [[1, 0], [0, 0], [0, 0]]),
    ("segments: beyond the end", segments(3, 2, 2), [[1, 0], [-1, -1], [1, 0]]),
    ("segments: short of the end", segments(3, 2, 2), [[1, 0], [-1, -1], [-1, -1]]),
    ("segments: none at the start", segments(3, 2, 2), [[-1, -1], [1, 0], [-1, -1]]),
    ("spans: label above", spans(4), spanning(s03=1)),
    ("spans: below -1", spans(4), spanning(s02=-100)),
    ("spans: crossing", spans(4), spanning(s01=-1, s12=0)),
    ("spans: one too few", spans(4), spanning(s01=-1)),
    ("spans: one too many", spans(4), spanning(s02=0)),
    ("spans: no leaf", spans(4), spanning(s11=-1, s02=0)),
    ("spans: no root", spans(4), spanning(s03=-1, s12=0)),
    ("heads: above", heads(4), [-1, 0, 1, 4]),
    ("heads: negative", heads(4), [-1, 0, -1, 1]),
    ("heads: of itself", heads(4), [-1, 0, 2, 1]),
    ("heads: a cycle", heads(4), [-1, 0, 3, 2]),
    ("heads: crossing arcs", heads(5), [-1, 3, 4, 0, 0]),
    ("heads: an arc over the root's", heads(4), [-1, 3, 0, 0]),
    ("heads: two roots", heads(4, single_root=True), [-1, 0, 0, 2]),
    ("bits: above", bits(3), [0, 3, -1]),
    ("bits: below -1", bits(3), [0, -2, -1]),
    ("bits: twice the same", bits(3), [1, 1, -1]),
    ("subset: descending", subset(4, 2), [3, 1]),
    ("subset: one too few", subset(4, 2), [1, -1]),
    ("subset: a gap", subset(4, 2), [-1, 1]),
    ("neighbours: one too few", neighbours(4, 2), [1, -1]),
    ("held: above", held(4, 2), [0, 1, 2, 2]),
    ("held: not from the first", held(4, 2), [1, 1, 1, 1]),
    ("held: not to the last", held(4, 2), [0, 0, 0, 0]),
    ("held: backwards", held(4, 2), [0, 1, 0, 1]),
    ("ctc: above", ctc(4, 3, (1, 1)), [1, 0, 1, 3]),
    ("ctc: no blank between", ctc(4, 3, (1, 1)), [1, 1, 0, 0]),
    ("ctc: another symbol", ctc(4, 3, (1, 1)), [1, 0, 2, 0]),
    ("ctc: one too many", ctc(4, 3, (1,)), [1, 0, 1, 0]),
    ("alignment: kind above", alignment(2, 2), [[2, 0], [0, 1]]),
    ("alignment: kind negative", alignment(2, 2), [[-1, 0], [0, 1]]),
    ("alignment: match beyond the last column", alignment(2, 2), [[1, 0], [0, 2]]),
    ("alignment: delete beyond the last gap", alignment(2, 2), [[1, 0], [1, 3]]),
    ("alignment: column negative", alignment(2, 2), [[1, -1], [0, 1]]),
    ("alignment: backward columns", alignment(2, 2), [[1, 1], [1, 0]]),
    ("alignment: one column twice", alignment(2, 2), [[0, 1], [0, 1]]),
    ("alignment: deleted before its match ends", alignment(2, 2), [[0, 1], [1, 1]]),
]


@pytest.mark.parametrize(("family", "labels"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_labels_are_refused(family: Family, labels: Any):
    """Alone, and beside good ones in a batch, by the codec; `log_prob` gives them no probability."""
    phi, bad = family.draw((2,), seed=0), torch.tensor(labels)
    good = ss.argmax(family.structure, phi, labels=True)
    one = family.draw((), seed=0)
    with pytest.raises(ValueError):
        family.structure.from_labels(bad, one)
    mixed = torch.stack([good[0], bad])
    with pytest.raises(ValueError, match=r"first at index \(1[,)]"):
        family.structure.from_labels(mixed, phi)
    assert ss.log_prob(family.structure, phi, mixed).isfinite().tolist() == [True, False]
    assert ss.contains(family.structure, phi, mixed).tolist() == [True, False]


@pytest.mark.parametrize("family", [family for family in SIDED if family in LABELLED], ids=str)
def test_labels_of_a_wrong_shape_or_kind(family: Family):
    phi = family.draw((2,), seed=0)
    labels = ss.argmax(family.structure, phi, labels=True)
    with pytest.raises(ss.ShapeError, match="shape"):
        family.structure.from_labels(torch.cat([labels, labels], 1), phi)
    with pytest.raises(TypeError, match="integers"):
        family.structure.from_labels(labels.double(), phi)
    with pytest.raises(TypeError, match="integers"):
        family.structure.from_labels(labels >= 0, phi)


def test_lengths_bound_the_labels():
    """A label that fits the padded shape does not fit a shorter instance."""
    phi, one = alignment(2, 3).draw((), 0), torch.tensor(1)
    with pytest.raises(ValueError):
        ss.Alignment().from_labels(torch.tensor([[0, 2], [-1, -1]]), phi, (one, one))
    with pytest.raises(ValueError):
        ss.ProjectiveTree().from_labels(torch.tensor([-1, 2, 0]), torch.zeros(3, 3), one)
    with pytest.raises(ValueError):
        ss.SemiMarkov().from_labels(torch.tensor([[1, 0], [-1, -1], [-1, -1]]), segments(3, 2, 2).draw((), 0), one)


def test_a_structure_without_labels_says_so():
    class Bits(ss.DynamicProgram):
        """Any subset."""

        def inside(self, p, bit):
            chart = p.chart(bit.shape[0] + 1)
            chart[0] = p.one
            for i in range(bit.shape[0]):
                chart[i + 1] = chart[i] + chart[i] * bit[i]
            return chart[p.length]

    phi = torch.zeros(3)
    for ask in (
        lambda: ss.argmax(Bits(), phi, labels=True),
        lambda: ss.sample(Bits(), phi, labels=True),
        lambda: Bits().to_labels(phi),
        lambda: Bits().from_labels(torch.tensor([0, 1, 0]), phi),
        lambda: ss.log_prob(Bits(), phi, torch.tensor([0, 1, 0])),
    ):
        with pytest.raises(ss.UnsupportedQueryError, match="Bits"):
            ask()


@pytest.mark.parametrize(
    "full, shape",
    [((3, 4), (3, 1)), ((3, 4), (1, 4)), ((2, 3, 4), (2, 1, 4)), ((2, 3, 4), (1, 3, 1)), ((2, 3, 2, 3), (2, 1, 1, 3))],
)
def test_entries_of_tied_fields_are_those_of_an_expanded_tensor(full: tuple[int, ...], shape: tuple[int, ...]):
    places = torch.arange(torch.Size(shape).numel()).reshape(shape).expand(full).flatten()
    used = torch.arange(-1, len(places))[None]
    assert torch.equal(stored(used, full, shape)[0, 1:], places)
    assert stored(used, full, shape)[0, 0] == -1
