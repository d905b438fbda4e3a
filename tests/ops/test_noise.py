"""Noise: its law, its generator, and Gumbels with a given maximum."""

from __future__ import annotations

import pytest
import torch

from semiring_struct.ops import NEG_INF, exponential, gumbel, gumbel_with_maximum, new_seed, uniform, uniform_at

DRAWS = [uniform, exponential, gumbel]


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_generator_decides_and_the_global_one_rests(draw, dtype) -> None:
    before = torch.get_rng_state()
    a = draw((3, 4), generator=torch.Generator().manual_seed(5), dtype=dtype)
    b = draw((3, 4), generator=torch.Generator().manual_seed(5), dtype=dtype)
    assert torch.equal(a, b)
    assert a.dtype == dtype and a.shape == (3, 4)
    assert torch.equal(torch.get_rng_state(), before)
    draw((1,))
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "draw, distribution",
    [
        (uniform, torch.distributions.Uniform(0.0, 1.0)),
        (exponential, torch.distributions.Exponential(1.0)),
        (gumbel, torch.distributions.Gumbel(0.0, 1.0)),
    ],
)
def test_law(draw, distribution) -> None:
    n = 200_000
    x = draw((n,), generator=torch.Generator().manual_seed(1))
    assert x.isfinite().all()
    error = (x.mean() - distribution.mean) / (distribution.variance / n) ** 0.5
    assert abs(error) < 5
    ranks = distribution.cdf(x.double().sort().values)
    # Kolmogorov-Smirnov: beyond 2.7 / sqrt(n) less than once in a million
    assert (ranks - torch.arange(n) / n).abs().max() < 2.7 / n**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_is_open(dtype, monkeypatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape, dtype=dtype))
    assert (uniform((2,), dtype=dtype) > 0).all()
    top = 1 - torch.finfo(dtype).eps / 2
    monkeypatch.setattr(torch, "rand", lambda shape, dtype, **_: torch.full(shape, top, dtype=dtype))
    assert (uniform((2,), dtype=dtype) < 1).all()
    assert gumbel((2,), dtype=dtype).isfinite().all()


def test_half_precision_is_refused() -> None:
    with pytest.raises(TypeError, match="float32 or float64; got"):
        uniform((2,), dtype=torch.bfloat16)


def test_gumbel_with_maximum_known_answer() -> None:
    g = torch.tensor([0.3, 1.7, -0.4], dtype=torch.float64)
    shifted = gumbel_with_maximum(g, torch.tensor(0.9, dtype=torch.float64))
    expected = torch.tensor([0.0359335910393, 0.9, -0.53982747482], dtype=torch.float64)
    torch.testing.assert_close(shifted, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gumbel_with_maximum_is_stable(scale, dtype) -> None:
    g = (scale * torch.randn(50, 7, 3)).to(dtype)
    g[:, 2] = g[0] = NEG_INF
    maximum = (scale * torch.randn(50, 3)).to(dtype)
    maximum[1] = NEG_INF
    leaf = g.clone().requires_grad_()
    out = gumbel_with_maximum(leaf, maximum, 1)
    assert not out.isnan().any()
    attained = torch.where(g.amax(1) == NEG_INF, NEG_INF, maximum)
    assert torch.equal(out.amax(1), attained)
    assert (out[:, 2] == NEG_INF).all()
    order = g[2:].sort(1).indices
    assert (out[2:].gather(1, order).diff(dim=1).nan_to_num(0.0) >= 0).all()
    assert torch.autograd.grad(torch.where(out == NEG_INF, 0.0, out).sum(), leaf)[0].isfinite().all()


def test_gumbel_with_maximum_has_the_conditional_law() -> None:
    """Given the maximum, another entry is Gumbel truncated at it: its CDF there is uniform."""
    n, location = 100_000, torch.tensor([0.5, -1.0], dtype=torch.float64)
    g = location + gumbel((n, 2), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    maximum = torch.full((n,), 0.2, dtype=torch.float64)
    out = gumbel_with_maximum(g, maximum)

    def cdf(x: torch.Tensor) -> torch.Tensor:
        return (-(location[1] - x).exp()).exp()

    lower = out[g.argmax(-1) == 0, 1]
    ranks = (cdf(lower) / cdf(maximum[:1])).sort().values
    m = len(ranks)
    assert (ranks - torch.arange(m) / m).abs().max() < 2.7 / m**0.5


def test_gumbel_with_maximum_gradients() -> None:
    g = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    maximum = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gumbel_with_maximum, (g, maximum))
    torch.testing.assert_close(torch.func.vmap(gumbel_with_maximum)(g, maximum), gumbel_with_maximum(g, maximum))


def test_uniform_at_is_splitmix64() -> None:
    """The first numbers of the published generator for seed 1234567, shifted to 51 bits."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    expected = torch.tensor([((x >> 13) + 0.5) * 2.0**-51 for x in published], dtype=torch.float64)
    assert torch.equal(uniform_at(torch.tensor([1234567]), torch.arange(4)), expected)


def test_uniform_at_follows_the_law_and_stays_open() -> None:
    n = 200_000
    seed = new_seed(torch.Generator().manual_seed(1))
    u = uniform_at(seed, torch.arange(n))
    assert u.min() > 0 and u.max() < 1
    # Kolmogorov-Smirnov: beyond 2.7 / sqrt(n) less than once in a million
    assert (u.sort().values - torch.arange(n) / n).abs().max() < 2.7 / n**0.5
    # neighbours are uncorrelated: below 5 / sqrt(n) but for one case in a million
    both = torch.stack([u[:-1], u[1:]])
    assert torch.corrcoef(both)[0, 1].abs() < 5 / n**0.5


def test_a_seed_takes_one_number_of_the_generator() -> None:
    generator = torch.Generator().manual_seed(3)
    before = torch.get_rng_state()
    seeds = torch.cat([new_seed(generator) for _ in range(3)])
    assert len(seeds.unique()) == 3 and seeds.dtype == torch.int64
    assert torch.equal(torch.get_rng_state(), before)
