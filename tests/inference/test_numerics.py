"""The numerical contract: no nan at any scale, bounds on rounding, half precision through float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import FAMILIES, Family

NEG_INF = float("-inf")


def hard_chain(seed: int, batch: int = 3, n: int = 200, c: int = 8, scale: float = 1e4) -> ss.ChainPotentials:
    """Potentials of a given scale with half the moves forbidden, and one move per step kept so that paths exist."""
    generator = torch.Generator().manual_seed(seed)
    emission = scale * torch.randn(batch, n, c, generator=generator)
    transition = scale * torch.randn(batch, n - 1, c, c, generator=generator)
    drop = torch.rand(transition.shape, generator=generator) < 0.5
    drop[..., 0, 0] = False
    return ss.ChainPotentials(emission, transition.masked_fill(drop, NEG_INF))


def forward_in_double(phi: ss.ChainPotentials) -> np.ndarray:
    """log Z by a plain recursion in float64, max-shifted by hand."""
    emission, transition = phi.emission.double().numpy(), phi.transition.double().numpy()
    alpha = emission[:, 0]
    for i in range(transition.shape[1]):
        joint = alpha[:, :, None] + transition[:, i]
        top = joint.max(1)
        safe = np.where(np.isfinite(top), top, 0)
        with np.errstate(divide="ignore"):
            alpha = np.log(np.exp(joint - safe[:, None]).sum(1)) + safe + emission[:, i + 1]
    top = alpha.max(1)
    return np.log(np.exp(alpha - top[:, None]).sum(1)) + top


def bound(phi: ss.ChainPotentials, dtype: torch.dtype) -> float:
    largest = max(float(field[field.isfinite()].abs().max()) for field in phi)
    return 4 * torch.finfo(dtype).eps * phi.emission.shape[1] * largest


@pytest.mark.parametrize("seed", range(3))
def test_long_float32_chain_at_scale_ten_thousand(seed: int):
    phi = hard_chain(seed)
    total = ss.log_partition(ss.LinearChain(), phi)
    assert total.dtype == torch.float32
    error = np.abs(total.double().numpy() - forward_in_double(phi))
    assert error.max() <= bound(phi, torch.float32)
    marginals = ss.marginals(ss.LinearChain(), phi)
    for field, dims in ((marginals.emission, -1), (marginals.transition, (-2, -1))):
        assert field.min() >= 0
        assert field.max() <= 1 + 1e-5
        torch.testing.assert_close(field.sum(dims), torch.ones_like(field.sum(dims)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_second_order_on_a_hard_chain(dtype: torch.dtype):
    """Gradients of marginals and entropy at scale 1e4, half the moves forbidden: no nan, and 0 where forbidden."""
    leaves = [field.to(dtype).requires_grad_() for field in hard_chain(7)]
    phi = ss.ChainPotentials(*leaves)
    marginals = ss.marginals(ss.LinearChain(), phi)
    weighted = sum((field * torch.randn_like(field)).sum() for field in marginals)
    for value in (weighted, ss.entropy(ss.LinearChain(), phi).sum()):
        for gradient, field in zip(torch.autograd.grad(value, leaves, retain_graph=True), leaves, strict=True):
            assert gradient.isfinite().all()
            assert not gradient[field == NEG_INF].any()


def test_infeasible_hard_chains_are_found_exactly():
    """Two tags, half the moves forbidden, no path kept: most instances die, and reachability says which."""
    generator = torch.Generator().manual_seed(8)
    batch, n = 400, 12
    drop = torch.rand(batch, n - 1, 2, 2, generator=generator) < 0.35
    transition = (1e4 * torch.randn(drop.shape, generator=generator)).masked_fill(drop, NEG_INF)
    phi = ss.ChainPotentials((1e4 * torch.randn(batch, n, 2, generator=generator)).requires_grad_(), transition)
    reached = torch.ones(batch, 2, dtype=torch.bool)
    for i in range(n - 1):
        reached = (reached[:, :, None] & ~drop[:, i]).any(1)
    alive = reached.any(1)
    assert 0 < int(alive.sum()) < batch
    total = ss.log_partition(ss.LinearChain(), phi)
    assert torch.equal(total > NEG_INF, alive)
    (gradient,) = torch.autograd.grad(total.sum(), phi.emission)
    torch.testing.assert_close(gradient.sum(-1), alive[:, None].float().expand(batch, n), rtol=0, atol=1e-5)
    best = ss.topk(ss.LinearChain(), phi, 1)
    assert torch.equal(best.valid[0], alive)
    assert torch.equal(best.scores[0] > NEG_INF, alive)


@pytest.mark.parametrize("seed", range(2))
def test_decoding_a_hard_chain(seed: int):
    """The best of a long float32 chain is one path, whose score is the maximum in float64."""
    phi = hard_chain(seed)
    tags = ss.argmax(ss.LinearChain(), phi, labels=True)
    exact = ss.ChainPotentials(*(field.double() for field in phi))
    event = ss.LinearChain().from_labels(tags, exact)
    score = ss.score(ss.LinearChain(), exact, event)
    assert score.isfinite().all()
    torch.testing.assert_close(score, ss.max_score(ss.LinearChain(), exact), rtol=1e-12, atol=0)
    drawn = ss.sample(ss.LinearChain(), phi, (5,), labels=True, generator=torch.Generator().manual_seed(seed))
    log_probs = ss.log_prob(ss.LinearChain(), exact, drawn)
    assert log_probs.isfinite().all()
    assert (log_probs <= 1e-9).all()


def test_bfloat16_goes_through_float32():
    phi = ss.ChainPotentials(*(field.bfloat16() for field in hard_chain(0)))
    rounded = ss.ChainPotentials(*(field.float() for field in phi))
    total = ss.log_partition(ss.LinearChain(), phi)
    assert total.dtype == torch.float32
    assert torch.equal(total, ss.log_partition(ss.LinearChain(), rounded))
    assert np.abs(total.double().numpy() - forward_in_double(phi)).max() <= bound(rounded, torch.float32)
    marginals = ss.marginals(ss.LinearChain(), phi)
    ones = torch.ones(marginals.emission.shape[:-1])
    torch.testing.assert_close(marginals.emission.float().sum(-1), ones, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e2, 1e4])
def test_marginals_sum_to_one_at_every_scale(scale: float):
    marginals = ss.marginals(ss.LinearChain(), hard_chain(5, n=100, scale=scale))
    ones = torch.ones(marginals.emission.shape[:-1])
    torch.testing.assert_close(marginals.emission.sum(-1), ones, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_no_nan_anywhere(family: Family, dtype: torch.dtype):
    """Potentials up to 1e4, 0 to 90 % of them forbidden: no nan in values, first and second derivatives."""
    for seed, forbidden in enumerate((0.0, 0.3, 0.6, 0.9)):
        phi = family.draw((50,), seed, forbidden=forbidden, scale=10.0 ** (seed + 1))
        leaves = [field.clamp(max=1e4).to(dtype).requires_grad_() for field in as_fields(phi)]
        again = family.kind(*leaves)
        for query in (ss.log_partition, ss.entropy, ss.max_score):
            value = query(family.structure, again)
            assert not value.isnan().any(), query.__name__
            assert not (value == float("inf")).any(), query.__name__
            if query is not ss.max_score:
                first = torch.autograd.grad(torch.where(value.isfinite(), value, 0.0).sum(), leaves)
                assert all(gradient.isfinite().all() for gradient in first), query.__name__
        marginals = as_fields(ss.marginals(family.structure, again))
        assert all(field.isfinite().all() for field in marginals)
        weights = [torch.randn_like(field) for field in marginals]
        total = sum(((m * w).sum() for m, w in zip(marginals, weights, strict=True)), torch.zeros(()))
        second = torch.autograd.grad(total, leaves)
        assert all(gradient.isfinite().all() for gradient in second)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_log_prob_never_exceeds_zero(family: Family):
    phi = family.kind(*(field.float() for field in as_fields(family.draw((20,), 3, scale=1e3))))
    best = ss.argmax(family.structure, phi)
    assert (ss.log_prob(family.structure, phi, best) <= 1e-6 * 1e4).all()


def as_fields(value: object) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)  # type: ignore[return-value]
