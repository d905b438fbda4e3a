"""What every surrogate owes: a structure forwards, its stated gradient backwards, and errors that help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import semiring_struct as ss
from semiring_struct import surrogates

EVERY: dict[str, Callable[..., Any]] = {
    "straight_through": surrogates.straight_through,
    "marginals_straight_through": surrogates.marginals_straight_through,
    "gumbel_straight_through": lambda *a, **k: surrogates.gumbel_straight_through(*a, generator=seeded(), **k),
    "spigot": surrogates.spigot,
    "spigot_ce": surrogates.spigot_ce,
    "spigot_eg": surrogates.spigot_eg,
    "blackbox": surrogates.blackbox,
    "imle": lambda *a, **k: surrogates.imle(*a, generator=seeded(), **k),
}
STEPPED = ["spigot", "spigot_ce", "spigot_eg", "blackbox", "imle"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chain(batch: tuple[int, ...] = (2, 3), dtype: torch.dtype = torch.float64) -> ss.ChainPotentials:
    g = seeded(1)
    emission = torch.randn(*batch, 4, 3, generator=g, dtype=torch.float64).to(dtype)
    transition = torch.randn(*batch, 3, 3, 3, generator=g, dtype=torch.float64)
    transition[..., 0, 2] = float("-inf")
    return ss.ChainPotentials(emission.requires_grad_(), transition.to(dtype).requires_grad_())


def weighted(event: ss.ChainPotentials, seed: int) -> torch.Tensor:
    terms = [(e * torch.randn(e.shape, generator=seeded(seed), dtype=e.dtype)).sum() for e in event]
    return terms[0] + terms[1]


@pytest.mark.parametrize("name", EVERY)
def test_structures_forward_and_finite_gradients_with_lengths(name: str):
    phi, lengths = chain(), torch.tensor([[4, 2, 0], [1, 3, 4]])
    event = EVERY[name](ss.LinearChain(), phi, lengths=lengths)
    assert isinstance(event, ss.ChainPotentials)
    assert bool(ss.contains(ss.LinearChain(), phi, event, lengths).all())
    for grad in torch.autograd.grad(weighted(event, 2), phi):
        assert bool(grad.isfinite().all())


@pytest.mark.parametrize("name", [n for n in EVERY if n != "straight_through"])
def test_no_gradient_past_the_length(name: str):
    phi = chain((1,))
    event = EVERY[name](ss.LinearChain(), phi, lengths=torch.tensor([2]))
    (grad,) = torch.autograd.grad((event.emission * torch.arange(12.0).reshape(4, 3)).sum(), [phi.emission])
    assert bool((grad[0, 2:] == 0).all())


@pytest.mark.parametrize("name", EVERY)
def test_half_precision_is_answered_in_float32(name: str):
    phi = chain((2,), torch.bfloat16)
    event = EVERY[name](ss.LinearChain(), phi)
    assert event.emission.dtype == torch.float32
    event.emission.square().sum().backward()
    assert phi.emission.grad is not None and phi.emission.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("name", EVERY)
def test_infeasible_instances_are_named(name: str):
    phi = torch.tensor([[0.0, 1.0], [float("-inf"), float("-inf")]])
    with pytest.raises(ss.InfeasibleError, match="1"):
        EVERY[name](ss.OneOf(), phi)


@pytest.mark.parametrize("name", STEPPED)
@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_steps_are_checked(name: str, step: float):
    with pytest.raises(ValueError, match="step"):
        EVERY[name](ss.OneOf(), torch.zeros(3), step=step)


def test_temperatures_are_checked():
    with pytest.raises(ValueError, match="temperature"):
        surrogates.gumbel_straight_through(ss.OneOf(), torch.zeros(3), 0.0)
    with pytest.raises(ValueError, match="draws"):
        surrogates.gumbel_rao_blackwell(torch.zeros(3), 0)


def test_a_second_order_is_refused():
    phi = torch.randn(4, generator=seeded()).requires_grad_()
    event = surrogates.straight_through(ss.OneOf(), phi)
    (grad,) = torch.autograd.grad((event * phi).sum(), [phi], create_graph=True)
    with pytest.raises(NotImplementedError, match="first order only"):
        torch.autograd.grad(grad.square().sum(), [phi])


def test_imle_without_noise_is_blackbox_times_its_step():
    phi = chain()
    zeros = ss.ChainPotentials(*(torch.zeros_like(f) for f in phi))
    still = surrogates.imle(ss.LinearChain(), phi, step=2.0, noise=zeros)
    other = surrogates.blackbox(ss.LinearChain(), phi, step=2.0)
    for a, b in zip(torch.autograd.grad(weighted(still, 3), phi), torch.autograd.grad(weighted(other, 3), phi)):
        torch.testing.assert_close(a, 2 * b)


def test_noise_adapts_to_the_parts_in_use():
    law = surrogates.SumOfGamma()
    few = law.fitted(torch.tensor(1.0)).draw(torch.zeros(50_000), generator=seeded())
    many = law.fitted(torch.tensor(8.0)).draw(torch.zeros(50_000), generator=seeded())
    assert surrogates.SumOfGamma(active=3).fitted(torch.tensor(8.0)).active == 3
    assert float(few.var()) > 4 * float(many.var())
    with pytest.raises(NotImplementedError, match="use Gumbel"):
        law.score(few, few)
    with pytest.raises(ValueError, match="scale"):
        surrogates.SumOfGamma(0.0)
    with pytest.raises(ValueError, match="terms"):
        surrogates.SumOfGamma(terms=0)


@pytest.mark.parametrize("name", ["gumbel_straight_through", "imle"])
def test_a_generator_settles_the_draw_and_leaves_the_global_one(name: str):
    before = torch.get_rng_state()
    phi = chain()
    first, second = (EVERY[name](ss.LinearChain(), phi).emission for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_rao_blackwell_keeps_the_mean_and_lowers_the_variance():
    theta = torch.tensor([0.5, -0.3, 0.1, float("-inf")], dtype=torch.float64)
    cost = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    rows = 20_000
    grads = {}
    for draws in (0, 1, 16):
        phi = theta.repeat(rows, 1).requires_grad_()
        if draws:
            event = surrogates.gumbel_rao_blackwell(phi, draws, 0.7, generator=seeded(4 + draws))
        else:
            event = surrogates.gumbel_straight_through(ss.OneOf(), phi, 0.7, generator=seeded(4))
        assert bool((event.sum(-1) == 1).all()) and bool((event[:, 3] == 0).all())
        (grads[draws],) = torch.autograd.grad((event * cost).sum(), [phi])
        assert bool(grads[draws].isfinite().all())
    # differences of means within five standard errors (a false alarm of about 1e-6 each)
    error = 5 * (grads[0].var(0) / rows * 2).sqrt() + 1e-12
    for draws in (1, 16):
        assert bool(((grads[draws].mean(0) - grads[0].mean(0)).abs() < error).all())
    assert float(grads[16].var(0).sum()) < 0.8 * float(grads[1].var(0).sum())


def test_gumbel_draws_of_one_hot_structures_are_exact():
    phi = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64)
    rows = 40_000
    drawn = surrogates.gumbel_straight_through(ss.OneOf(), phi.expand(rows, 3), generator=seeded(6)).mean(0)
    p = phi.softmax(-1)
    assert bool(((drawn - p).abs() < 5 * (p * (1 - p) / rows).sqrt()).all())


def test_rounding():
    x = torch.tensor([0.4, 1.5, -2.7], requires_grad=True)
    rounded = surrogates.round_ste(x)
    assert rounded.tolist() == [0.0, 2.0, -3.0]
    rounded.backward(torch.tensor([1.0, 2.0, 3.0]))
    assert x.grad is not None and x.grad.tolist() == [1.0, 2.0, 3.0]


def test_quantization_takes_the_nearest_vector():
    x = torch.randn(5, 7, 3, generator=seeded(7), dtype=torch.float64).requires_grad_()
    codes = torch.randn(4, 3, generator=seeded(8), dtype=torch.float64).requires_grad_()
    found = surrogates.vector_quantize(x, codes)
    nearest = torch.cdist(x, codes).argmin(-1)
    torch.testing.assert_close(found, codes[nearest], rtol=0, atol=1e-15)
    weight = torch.randn(found.shape, generator=seeded(9), dtype=torch.float64)
    grads = torch.autograd.grad((found * weight).sum(), [x, codes], allow_unused=True)
    torch.testing.assert_close(grads[0], weight)
    assert grads[1] is None
    loss = surrogates.quantization_loss(x, codes, 0.5)
    torch.testing.assert_close(loss, 1.5 * (x - codes[nearest]).square().sum(-1))
    to_x, to_codes = torch.autograd.grad(loss.sum(), [x, codes])
    torch.testing.assert_close(to_x, x - codes[nearest])
    pull = (2 * (codes[nearest] - x)).reshape(-1, 3)
    torch.testing.assert_close(to_codes, torch.zeros_like(codes).index_add(0, nearest.flatten(), pull))


def test_quantization_refuses_what_does_not_fit():
    with pytest.raises(ss.ShapeError, match="codebook"):
        surrogates.vector_quantize(torch.zeros(2, 3), torch.zeros(4, 2))
    with pytest.raises(ss.ShapeError, match="codebook"):
        surrogates.vector_quantize(torch.zeros(2, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="commitment"):
        surrogates.quantization_loss(torch.zeros(2, 3), torch.zeros(4, 3), -1.0)
