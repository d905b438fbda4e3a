"""Models that write sequences symbol by symbol, against the product of their conditional probabilities."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.testing import check_structure
from semiring_struct.testing.statistics import check_sampler

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers.json").read_text())
NEG_INF = float("-inf")
N, V, BATCH = 3, 3, 2
MIX = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LOOK = torch.randn(V + 1, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SAY = torch.randn(4, V, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
START = torch.randn(BATCH, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def step(state: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """A small recurrent network: what it says next depends on all that was written."""
    state = torch.tanh(state @ MIX + LOOK[last + 1])
    return state @ SAY, state


def even_ones() -> ss.Automaton:
    """Accepts sequences with an even number of the symbol 1, and never two 2s in a row."""
    moves = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, -1], [1, 0, -1]])
    return ss.Automaton(moves, torch.tensor([True, False, True, False]))


def accepts(word: Sequence[int]) -> bool:
    return word.count(1) % 2 == 0 and all(pair != (2, 2) for pair in itertools.pairwise(word))


def words(length: int, stop: int | None) -> list[tuple[int, ...]]:
    """Every sequence: of full length, or ended by the stop symbol before."""
    every = itertools.chain.from_iterable(itertools.product(range(V), repeat=m) for m in range(length + 1))
    if stop is None:
        return list(itertools.product(range(V), repeat=length))
    return [w for w in every if stop not in w[:-1] and (len(w) == length or (w and w[-1] == stop))]


def chance(word: Sequence[int], instance: int, phi: Tensor, length: int, stop: int | None, limited: bool) -> float:
    """Its log-probability by the chain rule, symbol by symbol, with allowed symbols found by listing all endings."""
    total, state, last = 0.0, START[instance : instance + 1], torch.tensor([-1])
    everything = [w for w in words(length, stop) if not limited or accepts(w)]
    for i, symbol in enumerate(word):
        scores, state = step(state, last)
        scores = scores[0] + phi[instance, i]
        fine = {w[i] for w in everything if len(w) > i and w[:i] == tuple(word[:i])}
        kept = torch.tensor([x in fine for x in range(V)])
        scores = scores.masked_fill(~kept, NEG_INF)
        total += float((scores - scores.logsumexp(0))[symbol])
        last = torch.tensor([symbol])
    return total


def drawn_phi(seed: int = 0, forbidden: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    phi = torch.randn(BATCH, N, V, generator=generator, dtype=torch.float64)
    return phi.masked_fill(torch.rand(phi.shape, generator=generator) < forbidden, NEG_INF)


SETTINGS = [
    pytest.param(stop, limited, lengths, id=f"stop-{stop}-limited-{limited}-{lengths}")
    for stop in (None, 0) for limited in (False, True) for lengths in ((3, 3), (2, 3), (0, 1))
]  # fmt: skip


def model(stop: int | None, limited: bool) -> ss.Autoregressive:
    return ss.Autoregressive(step, START, stop=stop, automaton=even_ones() if limited else None)


def table(stop: int | None, limited: bool, lengths: Sequence[int], phi: Tensor) -> tuple[Tensor, Tensor]:
    """All sequences as labels `(s, BATCH, N)`, blank rows last, and their log-probabilities `(s, BATCH)`."""
    columns = []
    for b, length in enumerate(lengths):
        every = [w for w in words(length, stop) if not limited or not length or accepts(w)]
        columns.append([(w, chance(w, b, phi, length, stop, limited)) for w in every])
    most = max(map(len, columns))
    labels = torch.full((most, BATCH, N), -1)
    log_probs = torch.full((most, BATCH), NEG_INF, dtype=torch.float64)
    for b, column in enumerate(columns):
        for row, (word, value) in enumerate(column):
            labels[row, b, : len(word)] = torch.tensor(word, dtype=torch.int64)
            log_probs[row, b] = value
    return labels, log_probs


@pytest.mark.parametrize("stop, limited, lengths", SETTINGS)
def test_log_prob_is_the_product_and_sums_to_one(stop: int | None, limited: bool, lengths: Sequence[int]):
    phi, sizes = drawn_phi(), torch.tensor(lengths)
    labels, exact = table(stop, limited, lengths, phi)
    torch.testing.assert_close(exact.exp().sum(0), torch.ones(BATCH, dtype=torch.float64))
    for b in range(BATCH):
        real = exact[:, b] > NEG_INF
        one = ss.Autoregressive(step, START[b : b + 1], stop, even_ones() if limited else None)
        found = ss.log_prob(one, phi[b : b + 1], labels[real, b : b + 1], lengths=sizes[b : b + 1])
        torch.testing.assert_close(found[:, 0], exact[real, b])
        count = int(real.sum())
        events = one.from_labels(labels[real, b], phi[b].expand(count, N, V), sizes[b].expand(count))
        again = ss.log_prob(one, phi[b : b + 1], events[:, None], lengths=sizes[b : b + 1])
        torch.testing.assert_close(again, found)


@pytest.mark.parametrize("stop, limited, lengths", SETTINGS)
def test_a_beam_as_wide_as_all_prefixes_finds_everything(stop: int | None, limited: bool, lengths: Sequence[int]):
    phi, sizes = drawn_phi(1), torch.tensor(lengths)
    _, exact = table(stop, limited, lengths, phi)
    found = ss.beam_search(model(stop, limited), phi, 30, labels=True, lengths=sizes)
    assert found.events.shape == (30, BATCH, N)
    assert torch.equal(found.valid.sum(0), (exact > NEG_INF).sum(0))
    ranked = exact.sort(0, descending=True).values
    torch.testing.assert_close(found.log_probs[: len(ranked)], ranked)
    assert not found.valid[len(ranked) :].any()


@pytest.mark.parametrize("stop, limited, lengths", SETTINGS)
def test_draws_follow_the_law(stop: int | None, limited: bool, lengths: Sequence[int]):
    phi, sizes, law = drawn_phi(2), torch.tensor(lengths), model(stop, limited)
    labels, exact = table(stop, limited, lengths, phi)
    generator = torch.Generator().manual_seed(0)

    def cells(count: int) -> Tensor:
        drawn = ss.sample(law, phi, (count,), labels=True, generator=generator, lengths=sizes)
        return which(drawn, labels)

    check_sampler(cells, exact.exp(), draws=2000)

    def first_of_two(count: int) -> Tensor:
        wide = phi.repeat(count, 1, 1)
        many = ss.Autoregressive(step, START.repeat(count, 1), stop, even_ones() if limited else None)
        found = ss.sample_without_replacement(many, wide, 2, generator=generator, lengths=sizes.repeat(count))
        return which(many.to_labels(found.events)[0].reshape(count, BATCH, N), labels)

    check_sampler(first_of_two, exact.exp(), draws=2000)


def which(drawn: Tensor, labels: Tensor) -> Tensor:
    """The row of `labels (s, BATCH, N)` that each draw `(count, BATCH, N)` is, -1 for none."""
    same = (drawn[:, None] == labels).all(-1)
    return torch.where(same.any(1), same.int().argmax(1), -1)


def test_a_planted_bias_is_caught():
    labels, exact = table(None, False, (3, 3), drawn_phi(2))
    generator = torch.Generator().manual_seed(0)

    def cells(count: int) -> Tensor:
        drawn = ss.sample(model(None, False), 0.8 * drawn_phi(2), (count,), labels=True, generator=generator)
        return which(drawn, labels)

    with pytest.raises(AssertionError, match="do not follow"):
        check_sampler(cells, exact.exp())


def test_without_replacement_known_case():
    """Inclusion probabilities and laws of sets of two, worked out exactly elsewhere."""
    case = CASES["stochastic_beam_search_k2"]
    first, second, third = (
        torch.tensor(case[name], dtype=torch.float64).log() for name in ("p1", "p2_given_1", "p3_given_2")
    )
    tables = torch.stack([first.expand(2, 2), second, third])

    def markov(place: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        return tables[place, last.clamp(min=0)], place + 1

    law = ss.Autoregressive(markov, torch.zeros(1, dtype=torch.int64))
    one = torch.zeros(3, 2, dtype=torch.float64)
    found = ss.log_prob(law, one, torch.tensor(case["sequences"]))
    torch.testing.assert_close(found.exp(), torch.tensor(case["probs"], dtype=torch.float64))
    pairs = {tuple(sorted((code(a), code(b)))): p for a, b, p in case["set_probs"]}
    exact = torch.zeros(64, 1, dtype=torch.float64)
    for (a, b), p in pairs.items():
        exact[8 * a + b] = p
    generator = torch.Generator().manual_seed(0)

    def sets(count: int) -> Tensor:
        drawn = ss.sample_without_replacement(law, one.expand(count, 3, 2), 2, generator=generator)
        codes = (law.to_labels(drawn.events) * torch.tensor([4, 2, 1])).sum(-1).sort(0).values
        return (8 * codes[0] + codes[1])[:, None]

    check_sampler(sets, exact)


def code(word: Sequence[int]) -> int:
    return 4 * word[0] + 2 * word[1] + word[2]


def test_draws_without_replacement_exhaust_and_report():
    phi, law = drawn_phi(3), model(0, True)
    labels, exact = table(0, True, (3, 3), phi)
    found = ss.sample_without_replacement(law, phi, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.valid.sum(0), (exact > NEG_INF).sum(0))
    rows = which(law.to_labels(found.events), labels)
    for b in range(BATCH):
        real = found.valid[:, b]
        assert len(rows[real, b].unique()) == int(real.sum())
        torch.testing.assert_close(found.log_probs[real, b], exact[rows[real, b], b])
        assert (found.perturbed[real, b].diff() <= 0).all()


def test_greedy_is_a_beam_of_one_and_not_the_best():
    """A likely first symbol with nothing likely behind it: greedy takes it, a wider beam does not."""
    first = torch.tensor([0.6, 0.4]).log()
    then = torch.tensor([[0.5, 0.5], [0.95, 0.05]]).log()

    def trap(state: Any, last: Tensor) -> tuple[Tensor, Any]:
        return torch.where((last < 0)[:, None], first, then[last.clamp(min=0)]), state

    law, phi = ss.Autoregressive(trap), torch.zeros(2, 2)
    assert ss.greedy(law, phi, labels=True).tolist() == [0, 0]
    assert ss.greedy(law, phi).tolist() == [[1, 0], [1, 0]]
    found = [ss.beam_search(law, phi, k) for k in (1, 2)]
    assert float(found[0].log_probs[0]) == pytest.approx(math.log(0.3))
    assert float(found[1].log_probs[0]) == pytest.approx(math.log(0.38))
    assert law.to_labels(found[1].events)[0].tolist() == [1, 0]


def indifferent(state: Any, last: Tensor) -> tuple[Tensor, Any]:
    return torch.zeros(len(last), 2, dtype=torch.float64), state


def test_without_memory_all_checks_of_structures_hold():
    """A model that says nothing leaves one independent choice per position: the law of the log-potentials alone."""

    def strings(length: int = 3) -> Tensor:
        hot = torch.nn.functional.one_hot(torch.tensor(list(itertools.product(range(2), repeat=length))).long(), 2)
        return torch.nn.functional.pad(hot.reshape(2**length, length, 2), (0, 0, 0, 3 - length)).double()

    phi = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    phi[1, 1, 0] = NEG_INF
    check_structure(ss.Autoregressive(indifferent), phi, strings())
    lengths = torch.tensor([0, 3, 2, 1])
    check_structure(ss.Autoregressive(indifferent), phi, strings, lengths=lengths, sizes=(3,))


def shift_reduce(n: int) -> ss.Automaton:
    """Shifts are symbol 0, reductions 1; states count both."""
    places = [(s, r) for s in range(n + 1) for r in range(max(s, 1))]
    moves = torch.full((len(places), 2), -1)
    for i, (s, r) in enumerate(places):
        if s < n:
            moves[i, 0] = places.index((s + 1, r))
        if s - r >= 2:
            moves[i, 1] = places.index((s, r + 1))
    return ss.Automaton(moves, torch.tensor([place == (n, n - 1) for place in places]))


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_shift_reduce_writes_every_tree_and_is_not_uniform(n: int):
    """Catalan many; each costs one half for every step at which both actions were allowed."""
    law, phi = ss.Autoregressive(indifferent, automaton=shift_reduce(n)), torch.zeros(2 * n - 1, 2, dtype=torch.float64)
    trees = math.comb(2 * n - 2, n - 1) // n
    found = ss.beam_search(law, phi, trees + 3, labels=True)
    assert int(found.valid.sum()) == trees == len(found.events[found.valid].unique(dim=0))
    assert float(found.log_probs.exp().sum()) == pytest.approx(1)
    for actions, log_prob in zip(found.events[found.valid].tolist(), found.log_probs.tolist(), strict=False):
        shifts, stack, free = 0, 0, 0
        for action in actions:
            free += shifts < n and stack >= 2
            shifts, stack = (shifts + 1, stack + 1) if action == 0 else (shifts, stack - 1)
            assert stack >= 1
        assert (shifts, stack) == (n, 1)
        assert log_prob == pytest.approx(-free * math.log(2))


def test_log_prob_is_differentiable_twice():
    phi = drawn_phi(4, forbidden=0.2)
    labels, exact = table(0, True, (3, 3), phi)
    row = labels[exact.isfinite().all(1)][0]
    free = phi.isfinite()
    weights = SAY.clone().requires_grad_()

    def value(given: Tensor, say: Tensor) -> Tensor:
        def learned(state: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
            _, state = step(state, last)
            return state @ say, state

        law = ss.Autoregressive(learned, START, 0, even_ones())
        return ss.log_prob(law, torch.full_like(phi, NEG_INF).masked_scatter(free, given), row)

    given = phi[free].requires_grad_()
    assert torch.isfinite(value(given, weights)).all()
    assert torch.autograd.gradcheck(value, (given, weights))
    assert torch.autograd.gradgradcheck(value, (given, weights))


def test_states_may_be_nested_and_shared():
    def nested(state: Any, last: Tensor) -> tuple[Tensor, Any]:
        scores, inner = step(state["net"][0], last)
        return scores, {"net": (inner,), "count": state["count"] + 1}

    phi, lone = drawn_phi(5), START[:1]
    law = ss.Autoregressive(nested, {"net": (lone,), "count": torch.zeros(1)})
    assert torch.equal(
        ss.greedy(law, phi), ss.greedy(ss.Autoregressive(step, lone.expand(BATCH, 4)), phi)
    )
    wide = ss.beam_search(law, phi[:, None].expand(BATCH, 1, N, V), 2)
    assert wide.log_probs.shape == (2, BATCH, 1)
    assert torch.equal(wide.events.squeeze(2), ss.beam_search(law, phi, 2).events)


def test_a_generator_decides_alone():
    before = torch.random.get_rng_state()
    twice = [
        ss.sample(model(0, True), drawn_phi(), (4,), generator=torch.Generator().manual_seed(1)) for _ in range(2)
    ]
    assert torch.equal(*twice) and torch.equal(before, torch.random.get_rng_state())


def test_a_dead_end_is_refused_by_name():
    phi = drawn_phi()
    phi[1, 1] = NEG_INF
    for query in (ss.sample, ss.greedy):
        with pytest.raises(ss.InfeasibleError, match="1"):
            query(model(None, False), phi)
    assert ss.beam_search(model(None, False), phi, 2).valid.tolist() == [[True, False], [True, False]]


def test_what_is_not_offered_says_what_is():
    for query in (ss.log_partition, ss.marginals, ss.argmax, ss.max_score, ss.entropy, ss.count, ss.contains):
        with pytest.raises(ss.UnsupportedQueryError, match=r"beam_search.*greedy.*log_prob.*sample"):
            query(model(None, False), drawn_phi(), *([drawn_phi()] if query is ss.contains else []))
    with pytest.raises(ss.UnsupportedQueryError):
        ss.topk(model(None, False), drawn_phi(), 2)
    for query in (ss.greedy, lambda s, x: ss.beam_search(s, x, 2)):
        with pytest.raises(ss.UnsupportedQueryError, match="OneOf"):
            query(ss.OneOf(), torch.zeros(3))


def test_wrong_settings_are_refused():
    phi, two_symbols = drawn_phi(), ss.Automaton(torch.zeros(1, 2).long(), torch.tensor([True]))
    with pytest.raises(ss.ShapeError, match="scores"):
        ss.greedy(ss.Autoregressive(lambda s, last: (torch.zeros(len(last), 5), s)), phi)
    with pytest.raises(ss.ShapeError, match="rows"):
        ss.greedy(ss.Autoregressive(step, torch.zeros(5, 4, dtype=torch.float64)), phi)
    with pytest.raises(ValueError, match="stop"):
        ss.greedy(ss.Autoregressive(step, START, stop=3), phi)
    with pytest.raises(ss.ShapeError, match="automaton"):
        ss.greedy(ss.Autoregressive(step, START, automaton=two_symbols), phi)
    with pytest.raises(ValueError, match="-1"):
        ss.Automaton(torch.tensor([[2]]), torch.tensor([True]))
    with pytest.raises(TypeError, match="int64"):
        ss.Automaton(torch.zeros(1, 1), torch.tensor([True]))
    with pytest.raises(ss.ShapeError, match="accepting"):
        ss.Automaton(torch.zeros(2, 1).long(), torch.tensor([True]))
    for bad in ([1, 3, 0], [1, -1, 1], [0, 1, -1]):
        with pytest.raises(ValueError, match="labels"):
            model(0, False).from_labels(torch.tensor([bad]), phi[:1])


def test_what_a_step_says_of_sequences_that_have_ended_does_not_matter():
    def step(state, last):
        scores = torch.zeros(len(last), 4)
        return torch.where((last == 3)[:, None], torch.nan, scores), state

    model = ss.Autoregressive(step, stop=3)
    phi = torch.zeros(3, 4, requires_grad=True)
    value = ss.log_prob(model, phi, torch.tensor([3, -1, -1]))
    value.backward()
    torch.testing.assert_close(value.detach().exp(), torch.tensor(0.25))
    assert phi.grad is not None and not phi.grad.isnan().any()
