"""Randomness: one generator state gives one result, the global generator is left alone, gradients never vary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import FAMILIES, Family, chain, spans
from tests.structures.test_contract import fields

every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)


def drawn(family: Family, phi: Any, generator: torch.Generator | None) -> dict[str, tuple[Tensor, ...]]:
    """Everything random that a structure offers."""
    structure, how = family.structure, {"generator": generator}
    distinct = ss.sample_without_replacement(structure, phi, 3, **how)
    out = {
        "sample": fields(ss.sample(structure, phi, (7,), **how)),
        "sample_without_replacement": (*fields(distinct.events), distinct.log_probs, distinct.perturbed),
    }
    for semiring in (ss.SampleSemiring(generator), ss.GumbelSoftmaxSemiring(0.7, generator=generator)):
        leaves = [field.clone().requires_grad_() for field in fields(phi)]
        total = ss.evaluate(structure, semiring, family.kind(*leaves))
        out[type(semiring).__name__] = torch.autograd.grad(total.sum(), leaves)
    return out


@every_family
def test_one_state_one_result_and_the_global_generator_stays(family: Family):
    phi = family.draw((16,), seed=0)
    before = torch.random.get_rng_state()
    generator = torch.Generator().manual_seed(3)
    first, later = drawn(family, phi, generator), drawn(family, phi, generator)
    again = drawn(family, phi, generator.manual_seed(3))
    assert torch.equal(before, torch.random.get_rng_state())
    for name, tensors in first.items():
        assert all(torch.equal(a, b) for a, b in zip(tensors, again[name], strict=True)), name
    if float(ss.count(family.structure, phi).min()) > 12:      # else two draws may well agree
        for name, tensors in first.items():
            assert not all(torch.equal(a, b) for a, b in zip(tensors, later[name], strict=True)), name


def test_without_a_generator_the_global_state_decides():
    family = spans(5)
    phi = family.draw((4,), seed=1)
    results = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        results.append(drawn(family, phi, None))
    for name, tensors in results[0].items():
        assert all(torch.equal(a, b) for a, b in zip(tensors, results[1][name], strict=True)), name
        assert not all(torch.equal(a, b) for a, b in zip(tensors, results[2][name], strict=True)), name


@every_family
def test_queries_without_noise_never_touch_a_generator_and_repeat_bit_for_bit(family: Family):
    phi = family.draw((4,), seed=2)
    leaves = [field.requires_grad_() for field in fields(phi)]
    before = torch.random.get_rng_state()

    def run() -> list[Tensor]:
        again = family.kind(*leaves)
        marginals = fields(ss.marginals(family.structure, again))
        entropy = ss.entropy(family.structure, again)
        second = torch.autograd.grad(sum(((m * m).sum() for m in marginals), entropy.sum()), leaves)
        best = ss.topk(family.structure, again, 3)
        return [*marginals, entropy, *second, best.scores, *fields(best.events)]

    for one, other in zip(run(), run(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


NOISY: list[Callable[[torch.Generator], ss.Semiring]] = [
    ss.SampleSemiring,
    lambda generator: ss.GumbelSoftmaxSemiring(0.5, generator=generator),
    lambda generator: ss.GumbelSoftmaxSemiring(0.5, True, generator),
]


@pytest.mark.parametrize("semiring", NOISY, ids=["sample", "gumbel", "gumbel-hard"])
def test_a_second_backward_uses_the_same_noise(semiring: Callable[[torch.Generator], ss.Semiring]):
    phi = spans(6).draw((3,), seed=3).requires_grad_()
    total = ss.evaluate(ss.SpanTree(), semiring(torch.Generator().manual_seed(0)), phi)
    first, second = (torch.autograd.grad(total.sum(), phi, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_more_samples_begin_with_fewer():
    """Sample shapes of one size are one draw, laid out differently."""
    phi = chain(4, 3).draw((2,), seed=4)
    long, square = (
        ss.sample(ss.LinearChain(), phi, shape, generator=torch.Generator().manual_seed(1), labels=True)
        for shape in ((6,), (2, 3))
    )
    assert torch.equal(long.reshape(2, 3, 2, 4), square)
