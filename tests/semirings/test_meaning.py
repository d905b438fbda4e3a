"""What each semiring computes, and what its gradient means, on the paths of a small lattice."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from semiring_struct import semirings as s
from semiring_struct.ops import NEG_INF
from semiring_struct.semirings import Semiring

N, C = 4, 3


def potentials() -> Tensor:
    """Two instances of N steps among C states, `(2, N, C, C)`: all free, and a quarter forbidden."""
    x = torch.randn(2, N, C, C, dtype=torch.float64)
    x[1][torch.rand(N, C, C) < 0.25] = NEG_INF
    x[1, :, 0, 0] = 0.0
    return x


def total(semiring: Semiring, log_potentials: Tensor) -> Tensor:
    return over_paths(semiring, semiring.lift(log_potentials))


def over_paths(semiring: Semiring, lifted: Tensor) -> Tensor:
    """Sum over all paths of N moves, as products of matrices."""
    moves = lifted.unbind(-3)
    product = moves[0]
    for move in moves[1:]:
        product = semiring.matmul(product, move)
    return semiring.read(semiring.sum(semiring.sum(product, -1), -1))


def paths() -> Tensor:
    """Every path, from the definition -> `(C^(N+1), N, C, C)`."""
    events = torch.zeros(C ** (N + 1), N, C, C, dtype=torch.float64)
    for event, states in zip(events, itertools.product(range(C), repeat=N + 1), strict=True):
        for i in range(N):
            event[i, states[i], states[i + 1]] = 1
    return events


def scores(x: Tensor) -> Tensor:
    """`(paths, 2)`."""
    used = paths()[:, None] > 0
    return torch.where(used, x, 0.0).sum((-3, -2, -1))


def gradient(value: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(value.sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_log_and_softmax(temperature) -> None:
    x = potentials().requires_grad_()
    semiring = s.LogSemiring() if temperature == 1 else s.SoftmaxSemiring(temperature)
    value = total(semiring, x)
    torch.testing.assert_close(value, temperature * (scores(x) / temperature).logsumexp(0))
    probs = (scores(x.detach()) / temperature).softmax(0)
    torch.testing.assert_close(gradient(value, x), torch.einsum("pb,p...->b...", probs, paths()))


def test_real() -> None:
    x = potentials()
    torch.testing.assert_close(total(s.RealSemiring(), x), scores(x).exp().sum(0))


def test_counting_and_boolean() -> None:
    x = potentials()
    allowed = (scores(x) > NEG_INF).sum(0)
    assert torch.equal(total(s.CountingSemiring(), x), allowed.double())
    assert total(s.BooleanSemiring(), x).tolist() == [True, True]
    closed = x.masked_fill(torch.ones(C, C, dtype=torch.bool), NEG_INF)
    assert total(s.BooleanSemiring(), closed).tolist() == [False, False]
    assert total(s.CountingSemiring(), x.float()).dtype == torch.float64


def test_max() -> None:
    x = potentials().requires_grad_()
    value = total(s.MaxSemiring(), x)
    assert torch.equal(value, scores(x).amax(0)) or torch.allclose(value, scores(x).amax(0), rtol=1e-14)
    best = torch.autograd.grad(value.sum(), x)[0]
    assert torch.equal(best, paths()[scores(x).argmax(0)])


def test_max_of_ties_is_one_path() -> None:
    x = torch.zeros(1, N, C, C, requires_grad=True)
    best = torch.autograd.grad(total(s.MaxSemiring(), x).sum(), x)[0]
    assert ((best == 0) | (best == 1)).all()
    assert torch.equal(best.sum((-1, -2)), torch.ones(1, N))


@pytest.mark.parametrize("k", [1, 4, 300])
def test_kbest(k) -> None:
    x = potentials().requires_grad_()
    value = total(s.KBestSemiring(k), x)
    expected = scores(x).sort(0, descending=True).values[:k]
    torch.testing.assert_close(value[: len(expected)], expected)
    assert (value[len(expected) :] == NEG_INF).all()
    for i in range(min(k, 4)):
        event = torch.autograd.grad(value[i].sum(), x, retain_graph=True)[0]
        assert (paths()[:, None] == event).flatten(2).all(-1).sum(0).tolist() == [1, 1]
        torch.testing.assert_close((torch.where(event > 0, x, 0.0)).sum((-3, -2, -1)), value[i])


@pytest.mark.parametrize("semiring", [s.SampleSemiring(torch.Generator()), s.GumbelSoftmaxSemiring(1.0, hard=True)])
@pytest.mark.statistical
def test_draws(semiring) -> None:
    """Frequencies of 20000 draws within five standard errors of the probabilities of 243 paths."""
    n = 20_000
    x = potentials()[1]
    many = x.expand(n, N, C, C).clone().requires_grad_()
    value = total(semiring, many)
    torch.testing.assert_close(value[0], scores(x[None])[:, 0].logsumexp(0))
    draws = torch.autograd.grad(value.sum(), many)[0]
    hits = torch.einsum("pnij,dnij->dp", paths(), draws) == N
    assert torch.equal(hits.sum(-1), torch.ones(n, dtype=torch.int64))
    probs = scores(x[None])[:, 0].softmax(0)
    error = (hits.double().mean(0) - probs) / (probs * (1 - probs) / n + 1e-9).sqrt()
    assert error.abs().max() < 5
    assert not hits[:, probs == 0].any()


def test_draws_repeat_with_the_generator() -> None:
    def draw(seed: int) -> Tensor:
        x = torch.zeros(50, N, C, C, requires_grad=True)
        semiring = s.SampleSemiring(torch.Generator().manual_seed(seed))
        return torch.autograd.grad(total(semiring, x).sum(), x)[0]

    before = torch.get_rng_state()
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_is_pathwise(hard) -> None:
    """The relaxed event's own gradient is that of the soft draw at fixed noise, through the log-partitions too."""
    x, tangent = potentials()[:1], torch.randn(1, N, C, C, dtype=torch.float64)
    weight = torch.randn(1, N, C, C, dtype=torch.float64)

    def event(y: Tensor, hard: bool = False) -> Tensor:
        semiring = s.GumbelSoftmaxSemiring(0.7, hard, torch.Generator().manual_seed(3))
        return gradient(total(semiring, y), y)

    leaf = x.clone().requires_grad_()
    relaxed = event(leaf, hard)
    torch.testing.assert_close(relaxed.sum((-1, -2)), torch.ones(1, N, dtype=torch.float64))
    assert hard == bool(((relaxed == 0) | (relaxed == 1)).all())
    if not hard:
        moved = [event((x + h * tangent).requires_grad_()).detach() for h in (1e-6, -1e-6)]
        slope = torch.autograd.grad((relaxed * weight).sum(), leaf)[0]
        torch.testing.assert_close(
            (slope * tangent).sum(), ((moved[0] - moved[1]) * weight).sum() / 2e-6, rtol=1e-6, atol=1e-7
        )
    else:
        assert torch.autograd.grad((relaxed * weight).sum(), leaf)[0].abs().sum() > 0


def test_sparse_relaxations_are_mixtures_of_few_paths() -> None:
    x = (3 * potentials()).requires_grad_()
    for semiring in (s.SparsemaxSemiring(), s.EntmaxSemiring(1.5)):
        mean = gradient(total(semiring, x), x)
        torch.testing.assert_close(mean.sum((-1, -2)), torch.ones(2, N, dtype=torch.float64))
        inflow, outflow = mean[:, :-1].sum(-2), mean[:, 1:].sum(-1)
        torch.testing.assert_close(inflow, outflow)
        assert (mean == 0).double().mean() > 0.3


def test_sparsemax_known_answer() -> None:
    """Three ties in one flat choice and in two nested ones differ: grouping matters."""
    semiring = s.SparsemaxSemiring()
    zero = torch.zeros(1, dtype=torch.float64)
    flat = semiring.sum(torch.zeros(1, 3, dtype=torch.float64), -1)
    nested = semiring.add(semiring.add(zero, zero), zero)
    # with the regulariser |p|^2 / 2, as usually printed, these are less 1/2 per choice: -1/6 and -0.359375
    torch.testing.assert_close(flat - 0.5, torch.full_like(flat, -1 / 6))
    half = semiring.add(zero, zero) - 0.5
    torch.testing.assert_close(semiring.add(half, zero) - 0.5, torch.full_like(half, -0.359375))
    assert not torch.allclose(flat, nested)


def test_entropy() -> None:
    x = potentials().requires_grad_()
    probs = scores(x).softmax(0)
    expected = torch.special.entr(probs).sum(0)
    value = total(s.EntropySemiring(), x)
    torch.testing.assert_close(value, expected)
    surprise = torch.where(probs > 0, probs.clamp_min(1e-300).log() + expected, 0.0)
    slope = -torch.einsum("pb,p...->b...", probs * surprise, paths())
    torch.testing.assert_close(gradient(value, x), slope)


def test_expectation() -> None:
    x, values = potentials(), torch.randn(2, N, C, C, dtype=torch.float64)
    probs = scores(x).softmax(0)
    additive = torch.einsum("pnij,bnij->pb", paths(), values)
    answer = over_paths(s.ExpectationSemiring(), s.ExpectationSemiring().lift(x, values))
    torch.testing.assert_close(answer, torch.stack([scores(x).logsumexp(0), (probs * additive).sum(0)]))
    default = total(s.ExpectationSemiring(), x)
    torch.testing.assert_close(default[1], (probs * scores(x).clamp_min(-1e3)).sum(0))


def test_expectation_nested_gives_the_covariance() -> None:
    x = potentials()
    a, b = torch.randn(2, 2, N, C, C, dtype=torch.float64)
    probs = scores(x).softmax(0)
    over = [torch.einsum("pnij,bnij->pb", paths(), v) for v in (a, b)]
    mean_a, mean_b = ((probs * v).sum(0) for v in over)
    covariance = (probs * (over[0] - mean_a) * (over[1] - mean_b)).sum(0)
    semiring = s.ExpectationSemiring(s.ExpectationSemiring())
    answer = over_paths(semiring, semiring.lift(x, (a, b)))
    assert answer.shape == (2, 2, 2)
    torch.testing.assert_close(answer[0, 1], mean_b)
    torch.testing.assert_close(answer[1, 0], mean_a)
    torch.testing.assert_close(answer[1, 1], covariance)
    own = total(s.ExpectationSemiring(s.ExpectationSemiring()), x)
    finite = scores(x).clamp_min(-1e3)
    torch.testing.assert_close(own[1, 1], (probs * (finite - (probs * finite).sum(0)) ** 2).sum(0))


def test_expectation_refuses_directions_it_has_no_level_for() -> None:
    x = potentials()
    with pytest.raises(ValueError, match="1 more directions than it is nested deep"):
        s.ExpectationSemiring().lift(x, (x, x))


@pytest.mark.parametrize(
    "semiring",
    [s.LogSemiring(), s.SparsemaxSemiring(), s.EntmaxSemiring(1.3), s.SampleSemiring(), s.GumbelSoftmaxSemiring(0.5),
     s.KBestSemiring(3), s.EntropySemiring(), s.ExpectationSemiring(), s.RealSemiring(), s.MaxSemiring()],
    ids=repr,
)  # fmt: skip
def test_infeasible_has_no_gradient(semiring) -> None:
    x = potentials()
    x[0, 1] = NEG_INF
    x.requires_grad_()
    value = total(semiring, x)
    assert not value.isnan().any()
    first = gradient(torch.where(value == NEG_INF, 0.0, value), x)
    assert first.isfinite().all()
    assert not first[0].any()
    if first.requires_grad:
        second = torch.autograd.grad(first.square().sum(), x)[0]
        assert second.isfinite().all()
        assert not second[0].any()
