"""What lies past an instance's length may be NaN or +inf: no query, value or gradient of any order depends on it.

The truth is the same call with zeros there. A NaN that a structure of the instance's length can use is named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import (
    NATIVE,
    SIDED,
    Family,
    accepted_chain,
    affine,
    alignment,
    arborescence,
    chain,
    ctc,
    grammar,
    heads,
    held,
    low_rank_grammar,
    matching,
    segments,
    spanning,
    spans,
    subset,
)
from tests.structures.test_contract import fields

NAN, INF = float("nan"), float("inf")
EVERY = [*SIDED, *NATIVE]
every_family = pytest.mark.parametrize("family", EVERY, ids=str)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def lengths_of(family: Family) -> tuple[tuple[int, ...], ...]:
    """Up to six lengths that have structures, one per side, the shortest and the full ones among them."""
    every = list(itertools.product(*(range(size + 1) for size in family.sizes)))
    every = [n for n in every if len(fields(family.events(*n))[0])]
    return tuple(every[i] for i in torch.linspace(0, len(every) - 1, min(len(every), 6)).round().int().tolist())


@cache
def past_lengths(family: Family) -> tuple[Tensor, ...]:
    """Per field, the parts that no structure of the instance's length uses, where it is shorter than the fields."""
    every = lengths_of(family)
    used = [torch.stack(each) for each in zip(*(
        [f.sum(0) > 0 for f in fields(family.events(*n))] for n in every), strict=True)]  # fmt: skip
    short = torch.tensor([n != family.sizes for n in every])
    return tuple(~u & short.reshape(-1, *[1] * (u.dim() - 1)) for u in used)


@cache
def padded(family: Family) -> tuple[Any, Any, Any]:
    """Potentials with zeros past the lengths, the same with NaN and +inf by turns there, and the lengths."""
    every = lengths_of(family)
    clean, past = fields(family.draw((len(every),), seed=0)), past_lengths(family)
    turns = [torch.where(torch.arange(f.numel()).reshape(f.shape) % 2 == 0, NAN, INF).to(f.dtype) for f in clean]
    zeros = family.kind(*(torch.where(p, 0.0, f) for p, f in zip(past, clean, strict=True)))
    wrong = family.kind(*(torch.where(p, w, f) for p, w, f in zip(past, turns, clean, strict=True)))
    sides = tuple(torch.tensor(side) for side in zip(*every, strict=True))
    return zeros, wrong, sides if len(sides) > 1 else sides[0]


def same(one: Any, other: Any) -> None:
    for a, b in zip(fields(one), fields(other), strict=True):
        assert not a.isnan().any()
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


SUMS = {
    "log_partition": ss.log_partition,
    "max_score": ss.max_score,
    "marginals": ss.marginals,
    "entropy": ss.entropy,
    "renyi_entropy": lambda s, phi, lengths: ss.renyi_entropy(s, phi, 2.0, lengths),
    "renyi_entropy 0": lambda s, phi, lengths: ss.renyi_entropy(s, phi, 0.0, lengths),
    "kl": lambda s, phi, lengths: ss.kl(s, phi, phi, lengths),
    "cross_entropy": lambda s, phi, lengths: ss.cross_entropy(s, phi, phi, lengths),
    "expectation": lambda s, phi, lengths: ss.expectation(s, phi, phi, lengths),
    "risk": lambda s, phi, lengths: ss.losses.risk(s, phi, phi, lengths),
}
FOUND: dict[str, Callable[..., Any]] = {
    "argmax": lambda s, phi, lengths: ss.argmax(s, phi, lengths=lengths),
    "topk": lambda s, phi, lengths: ss.topk(s, phi, 3, lengths).events,
    "topk scores": lambda s, phi, lengths: ss.topk(s, phi, 3, lengths).scores,
    "sample": lambda s, phi, lengths: ss.sample(s, phi, (3,), generator=generator(), lengths=lengths),
    "sample_without_replacement": lambda s, phi, lengths: ss.sample_without_replacement(
        s, phi, 2, generator=generator(), lengths=lengths
    ).events,
    "count": ss.count,
    "enumerate_events": lambda s, phi, lengths: ss.enumerate_events(s, phi, lengths=lengths),
    "variance": lambda s, phi, lengths: ss.variance(s, phi, phi, lengths),
    "covariance_vp": lambda s, phi, lengths: ss.covariance_vp(s, phi, phi, lengths),
    "log_prob": lambda s, phi, lengths: ss.log_prob(s, phi, ss.argmax(s, phi, lengths=lengths), lengths),
    "contains": lambda s, phi, lengths: ss.contains(s, phi, ss.argmax(s, phi, lengths=lengths), lengths),
    "sparsemap": lambda s, phi, lengths: ss.relaxations.sparsemap(s, phi, lengths).mean,
    "topk_sparsemax": lambda s, phi, lengths: ss.relaxations.topk_sparsemax(s, phi, 3, lengths).weights,
    "perturbed": lambda s, phi, lengths: ss.relaxations.perturbed(
        s, phi, ss.relaxations.Gumbel(), 2, lengths, generator=generator()
    ),
    "perturbed_loss": lambda s, phi, lengths: ss.relaxations.perturbed_loss(
        s, phi, ss.argmax(s, phi, lengths=lengths), samples=2, lengths=lengths, generator=generator()
    ),
    "gumbel_softmax": lambda s, phi, lengths: ss.relaxations.gumbel_softmax(
        s, phi, 1.0, lengths, generator=generator()
    ),
    "stochastic_softmax": lambda s, phi, lengths: ss.relaxations.stochastic_softmax(
        s, phi, ss.relaxations.NegativeExponential(), ss.relaxations.ExponentialFamily(), generator=generator(),
        lengths=lengths,
    ),
    "hinge": lambda s, phi, lengths: ss.losses.hinge(s, phi, ss.argmax(s, phi, lengths=lengths), lengths=lengths),
    "hinge with costs": lambda s, phi, lengths: ss.losses.hinge(
        s, phi, ss.argmax(s, phi, lengths=lengths), phi, lengths
    ),
    "perceptron": lambda s, phi, lengths: ss.losses.perceptron(s, phi, ss.argmax(s, phi, lengths=lengths), lengths),
    "fenchel_young": lambda s, phi, lengths: ss.losses.fenchel_young(ss.losses.EuclideanMaximum())(
        s, phi, ss.argmax(s, phi, lengths=lengths), lengths
    ),
    "imle": lambda s, phi, lengths: ss.surrogates.imle(s, phi, lengths=lengths, generator=generator()),
    "blackbox": lambda s, phi, lengths: ss.surrogates.blackbox(s, phi, lengths=lengths),
    "spigot": lambda s, phi, lengths: ss.surrogates.spigot(s, phi, lengths=lengths),
    "spigot_ce": lambda s, phi, lengths: ss.surrogates.spigot_ce(s, phi, lengths=lengths),
    "straight_through": lambda s, phi, lengths: ss.surrogates.straight_through(s, phi, lengths=lengths),
    "marginals_straight_through": lambda s, phi, lengths: ss.surrogates.marginals_straight_through(s, phi, lengths),
    "distribution": lambda s, phi, lengths: ss.StructDistribution(s, phi, lengths).entropy(),
    "distribution log_prob": lambda s, phi, lengths: (
        d := ss.StructDistribution(s, phi, lengths)).log_prob(d.mode),
}  # fmt: skip
SMOOTH = ("sparsemap", "topk_sparsemax", "perturbed", "perturbed_loss", "gumbel_softmax", "stochastic_softmax", "hinge",
          "hinge with costs", "perceptron", "fenchel_young", "imle", "blackbox", "spigot", "spigot_ce",
          "straight_through", "marginals_straight_through", "distribution", "log_prob")  # fmt: skip


def weighted(answer: Any) -> Tensor:
    parts = [f * (1 + torch.arange(f.numel()).reshape(f.shape) % 7) for f in fields(answer)]
    return sum(p[p.detach().abs() < INF].sum() for p in parts)  # type: ignore[return-value]


def leaves(family: Family, phi: Any) -> Any:
    return family.kind(*(f.detach().clone().requires_grad_() for f in fields(phi)))


@pytest.mark.parametrize("query", SUMS.values(), ids=SUMS.keys())
@every_family
def test_sums_and_their_gradients_of_first_and_second_order(family: Family, query: Any):
    clean, dirty, lengths = padded(family)
    answers = []
    for phi in (clean, dirty):
        given = leaves(family, phi)
        value = query(family.structure, given, lengths)
        first = torch.autograd.grad(weighted(value), fields(given), create_graph=True)
        assert all((g[p] == 0).all() for g, p in zip(first, past_lengths(family), strict=True))
        out = [*fields(value), *first]
        if query in (ss.log_partition, ss.max_score, SUMS["renyi_entropy"]):  # of the others it is the third of log Z
            rest = [f for f in first if f.requires_grad]
            second = torch.autograd.grad(weighted(tuple(rest)), fields(given), materialize_grads=True) if rest else ()
            assert all((g[p] == 0).all() for g, p in zip(second, past_lengths(family), strict=False))
            out += second
        answers.append(tuple(x.detach() for x in out))
    same(answers[1], answers[0])


SOME = (
    chain(3, 2), chain(3, 2, tied=True), segments(3, 2, 2), spans(4), heads(4, single_root=True), alignment(2, 2),
    subset(4, 2), held(4, 2), affine(3, 2, local=True), accepted_chain(3), ctc(4, 3, (1, 1)),
    grammar(3, 2, 1, spans=True), low_rank_grammar(3, 1, 1, 2), matching(3), arborescence(4), spanning(4),
)  # fmt: skip


@pytest.mark.parametrize(("name", "query"), FOUND.items(), ids=FOUND.keys())
@pytest.mark.parametrize("family", SOME, ids=str)
def test_what_is_found(family: Family, name: str, query: Any):
    clean, dirty, lengths = padded(family)
    answers = []
    for phi in (clean, dirty):
        given = leaves(family, phi)
        value = query(family.structure, given, lengths)
        out = [*fields(value)]
        if name in SMOOTH:
            slopes = torch.autograd.grad(weighted(value), fields(given), materialize_grads=True, allow_unused=True)
            if name in ("perturbed", "straight_through"):  # there a part that is never used has a gradient of mean 0
                slopes = [torch.where(p, 0.0, g) for p, g in zip(past_lengths(family), slopes, strict=True)]
            out += slopes
        answers.append(tuple(x.detach() for x in out))
    same(answers[1], answers[0])


@every_family
def test_labels(family: Family):
    clean, dirty, lengths = padded(family)
    structure = family.structure
    if isinstance(structure, ss.DTW | ss.LowRankPCFG):
        return
    for query in (lambda phi: ss.argmax(structure, phi, labels=True, lengths=lengths),
                  lambda phi: ss.topk(structure, phi, 2, lengths, labels=True).events,
                  lambda phi: ss.sample(structure, phi, (2,), labels=True, lengths=lengths, generator=generator()),
                  lambda phi: ss.log_prob(structure, phi, ss.argmax(structure, clean, True, lengths), lengths),
                  lambda phi: ss.losses.nll(structure, phi, ss.argmax(structure, clean, True, lengths), lengths),
                  ):  # fmt: skip
        same(query(dirty), query(clean))


SEMIRINGS = (
    ss.MaxSemiring(), ss.SparsemaxSemiring(), ss.KBestSemiring(2), ss.EntropySemiring(), ss.BooleanSemiring(),
    ss.RealSemiring(),
)  # fmt: skip


@pytest.mark.parametrize("semiring", SEMIRINGS, ids=str)
@pytest.mark.parametrize("family", [chain(4, 3), alignment(2, 3), ctc(4, 3, (1, 1)), spans(4)], ids=str)
def test_any_semiring(family: Family, semiring: Any):
    clean, dirty, lengths = padded(family)
    same(*(ss.evaluate(family.structure, semiring, phi, lengths) for phi in (dirty, clean)))


def test_transforms():
    family = chain(4, 3)
    clean, dirty, lengths = padded(family)

    def twice(function: Any) -> Any:
        return torch.func.grad(lambda x: torch.func.grad(function)(x)[0].sum())

    for transform in (torch.func.grad, torch.func.jacrev, twice):
        ask = transform(lambda phi: ss.log_partition(family.structure, phi, lengths).square().sum())
        same(ask(dirty), ask(clean))
    each = torch.func.vmap(lambda e, t, n: ss.log_partition(family.structure, ss.ChainPotentials(e, t), n))
    same(each(*dirty, lengths), each(*clean, lengths))


def test_soft_dtw_of_series_padded_with_nan():
    cost = torch.rand(3, 5, 4, dtype=torch.float64)
    lengths = torch.tensor([4, 2, 1]), torch.tensor([3, 4, 1])
    real = (torch.arange(5) < lengths[0][:, None])[:, :, None] & (torch.arange(4) < lengths[1][:, None])[:, None]
    for fill in (NAN, INF, -INF):
        for gamma in (1.0, 0.0):
            given = torch.where(real, cost, fill).requires_grad_()
            value = ss.soft_dtw(given, gamma, lengths)
            alone = torch.stack([ss.soft_dtw(c[:n, :m], gamma) for c, n, m in zip(cost, *lengths, strict=True)])
            torch.testing.assert_close(value, alone)
            (slope,) = torch.autograd.grad(value.sum(), given)
            assert (slope[~real] == 0).all() and slope.isfinite().all()


def test_sinkhorn():
    scores, lengths = torch.randn(2, 4, 4), torch.tensor([4, 2])
    real = (torch.arange(4) < lengths[:, None])[:, :, None] & (torch.arange(4) < lengths[:, None])[:, None]
    given = torch.where(real, scores, NAN).requires_grad_()
    mean = ss.relaxations.sinkhorn(given, lengths=lengths).mean
    torch.testing.assert_close(mean, ss.relaxations.sinkhorn(scores, lengths=lengths).mean)
    (slope,) = torch.autograd.grad(mean.square().sum(), given)
    assert (slope[~real] == 0).all() and slope.isfinite().all()
    given = given.detach().clone()
    given[1, 0, 1] = INF
    with pytest.raises(ValueError, match=r"NaN.*\(1, 0, 1\)"):
        ss.relaxations.sinkhorn(given, lengths=lengths)


def test_values_past_lengths_and_at_parts_that_are_used():
    family = chain(4, 3)
    phi, dirty, lengths = padded(family)
    for query in (ss.variance, ss.covariance_vp):
        same(query(family.structure, phi, dirty, lengths), query(family.structure, phi, phi, lengths))
        values = family.kind(*(f.clone() for f in phi))
        values.transition[3, 0, 0, 0] = NAN
        with pytest.raises(ValueError, match="transition of the vector or values holds NaN"):
            query(family.structure, phi, values, lengths)


def test_autoregressive_log_potentials_past_lengths():
    table = torch.randn(4, 3)
    model = ss.Autoregressive(lambda state, last: (table[last + 1], state))
    phi, lengths = torch.randn(3, 5, 3), torch.tensor([5, 3, 1])
    dirty = torch.where((torch.arange(5) < lengths[:, None])[..., None], phi, NAN)
    for query in (lambda phi: ss.greedy(model, phi, True, lengths),
                  lambda phi: ss.beam_search(model, phi, 3, True, lengths).events,
                  lambda phi: ss.sample(model, phi, (4,), labels=True, lengths=lengths, generator=generator()),
                  lambda phi: ss.sample_without_replacement(
                      model, phi, 2, lengths=lengths, generator=generator()).events,
                  lambda phi: ss.log_prob(model, phi, ss.greedy(model, phi, True, lengths), lengths),
                  lambda phi: ss.log_prob(model, phi, ss.greedy(model, phi, False, lengths), lengths),
                  ):  # fmt: skip
        same(query(dirty), query(torch.where(dirty.isnan(), 0.0, dirty)))
    dirty[1, 2, 1] = INF
    with pytest.raises(ValueError, match=r"symbol holds NaN or \+inf, first at entry \(2, 1\) of instance \(1,\)"):
        ss.greedy(model, dirty, lengths=lengths)


def test_draws_are_those_of_the_same_generator():
    """The run that met NaN has taken no noise that the second one would miss."""
    family = chain(4, 3)
    clean, dirty, lengths = padded(family)
    draws = []
    for phi in (clean, dirty):
        torch.manual_seed(7)
        draws.append((ss.sample(family.structure, phi, (5,), lengths=lengths), torch.rand(1)))
    assert torch.equal(draws[0][0].emission, draws[1][0].emission) and torch.equal(draws[0][1], draws[1][1])
