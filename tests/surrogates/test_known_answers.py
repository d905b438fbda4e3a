"""Surrogate gradients at points where they were worked out by enumeration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import surrogates
from tests.enumerations.listed import Listed, trees_of_k4
from tests.known import CASES, same, tensor

POLYTOPES = {"surrogate_onehot_n5": ss.OneOf(), "surrogate_spanning_tree_K4": Listed(trees_of_k4())}


def pulled(surrogate: Callable[..., Any], structure: Any, case: dict, **settings: Any) -> tuple[Tensor, Tensor]:
    """The event, and what the case's incoming gradient becomes."""
    phi = tensor(case["scores"]).requires_grad_()
    event = surrogate(structure, phi, **settings)
    event.backward(tensor(case["incoming_g"]))
    assert phi.grad is not None
    return event.detach(), phi.grad


@pytest.mark.parametrize("name", POLYTOPES)
def test_straight_through(name: str):
    case = CASES[name]
    event, grad = pulled(surrogates.straight_through, POLYTOPES[name], case)
    same(event, case["z"])
    same(grad, case["incoming_g"])
    event, grad = pulled(surrogates.marginals_straight_through, POLYTOPES[name], case)
    same(event, case["z"])
    same(grad, case["exact_smoothed"]["gibbs_vjp"], 1e-7)


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", POLYTOPES)
def test_pulled_back_labels(name: str, step: float):
    case = CASES[name]
    answers = case[f"eta={step}"]
    for surrogate, key in [
        (surrogates.spigot, "spigot"), (surrogates.spigot_ce, "spigot_ce_marg"), (surrogates.spigot_eg, "eg_marg"),
    ]:  # fmt: skip
        event, grad = pulled(surrogate, POLYTOPES[name], case, step=step)
        same(event, case["z"])
        same(grad, answers[key], 1e-7)


def test_cost_gradient_at_the_marginals():
    case = CASES["surrogate_onehot_n5"]
    mean = ss.marginals(ss.OneOf(), tensor(case["scores"]))
    at_mean = {**case, "incoming_g": (mean - tensor(case["downstream_quadratic_b"])).tolist()}
    same(pulled(surrogates.spigot_ce, ss.OneOf(), at_mean)[1], case["spigot_ce_quadratic_eta1"], 1e-7)


@pytest.mark.parametrize("step", [0.5, 2.0, 20.0])
@pytest.mark.parametrize("name", POLYTOPES)
def test_blackbox(name: str, step: float):
    case = CASES[name]
    event, grad = pulled(surrogates.blackbox, POLYTOPES[name], case, step=step)
    same(event, case["z"])
    same(grad, case["li_vlastelica_scores"][str(step)])


@pytest.mark.parametrize("step", [1.0, 10.0, 1000.0])
@pytest.mark.parametrize("name", POLYTOPES)
def test_imle_on_given_noise(name: str, step: float):
    case = CASES[name]
    answers = case["imle"][f"lambda={step}"]
    event, grad = pulled(surrogates.imle, POLYTOPES[name], case, step=step, noise=tensor(case["imle"]["noise"]))
    same(event, answers["map"])
    same(grad, answers["grad"])


def test_sum_of_gamma_moments():
    case = CASES["imle_sum_of_gamma"]
    law = surrogates.SumOfGamma(case["tau"], case["s"], case["k"])
    generator = torch.Generator().manual_seed(0)
    drawn = law.draw(torch.zeros(400_000, dtype=torch.float64), generator=generator)
    # five standard errors: of the mean, and of the sample variance by the fourth moment
    assert abs(float(drawn.mean()) - case["mean"]) < 5 * (case["variance"] / len(drawn)) ** 0.5
    fourth = float((drawn - drawn.mean()).pow(4).mean())
    assert abs(float(drawn.var()) - case["variance"]) < 5 * ((fourth - case["variance"] ** 2) / len(drawn)) ** 0.5
