"""Shapes, calls, refusals and determinism of the estimators, and what their gradients must not reach."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal, OneHotCategorical

import semiring_struct as ss
from semiring_struct import estimators
from tests.estimators.problems import CATEGORICAL, CHAIN, FLOATING, TREE, Problem

SAMPLED = {
    "score_function": lambda d, c, g: estimators.score_function(d, c, 2, generator=g),
    "self-critic": lambda d, c, g: estimators.score_function(d, c, 2, estimators.SelfCritic(), g),
    "independent": lambda d, c, g: estimators.score_function(d, c, 2, estimators.IndependentSample(), g),
    "muprop": lambda d, c, g: estimators.muprop(d, c, 2, g),
    "sum_and_sample": lambda d, c, g: estimators.sum_and_sample(d, c, 2, 3, g),
    "unordered_set": lambda d, c, g: estimators.unordered_set(d, c, 3, True, g),
    "vimco": lambda d, c, g: estimators.vimco(d, c, 4, g),
    "rebar": lambda d, c, g: estimators.rebar(d, c, generator=g),
    "relax": lambda d, c, g: estimators.relax(d, c, lambda u: u.sum(-1), generator=g),
}
EVENTS = {
    "score_function": 2, "self-critic": 3, "independent": 4, "muprop": 3, "sum_and_sample": 5, "unordered_set": 3,
    "vimco": 4, "rebar": 3, "relax": 1,
}  # fmt: skip


def gradients(value: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(value.sum(), parameters, materialize_grads=True))


def leaves(problem: Problem, seed: int = 0) -> list[Tensor]:
    return [p.requires_grad_() for p in problem.parameters(seed)]


@pytest.mark.parametrize("name", SAMPLED)
def test_generator_decides_everything(name: str):
    given = leaves(CATEGORICAL)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    runs = []
    for _ in range(2):
        counted = estimators.CountedCost(CATEGORICAL(*given)[1])
        value = SAMPLED[name](CATEGORICAL(*given)[0], counted, torch.Generator().manual_seed(5))
        assert value.shape == CATEGORICAL.batch
        assert counted.events == EVENTS[name]
        runs.append([value.detach(), *gradients(value, given)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    value = SAMPLED[name](*CATEGORICAL(*given), None)
    assert not torch.equal(torch.get_rng_state(), before)
    assert value.isfinite().all()


@pytest.mark.parametrize("problem", FLOATING, ids=str)
@pytest.mark.parametrize("name", [n for n in SAMPLED if n not in ("rebar", "relax")])
def test_any_distribution(name: str, problem: Problem):
    given = leaves(problem)
    value = SAMPLED[name](*problem(*given), torch.Generator().manual_seed(1))
    assert value.shape == problem.batch
    assert value.dtype == torch.float64
    assert all(g.isfinite().all() for g in gradients(value, given))


@pytest.mark.parametrize(
    "name", ["score_function", "self-critic", "independent", "sum_and_sample", "unordered_set", "rebar"]
)
def test_baselines_reach_no_parameter_of_the_cost(name: str):
    """The cost's own parameters get the gradient of the weighted costs of the draws, and nothing from baselines."""
    theta = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    seen: list[Tensor] = []

    def gradient(weights: Tensor, frozen: bool) -> Tensor:
        def cost(event: Tensor) -> Tensor:
            own = weights.detach() if frozen and len(seen) else weights
            seen.append(event)
            return (event * own).sum(-1)

        value = SAMPLED[name](OneHotCategorical(logits=theta), cost, torch.Generator().manual_seed(2))
        return gradients(value, [weights])[0]

    weights = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64).requires_grad_()
    all_calls = gradient(weights, False)
    seen.clear()
    assert torch.equal(all_calls, gradient(weights, True))
    torch.testing.assert_close(
        all_calls.sum(), torch.ones((), dtype=torch.float64)
    ) if name != "unordered_set" else None


def test_learned_baseline_is_fitted_by_the_same_backward():
    theta = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    network = nn.Linear(2, 1, dtype=torch.float64)
    inputs = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    prediction = network(inputs).squeeze(-1)
    kept: list[Tensor] = []

    def cost(event: Tensor) -> Tensor:
        kept.append((event * weights * torch.arange(3)).sum(-1))
        return kept[-1]

    baseline = estimators.Learned(prediction)
    value = estimators.score_function(
        OneHotCategorical(logits=theta), cost, 4, baseline, torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(value, kept[0].mean(0))
    got = torch.autograd.grad(value.sum(), [weights, *network.parameters()], retain_graph=True)
    error = (network(inputs).squeeze(-1) - kept[0].detach()).square().mean(0)
    want = [
        *torch.autograd.grad(kept[0].mean(0).sum(), weights),
        *torch.autograd.grad(error.sum(), network.parameters()),
    ]
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w)


def test_moving_average_remembers_and_can_be_saved():
    average = estimators.MovingAverage(0.5)
    distribution = Categorical(logits=torch.zeros(2))
    for cost, before in [(4.0, 0.0), (1.0, 4.0), (1.0, 2.0)]:
        draws = estimators.Draws(distribution, lambda e: e, None, torch.full((3, 2), cost), None)
        assert torch.allclose(average.value(draws), torch.full((3, 2), before))
    again = estimators.MovingAverage(0.5)
    again.load_state_dict(average.state_dict())
    assert torch.equal(again.total, average.total)
    with pytest.raises(ValueError, match="decay"):
        estimators.MovingAverage(1.0)


def test_critic_is_fitted_by_the_squared_gradient():
    """First-order backward gives it nothing; the squared gradient gives it the gradient of the variance."""
    theta = torch.tensor([0.2, -0.4, 0.1], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    temperature = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)

    def estimate(s: Tensor, t: Tensor) -> Tensor:
        wide = theta.expand(400, 3)
        return estimators.rebar(
            OneHotCategorical(logits=wide), lambda e: (e[..., 0] - 0.4).square() + e[..., 1], t, s, 1,
            torch.Generator().manual_seed(0),
        )  # fmt: skip

    value = estimate(scale, temperature)
    assert torch.autograd.grad(value.sum(), [scale, temperature], retain_graph=True, materialize_grads=True) == (0, 0)
    power = estimators.squared_gradient(value, theta)
    got = torch.autograd.grad(power, [scale, temperature])
    for i, parameter in enumerate((scale, temperature)):
        step = 1e-6
        ends = []
        for sign in (1, -1):
            moved = [scale.detach(), temperature.detach()]
            moved[i] = parameter.detach() + sign * step
            ends.append(estimators.squared_gradient(estimate(*moved), theta).detach())
        torch.testing.assert_close(got[i], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-5)


def test_additive_cost_needs_no_list():
    chain = ss.LinearChain()
    phi = ss.ChainPotentials(*(p.requires_grad_() for p in CHAIN.parameters()[:2]))
    values = ss.ChainPotentials(*CHAIN.parameters(3)[:2])
    cost = estimators.AdditiveCost(chain, values)
    distribution = ss.StructDistribution(chain, phi)
    counted = estimators.CountedCost(cost)
    by_program, by_list = estimators.exact(distribution, cost), estimators.exact(distribution, counted)
    torch.testing.assert_close(by_program, by_list)
    for a, b in zip(gradients(by_program, list(phi)), gradients(by_list, list(phi)), strict=True):
        torch.testing.assert_close(a, b)
    assert (counted.calls, counted.events) == (1, 8)
    long = ss.ChainPotentials(torch.zeros(40, 3), torch.zeros(1, 3, 3))
    ones = ss.ChainPotentials(torch.ones(40, 3), torch.zeros(1, 3, 3))
    assert torch.allclose(
        estimators.exact(ss.StructDistribution(chain, long), estimators.AdditiveCost(chain, ones)), torch.tensor(40.0)
    )


def test_lengths_and_blanks():
    """Instances with fewer events than others, and than asked for: the cost meets structures only."""
    lengths = torch.tensor([3, 1, 2, 0])
    phi = ss.ChainPotentials(torch.zeros(4, 3, 2, dtype=torch.float64), torch.zeros(4, 1, 2, 2, dtype=torch.float64))
    distribution = ss.StructDistribution(ss.LinearChain(), phi, lengths)

    def cost(event: Any) -> Tensor:
        assert distribution.contains(event).all()
        return event.emission[..., 0].sum(-1)

    want = lengths / 2
    for run in (
        lambda: estimators.exact(distribution, cost),
        lambda: estimators.unordered_set(distribution, cost, 8),
        lambda: estimators.sum_and_sample(distribution, cost, 8),
        lambda: estimators.sparse_expectation(distribution, cost, estimators.Sparsemax()),
        lambda: estimators.sparse_expectation(distribution, cost, estimators.TopKSparsemax(8)),
    ):
        torch.testing.assert_close(run(), want.double())


def test_infinite_cost_of_an_impossible_event():
    theta = torch.tensor([0.0, 1.0, -torch.inf], requires_grad=True)
    distribution = OneHotCategorical(logits=theta)
    value = estimators.exact(distribution, lambda e: torch.where(e[..., 2] > 0, torch.inf, e[..., 0]))
    (grad,) = torch.autograd.grad(value, theta)
    torch.testing.assert_close(value.detach(), torch.tensor([0.0, 1.0]).softmax(0)[0])
    assert grad[:2].isfinite().all() and grad[2] == 0


def test_sparsemax_gradient_reaches_the_scores():
    phi = torch.tensor([0.3, 0.1, -0.2, -2.0], dtype=torch.float64, requires_grad=True)
    costs = torch.tensor([1.0, -1.0, 2.0, 5.0], dtype=torch.float64)
    counted = estimators.CountedCost(lambda e: (e * costs).sum(-1))
    for kind, calls in [
        (estimators.Sparsemax(), 3),
        (estimators.TopKSparsemax(3), 3),
        (estimators.TopKSparsemax(2), 2),
    ]:
        counted.events = 0

        def value(x: Tensor, kind: Any = kind) -> Tensor:
            return estimators.sparse_expectation(ss.StructDistribution(ss.OneOf(), x), counted, kind)

        value(phi)
        assert counted.events == calls
        assert torch.autograd.gradcheck(value, phi)


INDICES = Categorical(logits=torch.zeros(3))
NOTHING = ss.StructDistribution(ss.OneOf(), torch.full((3,), -torch.inf))


def test_sparsemap_averages_few_events():
    """The weights average the events to the projection; the cost sees these events only."""
    phi = torch.tensor([[0.6, 1.4, -0.3, 0.2], [0.1, 0.8, 0.5, 0.3]], dtype=torch.float64, requires_grad=True)
    costs = torch.tensor([1.0, -1.0, 2.0, 5.0], dtype=torch.float64)
    for structure in (ss.OneOf(), ss.BitVector(), ss.Subset(2), ss.Subset(at_most=2)):
        distribution = ss.StructDistribution(structure, phi)
        counted = estimators.CountedCost(lambda e: (e * costs).sum(-1))
        value = estimators.sparse_expectation(distribution, counted, estimators.SparseMAP())
        projected = ss.relaxations.sparsemap(structure, phi)
        torch.testing.assert_close(value, (projected.mean * costs).sum(-1))
        got, want = (torch.autograd.grad(v.sum(), phi) for v in (value, (projected.mean * costs).sum(-1)))
        torch.testing.assert_close(got, want)
        assert counted.events == len(projected.weights) <= 5


REFUSED = [
    (lambda d, c: estimators.sparse_expectation(d, c, estimators.SparseMAP()), ss.UnsupportedQueryError, "structure"),
    (lambda d, c: estimators.exact(Normal(0.0, 1.0), c), ss.UnsupportedQueryError, "exact"),
    (lambda d, c: estimators.sum_and_sample(Normal(0.0, 1.0), c, 2), ss.UnsupportedQueryError, "Normal"),
    (lambda d, c: estimators.rebar(INDICES, c), ss.UnsupportedQueryError, "rebar.*OneHotCategorical"),
    (lambda d, c: estimators.muprop(INDICES, c), ss.UnsupportedQueryError, "muprop.*OneHotCategorical"),
    (lambda d, c: estimators.relax(CHAIN(*CHAIN.parameters())[0], c, c), ss.UnsupportedQueryError, "one-of-k"),
    (lambda d, c: estimators.muprop(d, lambda e: e.argmax(-1)), ValueError, "differentiable"),
    (lambda d, c: estimators.score_function(d, lambda e: e), ss.ShapeError, "samples"),
    (lambda d, c: estimators.score_function(d, lambda e: 1.0), TypeError, "float"),
    (lambda d, c: estimators.score_function(d, c, 0), ValueError, "samples"),
    (lambda d, c: estimators.sum_and_sample(d, c, 0), ValueError, "k must"),
    (lambda d, c: estimators.unordered_set(d, c, 13), ValueError, "12"),
    (lambda d, c: estimators.vimco(d, c, 1), ValueError, "at least 2"),
    (lambda d, c: estimators.exact(Independent(Bernoulli(logits=torch.zeros(20)), 1), c), ValueError, "2\\^20"),
    (lambda d, c: estimators.exact(NOTHING, c), ss.InfeasibleError, "no event"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call(OneHotCategorical(logits=torch.zeros(3)), lambda e: e[..., 0])


def test_without_a_critic_the_plain_score_is_left():
    given = leaves(CATEGORICAL)
    value = estimators.relax(*CATEGORICAL(*given), generator=torch.Generator().manual_seed(0))
    distribution, cost = CATEGORICAL(*given)
    utilities = estimators.noise.noisy_choice(distribution, "").draw(1, torch.Generator().manual_seed(0))
    hot = torch.nn.functional.one_hot(utilities.argmax(-1), 4).double()
    want = (cost(hot) + cost(hot).detach() * distribution.log_prob(hot))[0]
    for got, expected in zip(gradients(value, given), gradients(want, given), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SAMPLED)
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype):
    phi = torch.tensor([0.5, -0.2, 0.9], dtype=dtype, requires_grad=True)
    distribution = ss.StructDistribution(ss.OneOf(), phi)
    value = SAMPLED[name](distribution, lambda e: e[..., 0].square(), torch.Generator().manual_seed(0))
    assert value.dtype == torch.float32
    assert gradients(value, [phi])[0].isfinite().all()


def test_integer_costs_and_single_draws():
    distribution = OneHotCategorical(logits=torch.zeros(2, 3))
    value = estimators.score_function(distribution, lambda e: e.argmax(-1), generator=torch.Generator().manual_seed(0))
    assert value.shape == (2,) and value.is_floating_point()


def test_self_critic_where_torch_has_no_mode():
    distribution = Independent(Bernoulli(logits=torch.zeros(3)), 1)
    value = estimators.score_function(distribution, lambda e: e.sum(-1), 2, estimators.SelfCritic())
    assert value.isfinite()


def test_tree_gradients_are_finite_at_large_scale():
    phi = (1e4 * TREE.parameters()[0]).requires_grad_()
    distribution = ss.StructDistribution(ss.ProjectiveTree(), phi)
    for name in ("score_function", "self-critic", "muprop", "sum_and_sample", "unordered_set"):
        value = SAMPLED[name](distribution, lambda e: e[..., 0, :].sum(-1), torch.Generator().manual_seed(0))
        assert gradients(value, [phi])[0].isfinite().all()
