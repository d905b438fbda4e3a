"""Padding costs nothing: an instance among longer ones has, bit for bit, the answers that it has alone.

Sums over all parts (entropy, counts of tied parts) run over longer tensors, so those agree to the last few bits only.
"""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from tests.structures.families import Family, alignment, chain, heads, segments, spans
from tests.structures.test_contract import fields

FAMILIES = (
    chain(9, 5),
    chain(9, 5, tied=True),
    segments(7, 3, 4),
    segments(7, 3, 4, tied=True),
    spans(8),
    spans(6, 3),
    heads(7),
    heads(7, single_root=True),
    alignment(5, 6),
    alignment(5, 6, (5, 6), (1, 1), (1, 1)),
)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)


def cut(family: Family, phi: object, lengths: tuple[int, ...]) -> object:
    """Potentials of one instance without its padding: every dim that grows with a length is cut by the same amount."""
    small = resized(family, lengths)
    kept = []
    for field, shape in zip(fields(phi), small.shapes, strict=True):
        lead = field.dim() - len(shape)
        kept.append(field[(..., *(slice(size) for size in shape))] if lead else field[tuple(slice(s) for s in shape)])
    return family.kind(*kept)


def resized(family: Family, lengths: tuple[int, ...]) -> Family:
    """The same family at other lengths."""
    match family.structure:
        case ss.LinearChain():
            return chain(lengths[0], 5, tied="tied" in family.name)
        case ss.SemiMarkov():
            return segments(lengths[0], 3, 4, tied="tied" in family.name)
        case ss.SpanTree():
            return spans(lengths[0], 3 if "plain" not in family.name else None)
        case ss.ProjectiveTree():
            return heads(lengths[0] + 1, single_root="single" in family.name)
    n, m = lengths
    tied = ((n, m), (1, 1), (1, 1)) if "tied" in family.name else ()
    return alignment(n, m, *tied)


def lengths_of(family: Family) -> list[tuple[int, ...]]:
    if len(family.sizes) == 2:
        return [(1, 1), (2, 5), (4, 3), (5, 6), (1, 6), (5, 2)]
    return [(n,) for n in range(1, family.sizes[0] + 1)]


@every_family
def test_padded_equals_alone_bit_for_bit(family: Family):
    every = lengths_of(family)
    phi = family.draw((len(every),), seed=0, forbidden=0.05)
    columns = tuple(torch.tensor(column) for column in zip(*every, strict=True))
    how = columns if len(columns) > 1 else columns[0]
    numbers = (ss.log_partition, ss.max_score, ss.count)
    padded = [query(family.structure, phi, lengths=how) for query in numbers]
    marginals = ss.marginals(family.structure, phi, lengths=how)
    entropy = ss.entropy(family.structure, phi, lengths=how)
    for b, lengths in enumerate(every):
        alone = cut(family, family.kind(*(field[b] for field in fields(phi))), lengths)
        for query, answers in zip(numbers, padded, strict=True):
            assert torch.equal(query(family.structure, alone), answers[b]), (query.__name__, lengths)
        torch.testing.assert_close(ss.entropy(family.structure, alone), entropy[b], rtol=1e-13, atol=1e-13)
        of_one = fields(ss.marginals(family.structure, alone))
        inside = fields(cut(family, family.kind(*(field[b] for field in fields(marginals))), lengths))
        for one, other, whole in zip(of_one, inside, fields(marginals), strict=True):
            if "tied" in family.name:  # counts are sums over more or fewer positions
                torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)
            else:
                assert torch.equal(one, other), ("marginals", lengths)
            assert whole[b].count_nonzero() == other.count_nonzero(), "parts past the length have marginals"


@every_family
def test_the_order_and_size_of_the_batch_do_not_matter(family: Family):
    phi = family.draw((5,), seed=1, forbidden=0.05)
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = family.kind(*(field[order] for field in fields(phi)))
    single = family.kind(*(field[2:3] for field in fields(phi)))
    for query in (ss.log_partition, ss.max_score, ss.entropy):
        answers = query(family.structure, phi)
        assert torch.equal(query(family.structure, shuffled), answers[order])
        assert torch.equal(query(family.structure, single), answers[2:3])
    whole = fields(ss.marginals(family.structure, phi))
    for one, other in zip(fields(ss.marginals(family.structure, shuffled)), whole, strict=True):
        assert torch.equal(one, other[order])
