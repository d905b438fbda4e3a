"""Unbiased estimators agree with the exact value and gradient, of the distribution's and of the cost's parameters.

Each entry is within 5 standard errors: a right estimator fails with chance 6e-7 per entry, about 1e-3 for this file.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import estimators
from tests.estimators.problems import BITS, CATEGORICAL, CHAIN, FLOATING, INDEX, NOISY, STRUCTURES, OneHotIndex, Problem

pytestmark = pytest.mark.statistical

BASELINES = [
    estimators.NoBaseline(),
    estimators.SelfCritic(),
    estimators.IndependentSample(),
    estimators.LeaveOneOut(),
]


def check(estimator: Any, problem: Any, parameters: list[Tensor], trials: int = 2000) -> None:
    ss.testing.check_estimator(estimator, problem, parameters, trials=trials)


@pytest.mark.parametrize("problem", FLOATING, ids=str)
@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: type(b).__name__)
def test_score_function(problem: Problem, baseline: estimators.Baseline):
    check(lambda d, c, g: estimators.score_function(d, c, 3, baseline, g), problem, problem.parameters())


@pytest.mark.parametrize("problem", FLOATING, ids=str)
def test_without_replacement(problem: Problem):
    parameters = problem.parameters()
    check(lambda d, c, g: estimators.sum_and_sample(d, c, 2, 2, g), problem, parameters)
    check(lambda d, c, g: estimators.unordered_set(d, c, 3, generator=g), problem, parameters)
    check(lambda d, c, g: estimators.unordered_set(d, c, 2, False, g), problem, parameters)


@pytest.mark.parametrize("problem", FLOATING, ids=str)
def test_muprop(problem: Problem):
    check(lambda d, c, g: estimators.muprop(d, c, 2, g), problem, problem.parameters())


@pytest.mark.parametrize("problem", NOISY, ids=str)
def test_control_variates(problem: Problem):
    parameters = problem.parameters()
    check(lambda d, c, g: estimators.rebar(d, c, 0.7, 0.8, 2, g), problem, parameters)
    check(lambda d, c, g: estimators.relax(d, c, lambda u: 2 * u.sin().sum(-1), 2, g), problem, parameters)


def test_indices():
    """torch's Categorical, whose events are numbers and not vectors."""
    problem = OneHotIndex(INDEX)
    parameters = INDEX.parameters()
    for estimator in (
        lambda d, c, g: estimators.score_function(d, c, 2, generator=g),
        lambda d, c, g: estimators.score_function(d, c, 1, estimators.SelfCritic(), g),
        lambda d, c, g: estimators.sum_and_sample(d, c, 1, 1, g),
        lambda d, c, g: estimators.unordered_set(d, c, 2, True, g),
        lambda d, c, g: estimators.relax(d, c, lambda u: u.cos().sum(-1), 1, g),
    ):
        check(estimator, problem, parameters)


@pytest.mark.parametrize("problem", [CATEGORICAL, CHAIN], ids=str)
def test_running_baselines(problem: Problem):
    """Both have state, so that later calls are biased unless they look at earlier draws only."""
    parameters = problem.parameters()
    average = estimators.MovingAverage(0.9)
    guess = torch.tensor(2.5, dtype=torch.float64)

    def run(baseline: estimators.Baseline) -> Any:
        return lambda d, c, g: estimators.score_function(d, c, 1, baseline, g)

    check(run(average), problem, parameters, 4000)
    check(run(average), problem, parameters, 4000)
    check(run(estimators.Learned(guess)), problem, parameters)
    check(run(estimators.Learned(guess, average)), problem, parameters)


@pytest.mark.parametrize("problem", STRUCTURES, ids=str)
def test_forbidden_parts(problem: Problem):
    """With `-inf` among the potentials, fewer events than asked for, and a padded batch."""
    parameters = problem.parameters()
    drop = torch.rand(parameters[0].shape, generator=torch.Generator().manual_seed(5)) < 0.3
    parameters[0] = parameters[0].masked_fill(drop, -torch.inf)

    def make(*given: Tensor) -> Any:
        distribution, _ = problem(*given)
        weights = given[-1]

        def cost(event: Any) -> Tensor:
            fields = event if isinstance(event, tuple) else (event,)
            batch = len(distribution.batch_shape)
            return (torch.cat([f.flatten(1 + batch) for f in fields], -1) * weights).sum(-1).exp()

        return distribution, cost

    check(lambda d, c, g: estimators.score_function(d, c, 2, generator=g), make, parameters)
    check(lambda d, c, g: estimators.sum_and_sample(d, c, 3, 1, g), make, parameters)
    check(lambda d, c, g: estimators.unordered_set(d, c, 5, True, g), make, parameters)
    check(lambda d, c, g: estimators.muprop(d, c, 1, g), make, parameters)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda d, c, g: 1.02 * estimators.score_function(d, c, 4, generator=g),
        lambda d, c, g: estimators.score_function(d, c, 2, generator=g).detach() + 0.0 * d.log_prob(d.sample()),
        lambda d, c, g: c(d.mean.unsqueeze(0)).squeeze(0),
        lambda d, c, g: torch.nan * estimators.exact(d, c),
    ],
    ids=["two percent", "no score", "mean field", "nan"],
)
def test_bias_is_caught(wrong: Any):
    with pytest.raises(AssertionError, match="standard error"):
        check(wrong, BITS, BITS.parameters(), 20_000)


def test_structures_that_share_an_event(monkeypatch: pytest.MonkeyPatch):
    """Gaps of a tied alignment are counted, so that being among the best does not show: the head is drawn instead."""
    generator = torch.Generator().manual_seed(0)
    match = torch.randn(2, 2, generator=generator, dtype=torch.float64) - 1
    phi = [match, torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)]

    def problem(*given: Tensor) -> tuple[Any, Any]:
        distribution = ss.StructDistribution(ss.Alignment(), ss.AlignmentPotentials(*given))
        return distribution, lambda event: event.match.sum((-1, -2)).square()

    def run(d: Any, c: Any, g: torch.Generator) -> Tensor:
        return estimators.sum_and_sample(d, c, 1, 1, g)

    check(run, problem, phi, 4000)
    monkeypatch.setattr(estimators.tail, "tells_apart", lambda _: True)
    with pytest.raises(AssertionError, match="standard error"):
        check(run, problem, phi, 4000)


MIX = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LOOK = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def write(state: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """A small recurrent model of two symbols, of which the second ends a sequence."""
    state = torch.tanh(state @ MIX + LOOK[last + 1])
    return state[:, :2], state


def test_sequences_that_a_model_writes():
    """No program and no enumeration: the truth sums over the few sequences there are."""
    structure = ss.Autoregressive(write, torch.zeros(1, 3, dtype=torch.float64), stop=1)
    words = torch.tensor([[1, -1, -1], [0, 1, -1], [0, 0, 1], [0, 0, 0]])

    def problem(phi: Tensor, weights: Tensor) -> tuple[Any, Any]:
        return ss.StructDistribution(structure, phi), lambda event: (event * weights).sum((-1, -2)).exp()

    def truth(distribution: Any, cost: Any) -> Tensor:
        labels = words[:, None].expand(-1, *distribution.batch_shape, -1)
        events = structure.from_labels(
            labels, distribution.log_potentials.expand(4, *distribution.log_potentials.shape)
        )
        return (distribution.log_prob(events).exp() * cost(events)).sum(0)

    phi = torch.zeros(3, 2, dtype=torch.float64)
    weights = torch.randn(3, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for run in (
        lambda d, c, g: estimators.score_function(d, c, 2, generator=g),
        lambda d, c, g: estimators.unordered_set(d, c, 2, generator=g),
    ):
        ss.testing.check_estimator(run, problem, [phi, weights], trials=1000, reference=truth)
    distribution, cost = problem(phi, weights)
    for run in (estimators.exact, lambda d, c: estimators.sum_and_sample(d, c, 1), estimators.muprop):
        with pytest.raises(ss.UnsupportedQueryError):
            run(distribution, cost)
