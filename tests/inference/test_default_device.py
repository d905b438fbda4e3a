"""A default device on which the potentials are not breaks no call. `meta` stands for any: nothing returns from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.inference import catalogue
from tests.inference.catalogue import noise, tensors
from tests.structures.families import Family, chain
from tests.structures.test_contract import fields


@contextmanager
def elsewhere() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


def check_same(ask: Callable[[], Any]) -> None:
    """The answer and its gradient are those with the CPU as default device."""
    here = ask()
    with elsewhere():
        there = ask()
    assert len(here) == len(there)
    for a, b in zip(here, there, strict=True):
        assert b.device.type == "cpu"
        torch.testing.assert_close(b, a, equal_nan=True)


def asked(family: Family, query: Any, phi: Any, lengths: Any) -> list[Tensor]:
    """The tensors of the answer, and the gradient of those that have one."""
    given = family.kind(*(f.detach().clone().requires_grad_() for f in fields(phi)))
    try:
        found = tensors(query(family.structure, given, lengths))
    except ss.UnsupportedQueryError:
        return []
    tracked = [t for t in found if t.requires_grad]
    if tracked:
        total = sum(torch.where(t.detach().isfinite(), t, 0.0).sum() for t in tracked)
        with suppress(NotImplementedError):  # a third order, or another that is not provided
            found += torch.autograd.grad(total, fields(given), materialize_grads=True, allow_unused=True)
    return [t.detach() for t in found]


# a seed of the global generator would be drawn on the default device, so draws have one of their own
@pytest.mark.parametrize("family", catalogue.EACH, ids=str)
def test_every_call(family: Family):
    phi, lengths = family.draw((2,), seed=0), family.lengths(2, seed=0, feasible=True)
    for name, query in catalogue.ALL.items():
        if not (name.startswith("finite") or "average" in name):
            check_same(lambda query=query: asked(family, query, phi, lengths))


@pytest.mark.parametrize("semiring", [ss.RealSemiring(), ss.BooleanSemiring(), ss.CountingSemiring()], ids=str)
def test_semirings(semiring: Any):
    family = chain(4, 3)
    phi = family.draw((2,), seed=0)
    check_same(lambda: [ss.evaluate(family.structure, semiring, phi).detach()])


def test_lengths_as_they_come():
    family = chain(4, 3)
    phi = family.draw((2,), seed=0)
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    for lengths in ([3, 1], mask, mask.bool(), mask.sum(1), 3, mask.numpy()):
        check_same(lambda n=lengths: [ss.log_partition(family.structure, phi, n)])
    nan = family.kind(phi.emission.masked_fill(mask[..., None] == 0, torch.nan), phi.transition)
    check_same(lambda: [ss.log_partition(family.structure, nan, mask)])


def test_draws_from_the_global_generator():
    family = chain(4, 3)
    phi = family.draw((2,), seed=0)
    with elsewhere():
        assert ss.sample(family.structure, phi, (3,)).emission.sum() == 24
        assert ss.surrogates.imle(family.structure, phi).emission.sum() == 8
        assert ss.sample_without_replacement(family.structure, phi, 2).valid.all()


TRACES = {
    "TopK": (ss.traces.TopK(2), (4,)),
    "Ranking": (ss.traces.Ranking(), (4,)),
    "Kruskal": (ss.traces.Kruskal(), (4, 4)),
    "ChuLiuEdmonds": (ss.traces.ChuLiuEdmonds(), (4, 4)),
    "GreedyMatching": (ss.traces.GreedyMatching(), (3, 3)),
    "BinaryTree": (ss.traces.BinaryTree(), (4,)),
}


@pytest.mark.parametrize(("algorithm", "shape"), TRACES.values(), ids=TRACES.keys())
def test_traces(algorithm: Any, shape: tuple[int, ...]):
    rates = torch.randn(2, *shape, dtype=torch.float64)

    def ask() -> list[Tensor]:
        drawn = algorithm.sample(rates, (3,), generator=noise())
        given = rates.clone().requires_grad_()
        log_prob = algorithm.log_prob(drawn, given)
        back = torch.autograd.grad(log_prob.sum(), given)
        fresh = algorithm.conditional_noise(drawn, rates, generator=noise())
        listed = tensors(algorithm.enumerate_traces(rates)) if hasattr(algorithm, "enumerate_traces") else []
        d = ss.TraceDistribution(algorithm, rates)
        return [drawn, log_prob.detach(), *back, fresh, algorithm.event(drawn), algorithm.greedy(rates),
                algorithm.from_noise(fresh), *listed, d.log_prob(drawn)]  # fmt: skip

    check_same(ask)


def test_helpers():
    emission, tags = torch.randn(2, 4, 3), ["O", "B-A", "I-A"]
    phi = ss.ChainPotentials(emission, torch.randn(1, 3, 3))
    seen, start, table = torch.tensor([[0, 1, 2, 0]] * 2), torch.randn(3), torch.randn(3, 3)
    automaton = ss.Automaton(torch.tensor([[0, 1, 0], [1, -1, 0]]), torch.tensor([True, True]))
    scores, targets = torch.randn(2, 6, 4).log_softmax(-1), torch.tensor([1, 2, 3])
    graph = tuple(torch.randn(2, 3, 3) for _ in range(2))
    rules, c = ss.constraints, ss.constraints.AcceptedChain(automaton)
    model = ss.Autoregressive(lambda state, last: (table[last.clamp(min=0)], state), automaton=automaton, stop=2)
    calls: dict[str, Callable[[], Any]] = {
        "follow": lambda: rules.follow(phi, rules.bio(tags)),
        "follow bioes": lambda: rules.follow(phi, rules.bioes(["O", "S-A", "S-B"]), [3, 2]),
        "known_tags": lambda: rules.log_prob(ss.LinearChain(), phi, (rules.known_tags(seen, 3), None)),
        "hmm": lambda: ss.hmm(start, table, table, seen),
        "hmm distribution": lambda: ss.HMM(start, table, table, seen).entropy(),
        "accepted": lambda: [ss.argmax(c, phi, True), ss.log_partition(c, phi)],
        "CTC of one dim": lambda: ss.log_partition(ss.CTC(targets, [2, 1]), scores),
        "CTC of a list": lambda: ss.argmax(ss.CTC(targets.expand(2, 3), [2, 1]), scores, True),
        "einsum": lambda: ss.einsum("ab,bc->ac", table, table),
        "loopy": lambda: ss.loopy_belief_propagation(ss.FactorGraph("ab,bc"), graph),
        "soft_dtw": lambda: ss.soft_dtw(scores, 0.5),
        "sinkhorn": lambda: ss.relaxations.sinkhorn(scores[:, :4], lengths=[3, 4]),
        "simplex": lambda: [ss.relaxations.sparsemax(scores, -1), ss.relaxations.entmax(scores, 1.3, -1)],
        "write": lambda: [ss.greedy(model, scores[..., :3], True), ss.beam_search(model, scores[..., :3], 2),
                          ss.sample(model, scores[..., :3], (2,), generator=noise(), labels=True),
                          ss.sample_without_replacement(model, scores[..., :3], 2, generator=noise())],
        "quantize": lambda: ss.surrogates.vector_quantize(start, table),
        "rao-blackwell": lambda: ss.surrogates.gumbel_rao_blackwell(emission, 2, generator=noise()),
        "hard concrete": lambda: ss.relaxations.HardConcrete(start, 0.5).log_prob(torch.sigmoid(start)),
        "explain": lambda: [emission.new_tensor(len(str(ss.explain(ss.LinearChain(), phi, "topk"))))],
    }  # fmt: skip
    for name, call in calls.items():
        try:
            check_same(lambda call=call: [t.detach() for t in tensors(call())])
        except Exception as error:
            raise AssertionError(f"{name}: {error}") from error


def test_checks_of_structures_and_comparisons():
    phi = chain(3, 2).draw((1,), seed=0)
    generator = noise()
    weights = torch.tensor([1.0, 2.0, 0.5, -1.0], dtype=torch.float64)
    with elsewhere():
        ss.testing.check_structure(ss.LinearChain(), phi, generator=generator)
        ss.testing.check_semiring(ss.LogSemiring())
        found = ss.diagnostics.compare_gradients(ss.OneOf(), weights, lambda e: (e * weights).sum(-1), trials=20)
    assert found.exact.isfinite().all()
