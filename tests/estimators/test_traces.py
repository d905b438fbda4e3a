"""Estimators on the traces of algorithms: exact variances, and agreement with sums over all traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import estimators

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers.json").read_text())
NOTHING = estimators.NoBaseline()


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def triangle(log_rates: Tensor) -> ss.TraceDistribution:
    """Kruskal on three vertices with log-rates `(*batch, 3)` of the edges 01, 02, 12."""
    zero = torch.zeros_like(log_rates[..., 0])
    first = torch.stack([zero, log_rates[..., 0], log_rates[..., 1]], -1)
    second = torch.stack([zero, zero, log_rates[..., 2]], -1)
    return ss.TraceDistribution(ss.traces.Kruskal(), torch.stack([first, second, torch.zeros_like(second)], -2))


def triangle_cost(event: Tensor) -> Tensor:
    a, b, c = event[..., 0, 1], event[..., 0, 2], event[..., 1, 2]
    return a - 2 * b + 0.5 * c + 3 * (1 - a)


class Written:
    """A trace distribution whose draws are written down: one outcome per instance."""

    def __init__(self, distribution: ss.TraceDistribution, traces: Tensor):
        self.distribution, self.traces = distribution, traces
        self.batch_shape = distribution.batch_shape
        self.noise_log_prob = distribution.noise_log_prob
        self.log_prob, self.event = distribution.log_prob, distribution.event

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        return self.traces


def test_variance_falls_from_noise_to_trace_to_structure():
    """Exactly: traces and structures by listing, the noise by the moments of the exponentials it is a sum of."""
    case = CASES["reinforce_variance_ordering_K3"]
    theta = tensor(case["rates"]).log()
    listed = triangle(theta).enumerate_traces()
    chances, traces = listed.log_probs.exp(), listed.traces
    events = triangle(theta).event(traces)
    costs = triangle_cost(events)

    leaf = theta.expand(len(traces), 3).clone().requires_grad_()
    written = Written(triangle(leaf), traces.unsqueeze(0))
    value = estimators.trace_score(written, triangle_cost, 1, NOTHING)
    (by_trace,) = torch.autograd.grad(value.sum(), leaf)
    mean = (chances[:, None] * by_trace).sum(0)
    torch.testing.assert_close(mean, tensor(case["gradient_wrt_log_rate"]), rtol=0, atol=case["tol"])
    torch.testing.assert_close((chances * value.detach()).sum(), (chances * costs).sum())

    trees = (events[:, None] == events).flatten(2).all(-1).double()
    by_tree = trees @ (chances[:, None] * by_trace) / (trees @ chances)[:, None]

    rates = theta.exp()
    moment = torch.zeros(())
    for trace, chance, cost in zip(traces, chances, costs, strict=True):
        i, j = (int({1: 0, 2: 1, 5: 2}[int(k)]) for k in trace)
        k = 3 - i - j
        parts = {
            i: [rates.sum()],
            j: [rates.sum(), rates.sum() - rates[i]],
            k: [rates.sum(), rates.sum() - rates[i], rates[k]],
        }
        for edge, sums in parts.items():
            expected = 1 - rates[edge] * sum(1 / s for s in sums)
            spread = rates[edge] ** 2 * sum(1 / s**2 for s in sums)
            moment = moment + chance * cost**2 * (expected**2 + spread)

    variances = {
        "X_level": (chances[:, None] * (by_tree - mean).square()).sum(),
        "T_level": (chances[:, None] * (by_trace - mean).square()).sum(),
        "E_level": moment - mean.square().sum(),
    }
    for level, variance in variances.items():
        assert float(variance) == pytest.approx(case["total_variance"][level], abs=case["tol"])
    assert variances["X_level"] <= variances["T_level"] <= variances["E_level"]


def test_score_of_the_noise():
    """The gradient of one draw is `cost * (1 - rate * noise)` at each key."""
    theta = tensor([0.3, -0.2, 0.6]).expand(50, 3).clone().requires_grad_()
    distribution = triangle(theta)
    value = estimators.trace_score(
        distribution, triangle_cost, 1, NOTHING, estimators.NoiseLevel(), torch.Generator().manual_seed(0)
    )
    noise = distribution.noise((1,), generator=torch.Generator().manual_seed(0)).detach()
    costs = triangle_cost(distribution.event(distribution.from_noise(noise)))[0]
    torch.testing.assert_close(value.detach(), costs)
    edges = torch.stack([noise[0, :, 0, 1], noise[0, :, 0, 2], noise[0, :, 1, 2]], -1)
    (got,) = torch.autograd.grad(value.sum(), theta)
    torch.testing.assert_close(got, costs[:, None] * (1 - theta.detach().exp() * edges))


def test_expectation_under_plackett_luce():
    case = CASES["pl_expectation_gradient"]
    theta = tensor(case["rates"]).log().requires_grad_()
    distribution = ss.TraceDistribution(ss.traces.Ranking(), theta)
    rank = torch.arange(1, 5, dtype=torch.float64)
    value = estimators.exact(distribution, lambda e: (e * tensor(case["c"])).sum(-1) @ rank)
    torch.testing.assert_close(value.detach(), tensor(case["value"]), rtol=0, atol=1e-7)
    (grad,) = torch.autograd.grad(value, theta)
    torch.testing.assert_close(grad, tensor(case["grad_wrt_log_rate"]), rtol=0, atol=case["tol"])


ALGORITHMS = {
    "TopK": (ss.traces.TopK(2), (4,)),
    "Ranking": (ss.traces.Ranking(), (3,)),
    "Kruskal": (ss.traces.Kruskal(), (4, 4)),
    "ChuLiuEdmonds": (ss.traces.ChuLiuEdmonds(), (3, 3)),
    "GreedyMatching": (ss.traces.GreedyMatching(), (3, 3)),
    "BinaryTree": (ss.traces.BinaryTree(), (4,)),
}


def critic(utilities: Tensor) -> Tensor:
    dims = tuple(range(2, utilities.dim()))
    return (0.7 * utilities.clamp(-3, 6)).sin().sum(dims) + 1


@pytest.mark.statistical
@pytest.mark.parametrize("name", ALGORITHMS)
def test_unbiased(name: str):
    """Within 5 standard errors: a right estimator fails with chance 6e-7 per entry."""
    algorithm, shape = ALGORITHMS[name]
    generator = torch.Generator().manual_seed(1)
    theta = torch.randn(shape, generator=generator, dtype=torch.float64)
    blank = torch.zeros(1, *shape, dtype=torch.float64)
    size = algorithm.event(algorithm.greedy(blank))[0].numel()
    weights = torch.randn(size, generator=generator, dtype=torch.float64)

    def problem(log_rates: Tensor, w: Tensor) -> tuple[Any, Any]:
        def cost(event: Tensor) -> Tensor:
            return 2 + (event.flatten(2).to(w.dtype) * w).sum(-1).exp()

        return ss.TraceDistribution(algorithm, log_rates), cost

    for run in (
        lambda d, c, g: estimators.trace_score(d, c, 2, generator=g),
        lambda d, c, g: estimators.trace_score(d, c, 1, estimators.SelfCritic(), generator=g),
        lambda d, c, g: estimators.trace_score(d, c, 3, level=estimators.NoiseLevel(), generator=g),
        lambda d, c, g: estimators.trace_relax(d, c, critic, 2, g),
        lambda d, c, g: estimators.score_function(d, c, 2, generator=g),
        lambda d, c, g: estimators.unordered_set(d, c, 2, generator=g),
    ):
        ss.testing.check_estimator(run, problem, [theta, weights], trials=1500)


@pytest.mark.statistical
def test_wrong_conditional_noise_is_caught():
    """RELAX with noise that was not drawn given the trace is biased, and the check sees it."""

    def run(d: Any, c: Any, g: torch.Generator) -> Tensor:
        traces = d.sample((1,), generator=g)
        first, fresh = (-d.noise((1,), generator=g).log() for _ in range(2))
        return estimators.control.controlled(c(d.event(traces)), d.log_prob(traces), first, fresh * 0.5, critic, "x")

    theta = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssertionError, match="standard error"):
        ss.testing.check_estimator(
            run,
            lambda x: (ss.TraceDistribution(ss.traces.TopK(2), x), lambda e: e[..., 0]),
            theta,
            trials=20_000,
        )


def test_critic_on_traces_is_fitted_by_the_squared_gradient():
    theta = torch.zeros(300, 4, 4, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    distribution = ss.TraceDistribution(ss.traces.Kruskal(), theta)
    value = estimators.trace_relax(
        distribution, lambda e: e[..., 0, 1] + 3, lambda u: scale * u[..., 0, 1], 1, torch.Generator().manual_seed(0)
    )
    power = estimators.squared_gradient(value, theta)
    (slope,) = torch.autograd.grad(power, scale)
    assert slope.isfinite() and slope != 0


def test_lengths_and_forbidden_keys():
    theta = torch.zeros(2, 4, 4)
    theta[0, 0, 1] = -torch.inf
    theta.requires_grad_()
    distribution = ss.TraceDistribution(ss.traces.Kruskal(), theta, torch.tensor([4, 3]))
    for run in (
        lambda: estimators.trace_score(distribution, lambda e: e[..., 0, 2], 3),
        lambda: estimators.trace_relax(distribution, lambda e: e[..., 0, 2], lambda u: u[..., 0, 2], 3),
        lambda: estimators.exact(distribution, lambda e: e[..., 0, 2]),
    ):
        value = run()
        assert value.shape == (2,)
        assert torch.autograd.grad(value.sum(), theta)[0].isfinite().all()


def test_log_rates_of_any_scale():
    """The first draw of the noise is not exponentiated to find its trace."""
    log_rates = (2000 * torch.randn(6, 3, 3, dtype=torch.float64)).requires_grad_()
    distribution = ss.TraceDistribution(ss.traces.ChuLiuEdmonds(), log_rates)
    value = estimators.trace_relax(distribution, lambda event: event[..., 0, 1], lambda u: u.tanh().sum((-1, -2)), 4)
    assert value.isfinite().all()
    assert torch.autograd.grad(value.sum(), log_rates)[0].isfinite().all()


def test_other_distributions_are_refused():
    plain = torch.distributions.Categorical(logits=torch.zeros(3))
    with pytest.raises(ss.UnsupportedQueryError, match=r"trace_score.*noise_log_prob"):
        estimators.trace_score(plain, lambda e: e.double())
    with pytest.raises(ss.UnsupportedQueryError, match=r"trace_relax.*algorithm"):
        estimators.trace_relax(plain, lambda e: e.double(), critic)
