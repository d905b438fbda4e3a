"""Random utilities: divergences against quadrature, draws against their laws, stochastic softmax tricks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.relaxations import (
    BinaryEntropy,
    Euclidean,
    ExponentialFamily,
    Gaussian,
    Gumbel,
    Logistic,
    NegativeExponential,
    Utility,
    regularized_argmax,
    stochastic_softmax,
)
from semiring_struct.testing.statistics import check_sampler
from tests.known import CASES, tensor

LAWS = [Gumbel(), Gaussian(), NegativeExponential(), Logistic()]
NEG_INF = float("-inf")


def known_rows() -> list[tuple[Utility, float, Utility, float, float]]:
    """Law, parameter, prior, its parameter, divergence."""
    rows: list[tuple[Utility, float, Utility, float, float]] = []
    for m, b, m0, b0, kl in CASES["kl_gumbel"]["rows_mu1_beta1_mu2_beta2_kl"]:
        rows.append((Gumbel(b), m, Gumbel(b0), m0, kl))
    for rate, rate0, kl in CASES["kl_exponential"]["rows_rate1_rate2_kl"]:
        rows.append((NegativeExponential(), math.log(rate), NegativeExponential(), math.log(rate0), kl))
    for m, m0, kl in CASES["kl_logistic_unit_scale"]["rows_mu1_mu2_kl"]:
        rows.append((Logistic(), m, Logistic(), m0, kl))
    for m, kl in CASES["kl_gaussian_unit"]["rows_mu_kl"]:
        rows.append((Gaussian(), m, Gaussian(), 0.0, kl))
    return rows


@pytest.mark.parametrize("law, theta, prior, theta0, expected", known_rows())
def test_known_divergences(law, theta, prior, theta0, expected) -> None:
    found = law.kl(tensor(theta), tensor(theta0), prior)
    torch.testing.assert_close(found, tensor(expected), rtol=1e-8, atol=1e-8)


def distribution(law: Utility, theta: float) -> Any:
    """scipy's own."""
    if isinstance(law, Gumbel):
        return scipy.stats.gumbel_r(theta, law.scale)
    if isinstance(law, Gaussian):
        return scipy.stats.norm(theta, law.scale)
    if isinstance(law, Logistic):
        return scipy.stats.logistic(theta, law.scale)
    return scipy.stats.expon(scale=math.exp(-theta))


@pytest.mark.parametrize(
    "law, prior",
    [(Gumbel(0.7), Gumbel(1.6)), (Gaussian(2.0), Gaussian(0.6)), (Logistic(1.5), Logistic(1.5)), (LAWS[2], LAWS[2])],
)
def test_divergences_by_quadrature(law, prior) -> None:
    p, q = distribution(law, 0.4), distribution(prior, -0.3)
    low, high = p.ppf(1e-14), p.ppf(1 - 1e-14)
    integral, _ = scipy.integrate.quad(lambda u: p.pdf(u) * (p.logpdf(u) - q.logpdf(u)), low, high, limit=500)
    found = law.kl(tensor(0.4), tensor(-0.3), prior)
    assert found.item() == pytest.approx(integral, abs=1e-7)


@pytest.mark.parametrize("law", LAWS)
def test_divergence_contract(law) -> None:
    theta = torch.tensor([0.0, 1e-9, 0.05, 0.099, 0.101, 3.0, 300.0, -2.0], dtype=torch.float64, requires_grad=True)
    assert law.kl(theta)[0] == 0
    assert (law.kl(theta) >= 0).all()
    assert torch.autograd.gradcheck(law.kl, theta[:6].detach().requires_grad_())
    assert torch.autograd.gradgradcheck(law.kl, theta[:6].detach().requires_grad_())
    holed = torch.tensor([NEG_INF, 0.5, NEG_INF], requires_grad=True)
    found = law.kl(holed, torch.tensor([0.0, NEG_INF, NEG_INF]))
    assert found.tolist() == [0.0, math.inf, 0.0]
    assert torch.autograd.grad(law.kl(holed).sum(), holed)[0].isfinite().all()


@pytest.mark.statistical
@pytest.mark.parametrize("law", [Gumbel(0.5), Gaussian(2.0), NegativeExponential(), Logistic(1.5)])
def test_draws_follow_their_law(law) -> None:
    theta = tensor([-0.7, 0.8])
    generator = torch.Generator().manual_seed(1)
    edges = np.linspace(0.05, 0.95, 19)

    def draw(count: int, shift: float = 0.0) -> Tensor:
        drawn = law.draw(theta.expand(count, 2) + shift, generator=generator)
        cells = []
        for i, x in enumerate(drawn.unbind(-1)):
            own = distribution(law, theta[i].item())
            bounds = -own.ppf(1 - edges) if isinstance(law, NegativeExponential) else own.ppf(edges)
            cells.append(torch.bucketize(x.contiguous(), torch.as_tensor(bounds)))
        return torch.stack(cells, -1)

    law_of_cells = torch.full((20, 2), 0.05, dtype=torch.float64)
    check_sampler(draw, law_of_cells, draws=20_000)
    with pytest.raises(AssertionError):
        check_sampler(lambda count: draw(count, 0.15), law_of_cells, draws=20_000)


@pytest.mark.statistical
def test_hard_choices_are_draws_of_known_models() -> None:
    """Gumbel utilities on options: the softmax; logistic ones on bits: independent bits."""
    theta = tensor([0.3, -0.5, 1.0])
    generator = torch.Generator().manual_seed(2)

    def option(count: int) -> Tensor:
        u = Gumbel(2.0).draw(theta.expand(count, 3), generator=generator)
        return regularized_argmax(ss.OneOf(), u, Euclidean(), 1e-6).argmax(-1)

    check_sampler(option, (theta / 2).softmax(0), draws=20_000)

    def bit(count: int) -> Tensor:
        x = stochastic_softmax(
            ss.BitVector(), theta.expand(count, 3), Logistic(), Euclidean(), 1e-9, generator=generator
        )
        return x.round().long()

    check_sampler(bit, torch.stack([(-theta).sigmoid(), theta.sigmoid()]), draws=20_000)


@pytest.mark.parametrize("law", LAWS)
def test_it_is_a_regularized_argmax_of_drawn_utilities(law) -> None:
    theta = torch.randn(2, 5, dtype=torch.float64)
    theta[0, 1] = NEG_INF
    theta.requires_grad_()
    before = torch.get_rng_state()
    seeds = [torch.Generator().manual_seed(3) for _ in range(3)]
    soft = stochastic_softmax(ss.Subset(2), theta, law, BinaryEntropy(), 0.5, generator=seeds[0])
    again = stochastic_softmax(ss.Subset(2), theta, law, BinaryEntropy(), 0.5, generator=seeds[1])
    u = law.draw(theta, generator=seeds[2])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(soft, again)
    torch.testing.assert_close(soft, regularized_argmax(ss.Subset(2), u, BinaryEntropy(), 0.5))
    gradient = torch.autograd.grad(soft.square().sum(), theta)[0]
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    assert not soft[0, 1].any()

    def at(v: Tensor) -> Tensor:
        seed = torch.Generator().manual_seed(3)
        return stochastic_softmax(ss.Subset(2), v, law, BinaryEntropy(), 0.5, generator=seed)

    assert torch.autograd.gradcheck(at, theta[1:].detach().requires_grad_())


def test_fields_may_be_left_alone() -> None:
    """Correlated subsets: only items are perturbed."""
    theta = ss.SubsetPotentials(torch.randn(3, 5), torch.randn(3, 4))
    seeds = [torch.Generator().manual_seed(4) for _ in range(2)]
    structure = ss.CorrelatedSubset(2)
    soft = stochastic_softmax(structure, theta, (Gumbel(), None), ExponentialFamily(), 0.5, generator=seeds[0])
    u = ss.SubsetPotentials(Gumbel().draw(theta.item, generator=seeds[1]) / 0.5, theta.pair / 0.5)
    torch.testing.assert_close(soft, ss.marginals(structure, u))


def test_refusals() -> None:
    with pytest.raises(TypeError, match="needs a utility"):
        stochastic_softmax(ss.OneOf(), torch.zeros(3), "gumbel", Euclidean())
    with pytest.raises(TypeError, match="own kind"):
        Gumbel().kl(torch.zeros(2), 0.0, Gaussian())
    with pytest.raises(ValueError, match="equal scales"):
        Logistic().kl(torch.zeros(2), 0.0, Logistic(2.0))
    with pytest.raises(ValueError, match="scale above 0"):
        Gumbel(0.0)
