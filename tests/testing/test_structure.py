"""`check_structure` has teeth: every query, spoilt a little, is caught and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import semiring_struct as ss
from semiring_struct import inference
from semiring_struct.testing import check_structure
from tests.enumerations.linear_chain import chain_events
from tests.enumerations.span_tree import span_events
from tests.structures.families import chain, spans

Spoil = Callable[[Callable[..., Any]], Callable[..., Any]]


def change(by: Callable[[Any], Any]) -> Spoil:
    return lambda query: lambda *args, **kwargs: by(query(*args, **kwargs))


def shift(amount: float) -> Spoil:
    return change(lambda answer: answer + amount)


def ignoring_membership(query: Callable[..., Any]) -> Callable[..., Any]:
    """What many a library calls log_prob: the score less log Z, whatever the event is."""

    def log_prob(structure: Any, phi: Any, event: Any, lengths: Any = None) -> Any:
        if not event.is_floating_point():
            return query(structure, phi, event, lengths=lengths)
        return inference.score(structure, phi, event) - inference.log_partition(structure, phi, lengths=lengths)

    return log_prob


def first_of_each(query: Callable[..., Any]) -> Callable[..., Any]:
    """Draws that are all copies of one another within a call."""

    def sample(structure: Any, phi: Any, sample_shape: Any = (), **kwargs: Any) -> Any:
        return query(structure, phi, (), **kwargs).expand(*sample_shape, *phi.shape)

    return sample


def too_hot(query: Callable[..., Any]) -> Callable[..., Any]:
    return lambda structure, phi, *args, **kwargs: query(structure, 0.8 * phi, *args, **kwargs)


def twice_the_first(answer: Any) -> Any:
    events = answer.events.clone()
    events[1:] = events[:1]
    return answer._replace(events=events)


FAULTS: list[tuple[str, Spoil, str]] = [
    ("log_partition", shift(1e-8), "log_partition"),
    ("marginals", change(lambda answer: answer * (1 + 1e-7)), "marginals"),
    ("marginals", change(lambda answer: answer.detach()), "marginals"),
    ("count", shift(1.0), "count"),
    ("count", change(lambda answer: answer.float()), "count"),
    ("entropy", shift(1e-7), "entropy"),
    ("cross_entropy", shift(1e-7), "cross_entropy"),
    ("kl", change(torch.neg), "kl"),
    ("renyi_entropy", shift(1e-7), "renyi_entropy"),
    ("expectation", shift(1e-7), "expectation"),
    ("variance", shift(1e-7), "variance"),
    ("covariance_vp", change(lambda answer: answer * 1.001), "covariance_vp"),
    ("score", shift(1e-7), "score"),
    ("log_prob", ignoring_membership, "log_prob"),
    ("contains", change(torch.ones_like), "contains"),
    ("enumerate_events", change(lambda answer: answer[:-1]), "enumerate_events"),
    ("max_score", shift(1e-9), "max_score"),
    ("argmax", lambda query: lambda structure, phi, **kwargs: query(structure, -phi, **kwargs), "argmax"),
    ("argmax", change(lambda answer: answer.double() * 0.5), "argmax"),
    ("topk", change(twice_the_first), "topk"),
    ("topk", change(lambda answer: answer._replace(valid=torch.ones_like(answer.valid))), "topk"),
    ("topk", change(lambda answer: answer._replace(scores=answer.scores.flip(0))), "topk"),
    ("sample", first_of_each, "sample"),
    ("sample", too_hot, "sample"),
    ("sample_without_replacement", change(twice_the_first), "sample_without_replacement"),
    ("sample_without_replacement", too_hot, "sample_without_replacement"),
    ("evaluate", change(lambda answer: answer + 1 if answer.is_floating_point() else ~answer), "evaluate"),
]


@pytest.mark.parametrize(("name", "spoil", "blamed"), FAULTS, ids=[f"{i}-{f[0]}" for i, f in enumerate(FAULTS)])
def test_a_spoilt_query_is_named(monkeypatch: pytest.MonkeyPatch, name: str, spoil: Spoil, blamed: str):
    phi = spans(4).draw((2,), seed=0, scale=2.0)
    monkeypatch.setattr(inference, name, spoil(getattr(inference, name)))
    with pytest.raises(AssertionError, match=blamed):
        check_structure(ss.SpanTree(), phi, span_events(4), draws=2000, gradients=False)


CODEC_FAULTS: list[tuple[str, Spoil]] = [
    ("from_labels", change(torch.zeros_like)),
    ("from_labels", change(lambda event: event.mT)),
    ("to_labels", change(lambda labels: labels.clamp(min=0))),
    ("to_labels", change(lambda labels: labels.flip(-1))),
]


@pytest.mark.parametrize(("name", "spoil"), CODEC_FAULTS, ids=[f"{i}-{f[0]}" for i, f in enumerate(CODEC_FAULTS)])
def test_a_spoilt_codec_is_named(monkeypatch: pytest.MonkeyPatch, name: str, spoil: Spoil):
    phi = spans(4).draw((2,), seed=0)
    monkeypatch.setattr(ss.SpanTree, name, spoil(getattr(ss.SpanTree, name)))
    with pytest.raises(AssertionError, match="labels"):
        check_structure(ss.SpanTree(), phi, span_events(4), draws=200, gradients=False)


def test_a_wrong_enumeration_is_noticed():
    with pytest.raises(AssertionError, match="log_partition"):
        check_structure(ss.SpanTree(), spans(4).draw((2,), seed=0), span_events(4)[:-1])


def test_the_program_itself_can_serve_as_enumeration():
    check_structure(ss.SpanTree(), spans(3).draw((2,), seed=0, forbidden=0.1))
    family = chain(3, 2)
    check_structure(family.structure, family.draw((3,), seed=0), lengths=torch.tensor([1, 3, 2]))


def test_events_and_lengths_have_to_fit():
    phi = chain(3, 2).draw((2,), seed=0)
    with pytest.raises(ValueError, match="no lengths"):
        check_structure(ss.LinearChain(), phi, lambda length: chain_events(3, 2, length=length))
    with pytest.raises(ValueError, match="function"):
        check_structure(ss.LinearChain(), phi, chain_events(3, 2), lengths=torch.tensor([1, 2]))
