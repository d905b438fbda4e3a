"""Smoothed programs and relaxed draws."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct import relaxations
from tests.known import CASES, same, tensor


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "semiring"), [("softmax", ss.LogSemiring()), ("sparsemax", ss.SparsemaxSemiring())])
def test_expected_paths_and_their_derivatives(name: str, semiring: ss.Semiring):
    case = CASES[f"max_omega_viterbi_{name}"]
    theta = tensor(case["theta_t_cur_prev"])  # [t, current, previous]; at t = 0 the column 0 stands for the start
    start, move = theta[0, :, 0], theta[1:].mT
    emission = torch.zeros(len(theta), len(start), dtype=torch.float64).index_copy(0, torch.tensor([0]), start[None])
    phi = ss.ChainPotentials(emission.requires_grad_(), move.clone().requires_grad_())
    soft = relaxations.smoothed(ss.LinearChain(), phi, semiring)
    grad = tensor(case["grad"])
    same(soft.transition.detach(), grad[1:].mT.tolist(), 1e-8)
    same(soft.emission[0].detach(), grad[0, :, 0].tolist(), 1e-8)
    direction = tensor(case["direction"])
    inner = (soft.transition * direction[1:].mT).sum() + (soft.emission[0] * direction[0, :, 0]).sum()
    bent = torch.autograd.grad(inner, phi)
    expected = tensor(case["hessian_vector"])
    same(bent[1], expected[1:].mT.tolist(), case["tol"])
    same(bent[0][0], expected[0, :, 0].tolist(), case["tol"])


def test_the_log_semiring_gives_marginals():
    phi = torch.randn(3, 5, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(relaxations.smoothed(ss.OneOf(), phi, ss.LogSemiring()), ss.marginals(ss.OneOf(), phi))


def test_gumbel_crf_relaxes_draws():
    g = seeded(1)
    phi = ss.ChainPotentials(torch.randn(4, 6, 3, generator=g), torch.randn(4, 5, 3, 3, generator=g))
    leaves = ss.ChainPotentials(*(f.requires_grad_() for f in phi))
    soft = relaxations.gumbel_crf(ss.LinearChain(), leaves, 0.5, generator=seeded(2))
    torch.testing.assert_close(soft.emission.sum(-1), torch.ones(4, 6))
    for grad in torch.autograd.grad(soft.emission.square().sum(), leaves):
        assert bool(grad.isfinite().all()) and float(grad.abs().sum()) > 0
    hard = relaxations.gumbel_crf(ss.LinearChain(), leaves, 0.5, hard=True, generator=seeded(2))
    assert bool(ss.contains(ss.LinearChain(), phi, hard).all())
    assert any(float(x.abs().sum()) > 0 for x in torch.autograd.grad(hard.emission.square().sum(), leaves))


def test_gumbel_softmax_of_one_hots_is_the_concrete_draw():
    case = CASES["concrete_density"]
    phi, y = tensor(case["log_alpha"]), tensor(case["y"])
    law = torch.distributions.RelaxedOneHotCategorical(torch.tensor(case["temperature"]), logits=phi)
    same(law.log_prob(y), case["logpdf"], 1e-6)
    rows = 20_000
    ours = relaxations.gumbel_softmax(ss.OneOf(), phi.expand(rows, 3), case["temperature"], generator=seeded(3))
    torch.manual_seed(4)
    theirs = law.sample((rows,))
    error = 5 * ((ours.var(0) + theirs.var(0)) / rows).sqrt()
    assert bool(((ours.mean(0) - theirs.mean(0)).abs() < error).all())
    torch.testing.assert_close(ours.sum(-1), torch.ones(rows, dtype=torch.float64))
    with pytest.raises(ValueError, match="temperature"):
        relaxations.gumbel_softmax(ss.OneOf(), phi, 0.0)


def test_gumbel_softmax_has_a_pathwise_gradient():
    phi = torch.randn(3, dtype=torch.float64, generator=seeded()).requires_grad_()

    def draw(x: torch.Tensor) -> torch.Tensor:
        return relaxations.gumbel_softmax(ss.OneOf(), x, 0.7, generator=seeded(5))

    assert torch.autograd.gradcheck(draw, phi)
