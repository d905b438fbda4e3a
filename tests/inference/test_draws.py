"""Draws and labels: generators, sample shapes, integer labels in and out."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct.testing.statistics import check_sampler
from tests.enumerations.span_tree import span_events
from tests.structures.families import chain, spans


def test_without_a_generator_the_global_seed_decides():
    phi = spans(4).draw((3,), seed=0)
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(ss.sample(ss.SpanTree(), phi, (4,)))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
def test_sample_shapes(shape: tuple[int, ...]):
    phi = chain(4, 3).draw((2, 5), seed=0)
    event = ss.sample(ss.LinearChain(), phi, shape)
    assert event.emission.shape == (*shape, 2, 5, 4, 3)
    assert ss.sample(ss.LinearChain(), phi, shape, labels=True).shape == (*shape, 2, 5, 4)


@pytest.mark.statistical
def test_one_call_with_many_samples_follows_the_law_for_each_instance():
    phi = spans(4).draw((3,), seed=1, scale=2.0)
    events = span_events(4).flatten(1)
    scores = phi.flatten(1) @ events.T
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> torch.Tensor:
        drawn = ss.sample(ss.SpanTree(), phi, (count,), generator=generator).flatten(2)
        return (drawn.unsqueeze(-2) == events).all(-1).int().argmax(-1)

    check_sampler(draw, scores.softmax(1).T, draws=20_000)


@pytest.mark.statistical
def test_neighbouring_draws_are_independent():
    phi = chain(2, 2).draw((), seed=2)
    generator = torch.Generator().manual_seed(2)

    def draw(count: int) -> torch.Tensor:
        tags = ss.sample(ss.LinearChain(), phi, (2 * count,), generator=generator, labels=True)
        cells = tags[:, 0] * 2 + tags[:, 1]
        return cells[0::2] * 4 + cells[1::2]

    tags = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    scores = phi.emission[0][tags[:, 0]] + phi.emission[1][tags[:, 1]] + phi.transition[0][tags[:, 0], tags[:, 1]]
    p = scores.softmax(0)
    check_sampler(draw, (p.unsqueeze(1) * p).flatten(), draws=20_000)
