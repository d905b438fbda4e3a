"""`check_trace`: what every algorithm trace owes, whoever wrote it, against the list of all its traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from semiring_struct.testing._compare import close, require
from semiring_struct.testing.statistics import check_sampler
from semiring_struct.traces import AlgorithmTrace, Conditional, Draw, OnNoise, Replay, Traces

NOISE_CELLS = 8


def check_trace(
    algorithm: AlgorithmTrace,
    log_rates: Tensor,
    event: Callable[[Tensor], Tensor] | None = None,
    *,
    lengths: Any = None,
    draws: int = 1000,
    gradients: bool = True,
    generator: torch.Generator | None = None,
) -> None:
    """Check an algorithm on `log_rates (*batch, *shape)`, float64 and small: everything is enumerated.

    Every enumerated trace is scored, conditioned on, and drawn as often as its probability says; under its conditional
    noise the algorithm takes it again; averaged over traces, the mean noise is 1 / rate and its law is exponential;
    closed forms agree with the steps; gradients agree with finite differences.

    Args:
        algorithm: the `AlgorithmTrace`.
        log_rates: of feasible instances, `-inf` allowed.
        event: the structure that the noise of one instance, `shape`, leads to, by an algorithm of your own. Without it
            the law of the structures is not checked against anything from outside.
        lengths: as for the methods.
        draws: how many draws the first stage of each test of a law takes (`check_sampler`; a right algorithm fails
            with probability at most 1e-6 per test).
        gradients: False leaves out finite differences.
        generator: randomness of the check itself; a fixed seed if None.

    Raises:
        AssertionError: naming the method that is wrong, and how.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    case = _Case(algorithm, log_rates.detach().double(), lengths, generator)
    _check_probabilities(case)
    _check_means(case)
    _check_given(case)
    _check_law(case, draws)
    _check_noise_law(case, draws)
    if event is not None:
        _check_events(case, event, min(draws, 400))
    _check_reproducible(case)
    if gradients:
        _check_gradients(case)


class _Case:
    """One algorithm on some log-rates, with all its traces."""

    def __init__(self, algorithm: AlgorithmTrace, log_rates: Tensor, lengths: Any, generator: torch.Generator):
        self.algorithm, self.log_rates, self.generator = algorithm, log_rates, generator
        self.rates = algorithm.open(log_rates, lengths)
        self.lengths = None if lengths is None else self.rates.lengths.reshape(self.rates.batch)
        self.all: Traces = algorithm.enumerate_traces(log_rates, lengths=lengths)
        require(len(self.all.traces) > 0, "enumerate_traces", "an instance has no trace")
        # blanks stand in as the first trace, with no weight
        self.traces = torch.where(self.all.valid.unsqueeze(-1), self.all.traces, self.all.traces[:1])
        self.weights = self.all.log_probs.exp()

    def spread(self, count: int) -> Any:
        """Lengths with one more leading dim."""
        return None if self.lengths is None else self.lengths.expand(count, *self.rates.batch)

    def find(self, traces: Tensor) -> Tensor:
        """Which enumerated trace each of `(draws, *batch, entries)` is, `(draws, B)`; -1 for none."""
        known = self.all.traces.reshape(len(self.all.traces), -1, traces.shape[-1])
        found = traces.reshape(len(traces), -1, traces.shape[-1])
        real = self.all.valid.reshape(len(known), -1)
        place = [_rows(known[real[:, b], b], found[:, b]) for b in range(known.shape[1])]
        return torch.stack(place, -1)


def _rows(known: Tensor, rows: Tensor) -> Tensor:
    """The row of `known` that each of `rows` equals, -1 for none."""
    code = torch.cat([known, rows]).unique(dim=0, return_inverse=True)[1]
    number = torch.arange(len(known), device="cpu")
    table = torch.full((len(code),), -1, device="cpu").scatter(0, code[: len(known)], number)
    return table[code[len(known) :]]


def _check_probabilities(case: _Case) -> None:
    """Probabilities sum to 1, and every way to score a trace agrees."""
    ones = torch.ones(case.rates.batch, device="cpu")
    close("enumerate_traces: summed probabilities", case.weights.sum(0), ones, 1e-9)
    t = case.algorithm
    scored = t.log_prob(case.traces, case.log_rates, lengths=case.lengths)
    close("log_prob", torch.where(case.all.valid, scored, -torch.inf), case.all.log_probs, 1e-9)
    replay = Replay(case.traces)
    count = len(case.traces)
    t.run(replay, case.log_rates.expand(count, *case.log_rates.shape), case.spread(count))
    close("log_prob beside run(Replay)", scored, replay.log_prob, 1e-9)
    for b in range(case.weights[0].numel()):
        real = case.all.valid.reshape(count, -1)[:, b]
        rows = case.all.traces.reshape(count, -1, case.traces.shape[-1])[real, b]
        require(len(rows.unique(dim=0)) == len(rows), "enumerate_traces", f"lists a trace of instance {b} twice")
    entropy = t.step_entropy(case.traces, case.log_rates, lengths=case.lengths)
    exact = -(case.weights * torch.where(case.all.valid, case.all.log_probs, 0.0)).sum(0)
    close("step_entropy: its mean", (case.weights * entropy).sum(0), exact, 1e-9)


def _check_means(case: _Case) -> None:
    """The mean noise given a trace, averaged over traces, is 1 / rate."""
    mean = case.algorithm.conditional_mean(case.traces, case.log_rates, lengths=case.lengths)
    allowed = (case.rates.flat > -torch.inf).reshape(case.log_rates.shape)
    weights = case.weights.reshape(*case.weights.shape, *[1] * case.algorithm.rates_dim)
    average = (weights * torch.where(allowed, mean, 0.0)).sum(0)
    expected = torch.where(allowed, (-torch.where(allowed, case.log_rates, 0.0)).exp(), 0.0)
    close("conditional_mean: its mean over traces", average, expected, 1e-9)
    require((mean[:, ~allowed] == torch.inf).all(), "conditional_mean", "the noise of a forbidden item is not inf")


def _check_given(case: _Case) -> None:
    """Under its conditional noise the algorithm takes the trace again, in every dtype; short cuts agree with steps."""
    t, count = case.algorithm, len(case.traces)
    lengths, lead = case.spread(count), case.log_rates.expand(count, *case.log_rates.shape)
    for dtype in (torch.float64, torch.float32):
        noise = t.conditional_noise(
            case.traces, case.log_rates.to(dtype), generator=case.generator, lengths=case.lengths
        )
        require(noise.dtype == dtype, "conditional_noise", f"has dtype {noise.dtype} for {dtype}")
        again = t.from_noise(noise, lengths=lengths)
        require(torch.equal(again, case.traces), "conditional_noise", f"leads to another trace in {dtype}")
        steps = t.run(OnNoise(noise), torch.where(noise == torch.inf, -torch.inf, 0.0).to(dtype), lengths)
        require(torch.equal(steps, case.traces), "from_noise", "differs from run(OnNoise)")
    state = case.generator.get_state()
    closed = t.conditional_log_noise(case.traces, case.log_rates, generator=case.generator, lengths=case.lengths)
    case.generator.set_state(state)
    uniforms = torch.rand(closed.shape, generator=case.generator, dtype=torch.float64, device="cpu")
    conditional = Conditional(case.traces, uniforms.log().neg().log())
    t.run(conditional, lead, lengths)
    close("conditional_log_noise beside run(Conditional)", closed, conditional.log_noise, 1e-9)


def _check_law(case: _Case, draws: int) -> None:
    """Draws follow the probabilities, by the shorter way and by the steps."""
    t = case.algorithm
    weights = case.weights.reshape(len(case.weights), -1)

    def short(count: int) -> Tensor:
        return case.find(t.sample(case.log_rates, (count,), generator=case.generator, lengths=case.lengths))

    def stepwise(count: int) -> Tensor:
        lead = case.log_rates.expand(count, *case.log_rates.shape)
        return case.find(t.run(Draw(case.generator), lead, case.spread(count)))

    check_sampler(short, weights, draws=draws, name="sample")
    check_sampler(stepwise, weights, draws=draws, name="run(Draw)")


def _check_noise_law(case: _Case, draws: int) -> None:
    """Noise given a drawn trace has the law of the noise: independent of the trace, each item exponential."""
    t = case.algorithm
    allowed = (case.rates.flat > -torch.inf).reshape(case.log_rates.shape)
    rate = torch.where(allowed, case.log_rates, 0.0).exp()

    def draw(count: int) -> Tensor:
        traces = t.sample(case.log_rates, (count,), generator=case.generator, lengths=case.lengths)
        noise = t.conditional_noise(traces, case.log_rates, generator=case.generator, lengths=case.lengths)
        passed = -(-rate * torch.where(allowed, noise, 0.0)).expm1()
        cells = (passed * NOISE_CELLS).long().clamp(max=NOISE_CELLS - 1)
        return cells[:, allowed]

    number = int(allowed.sum())
    if number:
        even = torch.full((NOISE_CELLS, number), 1 / NOISE_CELLS, device="cpu")
        check_sampler(draw, even, draws=draws, name="conditional_noise of drawn traces")


def _check_events(case: _Case, event: Callable[[Tensor], Tensor], draws: int) -> None:
    """The structures are those that another algorithm finds on the same noise, and as probable as their traces say."""
    t = case.algorithm
    listed = t.event(case.traces).flatten(1 + len(case.rates.batch))
    listed = listed.reshape(len(listed), -1, listed.shape[-1])
    for b in range(listed.shape[1]):
        rates = torch.where(case.rates.flat[b] > -torch.inf, case.rates.flat[b], -torch.inf).exp()
        bound = None if case.lengths is None else case.rates.lengths[b]
        real = case.all.valid.reshape(len(listed), -1)[:, b]
        kinds, kind = listed[real, b].unique(dim=0, return_inverse=True)
        weights = case.weights.reshape(len(listed), -1)[real, b]
        probabilities = weights.new_zeros(len(kinds)).scatter_add(0, kind, weights)

        def draw(count: int, rates: Tensor = rates, bound: Any = bound, kinds: Tensor = kinds) -> Tensor:
            like = {"generator": case.generator, "dtype": torch.float64, "device": "cpu"}
            waits = torch.rand(count, len(rates), **like).log().neg()
            noise = (waits / rates).reshape(count, *case.rates.shape)
            ours = t.event(t.from_noise(noise, lengths=None if bound is None else bound.expand(count)))
            theirs = torch.stack([event(x) for x in noise]).to(ours.dtype)
            require(torch.equal(ours, theirs), "event", "the structure on some noise is not the one expected")
            return _rows(kinds, ours.flatten(1)).unsqueeze(-1)

        check_sampler(draw, probabilities.unsqueeze(-1), draws=draws, name="event")


def _check_reproducible(case: _Case) -> None:
    """One generator state, one result; torch's global generator stays untouched."""
    before = torch.random.get_rng_state()
    t, twice = case.algorithm, []
    for _ in range(2):
        generator = torch.Generator().manual_seed(7)
        traces = t.sample(case.log_rates, (3,), generator=generator, lengths=case.lengths)
        noise = t.conditional_noise(traces, case.log_rates, generator=generator, lengths=case.lengths)
        twice.append((traces, noise))
    require(torch.equal(twice[0][0], twice[1][0]), "sample", "differs for the same generator state")
    require(torch.equal(twice[0][1], twice[1][1]), "conditional_noise", "differs for the same generator state")
    require(torch.equal(before, torch.random.get_rng_state()), "sample", "the global generator moved")


def _check_gradients(case: _Case) -> None:
    """First and second derivatives of the log-probability and of the conditional noise."""
    t, few = case.algorithm, case.traces[:3]
    free = case.rates.allowed.reshape(case.log_rates.shape)
    inside = case.log_rates[free].requires_grad_()
    fresh = torch.rand(*few.shape[:-1], *case.rates.shape, generator=case.generator, dtype=torch.float64, device="cpu")
    lead, lengths = (len(few), *case.log_rates.shape), case.spread(len(few))
    finite = (case.rates.flat > -torch.inf).reshape(case.log_rates.shape)

    def scored(values: Tensor) -> Tensor:
        return t.log_prob(few, case.log_rates.masked_scatter(free, values), lengths=case.lengths)

    def given(values: Tensor) -> Tensor:
        conditional = Conditional(few, fresh.log().neg().log())
        t.run(conditional, case.log_rates.masked_scatter(free, values).expand(lead), lengths)
        return conditional.log_noise[:, finite]

    for name, function in (("log_prob", scored), ("conditional_log_noise", given)):
        first = torch.autograd.gradcheck(function, inside, raise_exception=False)
        require(first, name, "its gradient is not that of finite differences")
        second = torch.autograd.gradgradcheck(function, inside, raise_exception=False)
        require(second, name, "its second gradient is not that of finite differences")
