"""Distributions made inside vmap and torch.compile answer as outside; bad input is refused there too."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import semiring_struct as ss
from tests.structures.families import chain, spans

FAMILY = chain(3, 2)
LENGTHS = torch.tensor([3, 1])
TAGS = torch.tensor([[0, 1, 1], [1, 0, 0]])


def answers(emission, transition, lengths, tags):
    d = ss.LinearChainCRF(ss.ChainPotentials(emission, transition), lengths, validate_args=False)
    return d.log_prob(tags), d.entropy(), d.mean.emission, d.variance.transition


def test_vmap():
    phi = FAMILY.draw((2,), seed=0)
    outside = answers(*phi, LENGTHS, TAGS)
    for a, b in zip(torch.func.vmap(answers)(*phi, LENGTHS, TAGS), outside, strict=True):
        assert_close(a, b)


def test_vmap_of_gradients():
    phi = spans(3).draw((2,), seed=0)
    found = torch.func.vmap(torch.func.grad(lambda x: ss.TreeCRF(x, validate_args=False).entropy()))(phi)
    leaf = phi.clone().requires_grad_()
    assert_close(found, torch.autograd.grad(ss.TreeCRF(leaf).entropy().sum(), leaf)[0])


def test_vmap_refuses_bad_potentials_and_lengths():
    phi = FAMILY.draw((2,), seed=0)
    with pytest.raises(ValueError, match="emission holds NaN"):
        torch.func.vmap(answers)(phi.emission * torch.nan, phi.transition, LENGTHS, TAGS)
    with pytest.raises(ValueError, match="lengths must lie"):
        torch.func.vmap(answers)(*phi, LENGTHS + 1, TAGS)
    assert torch.func.vmap(answers)(*phi, LENGTHS, TAGS + 1)[0].tolist() == [-torch.inf, -torch.inf]


def test_compile():
    phi = FAMILY.draw((2,), seed=0)
    compiled = torch.compile(answers, backend="eager", fullgraph=True)
    for a, b in zip(compiled(*phi, LENGTHS, TAGS), answers(*phi, LENGTHS, TAGS), strict=True):
        assert_close(a, b)
    with pytest.raises((RuntimeError, ValueError), match="NaN"):
        compiled(phi.emission * torch.nan, phi.transition, LENGTHS, TAGS)
