"""Each query as a method gives what the function of its name gives."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from tests.distributions.truth import fields
from tests.structures.families import FAMILIES, LABELLED, Family


def same(ours, theirs) -> bool:
    if isinstance(ours, tuple):
        return type(ours) is type(theirs) and all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    return torch.equal(ours, theirs)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("with_lengths", [False, True])
def test_every_method(family: Family, with_lengths: bool):
    s, phi, psi = family.structure, family.draw((3,), seed=0), family.draw((3,), seed=1)
    given = family.lengths(3, seed=0, feasible=True) if with_lengths else None
    d, other = ss.StructDistribution(s, phi, given), ss.StructDistribution(s, psi, given)
    event = d.sample((2,))
    pairs = {
        "log_partition": (d.log_partition(), ss.log_partition(s, phi, given)),
        "marginals": (d.marginals(), ss.marginals(s, phi, given)),
        "mean": (d.mean, ss.marginals(s, phi, given)),
        "mode": (d.mode, ss.argmax(s, phi, lengths=given)),
        "argmax": (d.argmax(), ss.argmax(s, phi, lengths=given)),
        "max_score": (d.max_score(), ss.max_score(s, phi, given)),
        "topk": (d.topk(3), ss.topk(s, phi, 3, given)),
        "entropy": (d.entropy(), ss.entropy(s, phi, given)),
        "cross_entropy": (d.cross_entropy(other), ss.cross_entropy(s, phi, psi, given)),
        "kl": (d.kl(other), ss.kl(s, phi, psi, given)),
        "renyi_entropy": (d.renyi_entropy(2.0), ss.renyi_entropy(s, phi, 2.0, given)),
        "expectation": (d.expectation(psi), ss.expectation(s, phi, psi, given)),
        "variance_of": (d.variance_of(psi), ss.variance(s, phi, psi, given)),
        "covariance_vp": (d.covariance_vp(psi), ss.covariance_vp(s, phi, psi, given)),
        "count": (d.count(), ss.count(s, phi, given)),
        "enumerate_events": (d.enumerate_events(), ss.enumerate_events(s, phi, lengths=given)),
        "score": (d.score(event), ss.score(s, phi, event)),
        "contains": (d.contains(event), ss.contains(s, phi, event, given)),
        "log_prob": (d.log_prob(event), ss.log_prob(s, phi, event, given)),
        "evaluate": (d.evaluate(ss.MaxSemiring()), ss.evaluate(s, ss.MaxSemiring(), phi, given)),
    }
    if family in LABELLED:
        pairs["labels"] = (d.argmax(labels=True), ss.argmax(s, phi, labels=True, lengths=given))
    assert [name for name, (ours, theirs) in pairs.items() if not same(ours, theirs)] == []
    assert str(d.explain("marginals")) == str(ss.explain(s, phi, "marginals", given))
    assert str(d.explain(ss.topk)) == str(ss.explain(s, phi, ss.topk, given))
    assert str(d.program()) == str(ss.program(s, phi, given))


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_draws_with_a_generator(family: Family):
    s, phi = family.structure, family.draw((3,), seed=0)
    d = ss.StructDistribution(s, phi)

    def seeded() -> torch.Generator:
        return torch.Generator().manual_seed(1)

    assert same(d.sample((4,), generator=seeded()), ss.sample(s, phi, (4,), generator=seeded()))
    if family in LABELLED:
        drawn = ss.sample(s, phi, (4,), generator=seeded(), labels=True)
        assert same(d.sample((4,), generator=seeded(), labels=True), drawn)
    assert same(
        d.sample_without_replacement(2, generator=seeded()),
        ss.sample_without_replacement(s, phi, 2, generator=seeded()),
    )


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_low_precision(family: Family, kind: torch.dtype):
    """Potentials stay in their type; answers are those of float32."""
    phi = family.kind(*(f.to(kind) for f in fields(family.draw((2,), seed=0))))
    d = ss.StructDistribution(family.structure, phi)
    wide = ss.StructDistribution(family.structure, family.kind(*(f.float() for f in fields(phi))))
    assert all(f.dtype == kind for f in fields(d.log_potentials))
    x = d.sample((3,))
    for mine, theirs in (
        (d.entropy(), wide.entropy()), (d.log_prob(x), wide.log_prob(x)), (d.mean, wide.mean),
        (d.variance, wide.variance), (d.mode, wide.mode), (d.kl(wide), wide.kl(wide)),
        (d.enumerate_support(), wide.enumerate_support()),
    ):  # fmt: skip
        assert same(mine, theirs)
        assert all(f.dtype == torch.float32 for f in fields(mine))
    assert all(bool((f >= 0).all()) for f in fields(d.variance))
