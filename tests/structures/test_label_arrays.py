"""Every array of a small range as labels: which are structures, and of what probability, by enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import (
    LABELLED,
    NATIVE,
    NEG_INF,
    Family,
    accepted_chain,
    affine,
    alignment,
    chain,
    fields_of,
    grammar,
    graph,
    neighbours,
    segments,
)

CODED = LABELLED + NATIVE
ALL = 8000  # arrays tried one and all; of more, those near a structure and some at random
# a family that ties parts, and the same structures where every part has a place of its own
UNTIED = {
    "chain-3-2-tied": chain(3, 2),
    "segments-3-3-2-tied": segments(3, 3, 2),
    "alignment-2-3-tied": alignment(2, 3),
    "accepted-chain-3-tied": accepted_chain(3),
    "neighbours-4-3-tied": neighbours(4, 3),
    "affine-2-3-tied": affine(2, 3),
    "grammar-3-1-2-tied": grammar(3, 1, 2, spans=True),
    "grammar-4-1-1-tied": grammar(4, 1, 1, spans=True),
    "graph-ab,bc,a-tied": graph("ab,bc,a", a=2, b=2, c=3),
}


def rows_of(labels: Tensor) -> Tensor:
    return labels.reshape(len(labels), math.prod(labels.shape[1:]))


def arrays(labels: Tensor, generator: torch.Generator) -> Tensor:
    """`(s, *shape)`: all arrays over the values in `labels (t, *shape)` and some above and below; or a part of them."""
    flat = rows_of(labels)
    values = list(range(-2, int(flat.max() if flat.numel() else 0) + 2))
    slots = flat.shape[1]
    if len(values) ** slots <= ALL:
        every = list(itertools.product(values, repeat=slots))
        return torch.tensor(every, dtype=torch.int64).reshape(len(every), *labels.shape[1:])
    some = flat[torch.randperm(len(flat), generator=generator)[:40]]
    changed = [some]
    for slot, value in itertools.product(range(slots), values):
        one = some.clone()
        one[:, slot] = value
        two = one.clone()
        other = torch.randint(slots, (len(one), 1), generator=generator)
        two.scatter_(1, other, torch.randint(-2, values[-1] + 1, other.shape, generator=generator))
        changed += [one, two]
    random = torch.randint(-2, values[-1] + 1, (500, slots), generator=generator)
    return torch.cat([*changed, random]).reshape(-1, *labels.shape[1:])


def canonical(family: Family, labels: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """With -1 in the slots that are ignored: past a length, the root's head, below the diagonal, where none starts."""
    structure, labels = family.structure, labels.clone()
    if not lengths:
        return labels
    n = lengths[0]
    if isinstance(structure, ss.ProjectiveTree | ss.Arborescence):
        labels[:, 0] = labels[:, n + 1 :] = -1
    elif isinstance(structure, ss.SpanTree | ss.PCFG):
        labels[:, n:] = labels[:, :, n:] = -1
        low = torch.ones(labels.shape[1:], dtype=torch.bool).tril(-1)
        labels[:, low] = -1
    elif isinstance(structure, ss.SpanningTree):
        labels[:, max(n - 1, 0) :] = -1                     # a set of edges, in any order
        order = (labels[..., 0] * 100 + labels[..., 1]).argsort(dim=1, descending=True)
        labels = labels.gather(1, order[..., None].expand_as(labels))
    else:
        labels[:, n:] = -1
    if isinstance(structure, ss.SemiMarkov):
        labels[..., 1] = torch.where(labels[..., 0] == -1, -1, labels[..., 1])
    return labels


def untied(family: Family, phi: Any) -> tuple[Family, Any]:
    """The family with a place for every part, and its potentials."""
    twin = UNTIED.get(family.name, family)
    given = [*fields_of(phi)]
    given += [torch.zeros(shape, dtype=torch.float64) for shape in twin.shapes[len(given) :]]
    return twin, twin.kind(*(f.expand(shape) for f, shape in zip(given, twin.shapes, strict=True)))


def expected(family: Family, phi: Any, lengths: tuple[int, ...]) -> tuple[Tensor, dict[tuple[int, ...], float]]:
    """The labels of all structures, and their log-probabilities by labels."""
    twin, spread = untied(family, phi)
    events = fields_of(twin.events(*lengths))
    scores = torch.zeros(len(events[0]), dtype=torch.float64)
    for event, field in zip(events, fields_of(spread), strict=True):
        scores += (event.double() * field).flatten(1).sum(1)
    labels = twin.structure.to_labels(twin.kind(*events))
    keys = rows_of(canonical(family, labels, lengths)).tolist()
    return labels, dict(zip(map(tuple, keys), scores.log_softmax(0).tolist(), strict=True))


@pytest.mark.parametrize("family", CODED, ids=str)
def test_structures_have_their_probability_and_all_other_arrays_none(family: Family):
    generator = torch.Generator().manual_seed(0)
    phi, tried = family.draw((), seed=3), 0
    for lengths in itertools.product(*(sorted({0, max(size - 1, 0), size}) for size in family.sizes)):
        labels, known = expected(family, phi, lengths)
        tries = arrays(labels if len(labels) else labels.new_full((1, *labels.shape[1:]), 1), generator)
        how = {"lengths": lengths if len(lengths) > 1 else lengths[0]} if lengths else {}
        found = ss.log_prob(family.structure, phi, tries, **how)
        keys = map(tuple, rows_of(canonical(family, tries, lengths)).tolist())
        wanted = torch.tensor([known.get(key, NEG_INF) for key in keys], dtype=torch.float64)
        torch.testing.assert_close(found, wanted)
        inside = ss.contains(family.structure, phi, tries, **how)
        assert inside.dtype == torch.bool and torch.equal(inside, wanted > NEG_INF)
        for row in tries[wanted == NEG_INF][:5]:
            with pytest.raises(ValueError):
                family.structure.from_labels(row, phi, **how)
        tried += len(tries)
    assert tried > 1


def test_sequences_of_a_model_likewise():
    """Every array of three slots, with a symbol that stops."""
    rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = ss.Autoregressive(lambda state, last: (rows[last], state), torch.zeros(1), stop=2)
    tries = torch.tensor(list(itertools.product(range(-2, 4), repeat=3)))
    known = {}
    for n in range(1, 4):
        for string in itertools.product((0, 1, 2), repeat=n):
            if 2 not in string[:-1] and (n == 3 or string[-1] == 2):
                steps = zip((-1, *string[:-1]), string, strict=True)
                known[(*string, *[-1] * (3 - n))] = sum(float(rows[a].log_softmax(0)[b]) for a, b in steps)
    wanted = torch.tensor([known.get(tuple(row), NEG_INF) for row in tries.tolist()], dtype=torch.float64)
    phi = torch.zeros(3, 3, dtype=torch.float64)
    torch.testing.assert_close(ss.log_prob(model, phi, tries), wanted)
    assert torch.equal(ss.contains(model, phi, tries), wanted > NEG_INF)
    assert wanted.exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("family", CODED, ids=str)
def test_one_bad_instance_leaves_the_gradients_of_the_others_alone(family: Family):
    phi = family.draw((2,), seed=0)
    good = ss.argmax(family.structure, phi, labels=True)
    leaves = [f.clone().requires_grad_() for f in fields_of(phi)]
    bad = torch.stack([good[0], torch.full_like(good[1], 77)])
    if not good.numel():
        return                                              # there is one structure, without labels
    loss = ss.losses.nll(family.structure, family.kind(*leaves), bad)
    assert loss.isfinite().tolist() == [True, False] and loss[1] == torch.inf
    slopes = torch.autograd.grad(loss.sum(), leaves)
    alone = [f.clone().requires_grad_() for f in fields_of(phi)]
    wanted = torch.autograd.grad(ss.losses.nll(family.structure, family.kind(*alone), good)[0], alone)
    for slope, want in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(slope, want)
        assert not slope[1].any()
