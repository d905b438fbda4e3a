"""Perturbed maxima against their closed forms, and with fixed noise against the stated estimate."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import relaxations
from semiring_struct.relaxations import Gaussian, Gumbel, Logistic, NegativeExponential, Utility
from tests.enumerations.listed import Listed, subsets
from tests.known import CASES, same, tensor

DRAWS = 60_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Given(Utility):
    """Noise that was drawn elsewhere."""

    law: Utility
    values: Tensor

    def draw(self, theta: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return theta + self.values

    def score(self, theta: Tensor, utilities: Tensor) -> Tensor:
        return self.law.score(theta, utilities)

    def divergence(self, theta: Tensor, theta0: Tensor, scale0: float) -> Tensor:
        return self.law.divergence(theta, theta0, scale0)


@pytest.mark.parametrize(("kind", "law"), [("normal", Gaussian), ("gumbel", Gumbel)])
def test_fixed_noise(kind: str, law: type):
    case = CASES["perturbed_fixed_noise_batch"]
    phi = tensor(case["theta"]).requires_grad_()
    drawn = case["sigma"] * tensor(case[f"{kind}_noise"])
    mean = relaxations.perturbed(ss.OneOf(), phi, Given(law(case["sigma"]), drawn), len(drawn))
    same(mean.detach(), case[f"y_mean_{kind}"])
    mean.backward(tensor(case["cotangent"]))
    assert phi.grad is not None
    same(phi.grad, case[f"vjp_{kind}"])


def close_in_mean(rows: Tensor, expected: Tensor, tolerance: float = 0.0) -> None:
    """Within five standard errors (a false alarm of about 1e-6 each), whatever quadrature left aside."""
    error = 5 * rows.std(0) / len(rows) ** 0.5 + tolerance
    assert bool(((rows.mean(0) - expected).abs() <= error).all())


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["perturbed_onehot_gumbel_sigma1.0", "perturbed_onehot_gumbel_sigma0.5",
                                  "perturbed_onehot_normal_sigma1.0", "perturbed_onehot_normal_sigma0.5",
                                  "perturbed_top2_gumbel"])  # fmt: skip
def test_means_and_gradients_are_unbiased(name: str):
    case = CASES[name]
    theta = tensor(case["theta"])
    structure = Listed(subsets(4, 2)) if "top2" in name else ss.OneOf()
    law = (Gaussian if "normal" in name else Gumbel)(case.get("sigma", 1.0))
    phi = theta.repeat(DRAWS, 1).requires_grad_()
    rows = relaxations.perturbed(structure, phi, law, 1, generator=seeded(1))
    close_in_mean(rows.detach(), tensor(case["value_y"]), 1e-6)
    g = torch.tensor([1.0, -0.5, 2.0, 0.3], dtype=torch.float64)[: len(theta)]
    rows.backward(g.expand_as(rows))
    assert phi.grad is not None
    close_in_mean(phi.grad, g @ tensor(case["jacobian"]), 1e-6)


@pytest.mark.statistical
@pytest.mark.parametrize("sigma", ["1.0", "0.5"])
def test_loss(sigma: str):
    case = CASES[f"perturbed_onehot_normal_sigma{sigma}"]
    phi = tensor(case["theta"]).repeat(DRAWS, 1).requires_grad_()
    target = torch.eye(3, dtype=torch.float64)[0]
    loss = relaxations.perturbed_loss(ss.OneOf(), phi, target, Gaussian(float(sigma)), generator=seeded(2))
    close_in_mean(loss.detach()[:, None], tensor([case["fy_loss_target_onehot0"]]), 1e-6)
    (grad,) = torch.autograd.grad(loss.sum(), [phi])
    close_in_mean(grad, tensor(case["fy_grad_target_onehot0"]), 1e-6)


def test_structures_with_lengths_and_forbidden_parts():
    g = seeded(3)
    phi = ss.ChainPotentials(torch.randn(2, 4, 3, generator=g), torch.randn(2, 3, 3, 3, generator=g))
    phi.transition[:, :, 0, 1] = float("-inf")
    leaves = ss.ChainPotentials(*(f.requires_grad_() for f in phi))
    lengths = torch.tensor([4, 2])
    mean = relaxations.perturbed(ss.LinearChain(), leaves, samples=5, lengths=lengths, generator=g)
    assert bool((mean.emission[1, 2:] == 0).all()) and bool((mean.transition[:, :, 0, 1] == 0).all())
    torch.testing.assert_close(mean.emission.sum((-2, -1)), lengths.float())
    loss = relaxations.perturbed_loss(ss.LinearChain(), leaves, ss.argmax(ss.LinearChain(), phi, lengths=lengths),
                                      samples=5, lengths=lengths, generator=g)  # fmt: skip
    for value in (mean.emission.square().sum() + mean.transition.square().sum(), loss.sum()):
        for grad in torch.autograd.grad(value, leaves):
            assert bool(grad.isfinite().all())


def test_numbers_of_samples_are_checked():
    for samples in (0, -1, 2.0):
        with pytest.raises(ValueError, match="samples"):
            relaxations.perturbed(ss.OneOf(), torch.zeros(3), samples=samples)  # type: ignore[arg-type]


def test_a_number_in_the_place_of_noise_is_refused():
    for wrong in (4, None, torch.zeros(3), Gumbel):
        with pytest.raises(TypeError, match=r"needs noise such as Gumbel\(scale\).*draws is samples="):
            relaxations.perturbed(ss.Subset(2), torch.zeros(2, 5), wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs noise"):
        relaxations.perturbed_loss(ss.Subset(1), torch.zeros(2), torch.eye(2)[0], 4)  # type: ignore[arg-type]


def test_lengths_in_any_form():
    phi, tree = torch.randn(2, 3, 3), ss.SpanTree()
    answers = [
        relaxations.perturbed(tree, phi, samples=3, lengths=lengths, generator=seeded(0))
        for lengths in (torch.tensor([3, 1]), [3, 1], torch.tensor([[1, 1, 1], [1, 0, 0]]))
    ]
    assert all(torch.equal(answer, answers[0]) for answer in answers)
    assert torch.equal(answers[0].sum((1, 2)), torch.tensor([5.0, 1.0]))


@pytest.mark.statistical
@pytest.mark.parametrize("law", [Gumbel(0.8), Gaussian(1.3), Logistic(0.6), NegativeExponential()], ids=repr)
def test_scores_are_the_derivatives_of_log_densities(law: Utility):
    """For any function h, `d/dtheta E[h(U)] = E[h(U) score]`, and the left side has a pathwise form."""
    rows = 200_000
    theta = torch.full((rows,), 0.3, dtype=torch.float64, requires_grad=True)
    u = law.draw(theta, generator=seeded(7))
    (pathwise,) = torch.autograd.grad(u.sin().sum(), [theta])
    by_score = u.sin() * law.score(theta, u)
    gap = (by_score - pathwise).detach()
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / rows**0.5
    assert abs(float(law.score(theta, u).detach().mean())) < 5 * float(law.score(theta, u).detach().std()) / rows**0.5
