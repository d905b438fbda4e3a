"""Divergences and cross-entropies between two distributions, and when there is none."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

import semiring_struct as ss
from tests.distributions.truth import Truth, fields, of
from tests.structures.families import FAMILIES, SIDED, Family, chain, heads, spans


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("batches", [((2,), (2,)), ((2, 1), (3,)), ((), (2,))], ids=str)
def test_against_enumeration(family: Family, batches):
    p, q = (of(family, batch, seed) for seed, batch in enumerate(batches))
    log_p, log_q = (Truth(family, d.log_potentials).log_probs for d in (p, q))
    lead = [x.reshape(len(x), *[1] * (max(map(len, batches)) - x.dim() + 1), *x.shape[1:]) for x in (log_p, log_q)]
    cross = -(lead[0].exp() * lead[1]).sum(0)
    divergence = (lead[0].exp() * (lead[0] - lead[1])).sum(0)
    assert_close(kl_divergence(p, q), divergence)
    assert_close(p.kl(q), divergence)
    assert_close(p.cross_entropy(q), cross)
    assert_close(kl_divergence(p, p), torch.zeros(batches[0], dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", SIDED, ids=str)
def test_lengths(family: Family):
    lengths = family.lengths(4, seed=5)
    p, q = (ss.StructDistribution(family.structure, family.draw((4,), seed), lengths) for seed in range(2))
    found = kl_divergence(p, q)
    for i in range(4):
        bounds = [int(x[i]) for x in (lengths if isinstance(lengths, tuple) else (lengths,))]
        one, two = (
            Truth(family, family.kind(*(f[i] for f in fields(d.log_potentials))), *bounds).log_probs for d in (p, q)
        )
        assert_close(found[i], (one.exp() * (one - two)).sum(0))


def test_subclasses_of_the_same_structure():
    states = torch.randn(2), torch.randn(2, 2), torch.randn(2, 3)
    hidden = ss.HMM(*states, torch.tensor([0, 2, 1, 1]))
    potentials = ss.ChainPotentials(torch.randn(4, 2), torch.randn(1, 2, 2))
    crf = ss.LinearChainCRF(potentials)
    assert_close(kl_divergence(hidden, crf), ss.kl(ss.LinearChain(), hidden.log_potentials, potentials))


def test_full_lengths_are_no_lengths():
    family = chain(3, 2)
    p = ss.LinearChainCRF(family.draw((2,), 0))
    q = ss.LinearChainCRF(family.draw((2,), 1), torch.tensor([3, 3]))
    assert_close(kl_divergence(p, q), ss.kl(ss.LinearChain(), p.log_potentials, q.log_potentials))


def test_different_structures():
    square = torch.randn(4, 4)
    tree, heads_, single = ss.TreeCRF(square), ss.ProjectiveDependencyCRF(square), ss.ProjectiveDependencyCRF(
        square, single_root=True
    )
    for p, q in ((tree, heads_), (heads_, tree), (heads_, single), (tree, Normal(0.0, 1.0)), (Normal(0.0, 1.0), tree)):
        with pytest.raises(NotImplementedError):
            kl_divergence(p, q)
    with pytest.raises(NotImplementedError, match="single_root=True"):
        heads_.cross_entropy(single)


def test_different_lengths_and_shapes():
    family = spans(3)
    phi = family.draw((2,), 0)
    p, q = ss.TreeCRF(phi, torch.tensor([3, 2])), ss.TreeCRF(phi, torch.tensor([3, 3]))
    for other in (q, ss.TreeCRF(phi)):
        with pytest.raises(ValueError, match="same lengths"):
            kl_divergence(p, other)
    with pytest.raises(ss.ShapeError, match="same shape"):
        kl_divergence(ss.TreeCRF(phi), ss.TreeCRF(spans(4).draw((2,), 0)))
    with pytest.raises(ss.ShapeError, match="broadcast"):
        kl_divergence(ss.TreeCRF(phi), ss.TreeCRF(family.draw((3,), 0)))


def test_a_part_that_only_one_allows():
    phi = heads(3).draw((), 0)
    narrow = phi.clone()
    narrow[0, 1] = -torch.inf
    p, q = ss.ProjectiveDependencyCRF(phi), ss.ProjectiveDependencyCRF(narrow)
    assert float(kl_divergence(p, q)) == torch.inf
    assert 0 < float(kl_divergence(q, p)) < torch.inf


def test_gradient():
    family = chain(3, 2, tied=True)
    one, two = family.draw((2,), 0), family.draw((2,), 1)

    def divergence(*parts: torch.Tensor) -> torch.Tensor:
        p, q = ss.ChainPotentials(*parts[:2]), ss.ChainPotentials(*parts[2:])
        return kl_divergence(ss.LinearChainCRF(p), ss.LinearChainCRF(q))

    assert torch.autograd.gradcheck(divergence, [f.clone().requires_grad_() for f in (*one, *two)])
