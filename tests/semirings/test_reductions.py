"""Reductions at extremes: float32, large gaps, strided memory, vmap."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semiring_struct import semirings as s
from semiring_struct.ops import NEG_INF
from semiring_struct.semirings import Reduction

PLAIN: list[Reduction] = [
    s.LogReduction(),
    s.MaxReduction(),
    s.SoftmaxReduction(0.01),
    s.SparsemaxReduction(0.5),
    s.EntmaxReduction(1.3, 1.0),
    s.EntmaxReduction(1.5, 1.0),
    s.EntmaxReduction(3.0, 1.0),
]
NOISY: list[Reduction] = [
    s.SampleReduction(),
    s.GumbelSoftmaxReduction(0.1),
    s.GumbelSoftmaxReduction(0.1, hard=True),
]


def centred(scale: float, dtype: torch.dtype) -> Tensor:
    x = scale * torch.randn(300, 17, dtype=dtype)
    x[torch.rand(x.shape) < 0.5] = NEG_INF
    x[0] = NEG_INF
    top = x.amax(-1, keepdim=True)
    return x - torch.where(top == NEG_INF, 0.0, top)


@pytest.mark.parametrize("reduction", PLAIN + NOISY, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_finite_and_normalised(reduction, dtype, scale) -> None:
    x = centred(scale, dtype) if scale else torch.zeros(300, 17, dtype=dtype)
    before = x.clone()
    some = (x > NEG_INF).any(-1)
    value = reduction.value(x)
    weights, bend = reduction.weights_and_bend(x, torch.randn_like(x), torch.Generator().manual_seed(0))
    slope = reduction.slope(x)
    assert torch.equal(value > NEG_INF, some)
    for choice in (weights, slope):
        assert choice.dtype == dtype
        assert (choice >= 0).all() and not choice[x == NEG_INF].any()
        torch.testing.assert_close(choice.sum(-1), some.to(dtype), rtol=0, atol=1e-5)
    assert bend.isfinite().all() and not bend[x == NEG_INF].any()
    assert torch.equal(x, before)


@pytest.mark.parametrize("reduction", PLAIN, ids=repr)
def test_strided_memory_and_vmap(reduction) -> None:
    x = centred(1.0, torch.float64)
    strided = x.T.contiguous().T
    tangent = torch.randn_like(x)

    def everything(y: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        return (reduction.value(y), *reduction.weights_and_bend(y, t))

    expected = everything(x, tangent)
    for ours in (everything(strided, tangent), torch.func.vmap(everything)(x, tangent)):
        torch.testing.assert_close(ours, expected)


def test_a_choice_among_one_is_certain() -> None:
    x = torch.zeros(4, 1)
    for reduction in PLAIN + NOISY:
        assert torch.equal(reduction.weights(x), torch.ones(4, 1))
        torch.testing.assert_close(reduction.value(x), torch.zeros(4))


@pytest.mark.statistical
def test_a_draw_never_takes_what_is_forbidden() -> None:
    x = torch.tensor([NEG_INF, -80.0, NEG_INF, 0.0, NEG_INF], dtype=torch.float32)
    drawn = s.SampleReduction().weights(x.expand(100_000, 5), torch.Generator().manual_seed(2))
    assert drawn.sum(0).tolist() == [0, 0, 0, 100_000, 0]


def test_hard_choices_need_their_noise_for_the_derivative() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="weights_and_bend"):
        s.GumbelSoftmaxReduction(1.0, hard=True).bend(x, x, x)


def test_a_reduction_falls_back_on_the_generator_of_its_semiring() -> None:
    x = torch.zeros(1000, 3)
    for make in (s.SampleSemiring, lambda generator: s.GumbelSoftmaxSemiring(0.5, False, generator)):
        a, b = (make(torch.Generator().manual_seed(4)).reduction for _ in range(2))
        assert torch.equal(a.weights(x), b.weights(x))
        own = torch.Generator().manual_seed(4)
        assert torch.equal(make(torch.Generator().manual_seed(4)).reduction.weights(x), a.weights(x, own))
