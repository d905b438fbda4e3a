"""Programs that nobody wrote: every machine's path against the generic run and against the program multiplied out."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import semiring_struct as ss
from semiring_struct.testing import check_program
from semiring_struct.testing._parts import Parts
from semiring_struct.testing._truth import NEG_INF, Truth
from tests.enumerations.by_expansion import expanded
from tests.enumerations.span_tree import span_events
from tests.programs.random_programs import Pair, Triangle, potentials, programs
from tests.programs.unshipped import Choose, Nussinov, Words, choices, pairings, word_events

MOST = 600


def compare(structure: Any, phi: Pair, length: int) -> None:
    """log Z, marginals, entropy, count, best and three best against the expansion at one length."""
    parts = Parts.of(structure, phi)
    flat = parts.flat(phi)
    events = expanded(structure, tuple(tuple(s) for s in parts.shapes), length)
    truth = Truth.gather(parts, [events] * parts.instances)
    scores, how = truth.scores(flat), {"lengths": torch.full((parts.instances,), length)}
    near = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(ss.log_partition(structure, phi, **how), truth.log_partition(flat), **near)
    torch.testing.assert_close(parts.flat(ss.marginals(structure, phi, **how)), truth.marginals(flat), **near)
    torch.testing.assert_close(ss.entropy(structure, phi, **how), truth.entropy(flat), **near)
    assert torch.equal(ss.count(structure, phi, **how), (scores > NEG_INF).sum(0).double())
    torch.testing.assert_close(ss.max_score(structure, phi, **how), scores.amax(0), **near)
    blanks = torch.full((3, parts.instances), NEG_INF, dtype=torch.float64)
    best = ss.topk(structure, phi, 3, **how)
    torch.testing.assert_close(best.scores, torch.cat([scores, blanks]).sort(0, descending=True).values[:3], **near)
    reached = ss.score(structure, phi, best.events)
    torch.testing.assert_close(torch.where(best.valid, reached, NEG_INF), best.scores, **near)


@settings(max_examples=40)
@given(structure=programs, size=st.integers(2, 4), seed=st.integers(0, 1000))
def test_random_programs_equal_their_expansion(structure: Any, size: int, seed: int):
    phi = potentials(structure, size, seed)
    shapes = tuple(tuple(field.shape[1:]) for field in phi)
    assume(0 < len(expanded(structure, shapes, size)[0]) <= MOST)
    for length in range(1, size + 1):
        compare(structure, phi, length)


@settings(max_examples=20)
@given(structure=programs, size=st.integers(2, 3), seed=st.integers(0, 1000))
def test_random_programs_on_every_path(structure: Any, size: int, seed: int):
    phi = potentials(structure, size, seed)
    shapes = tuple(tuple(field.shape[1:]) for field in phi)
    assume(0 < len(expanded(structure, shapes, size)[0]) <= MOST)
    check_program(structure, phi)


def rows(events: Any) -> list[list[float]]:
    fields = events if isinstance(events, tuple) else (events,)
    return sorted(torch.cat([field.flatten(1) for field in fields], 1).tolist())


def test_the_expansion_agrees_with_enumerations():
    assert rows(expanded(Nussinov(), ((4, 4),), 3)) == rows(pairings(4, 3))
    assert rows(expanded(Words(), ((4, 4), (4,)), 4)) == rows(word_events(4))
    assert rows(expanded(Choose(2), ((5,),), 4)) == rows(choices(5, 2, 4))
    assert rows(expanded(ss.SpanTree(), ((4, 4),), 4)) == rows(span_events(4))
    assert len(expanded(Triangle(False, False), ((4,), (4, 4)), 4)[0]) == 5
