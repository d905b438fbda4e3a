"""Simplex maps against published values, the optimality conditions, and finite differences."""

from __future__ import annotations

import entmax as reference
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semiring_struct.ops import NEG_INF, entmax, logsumexp, softmax, sparsemax, tsallis_max

ALPHAS = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0]
# x, then per alpha: entmax(x), and the cotangent below pulled back through it
X = [1.2, 0.4, -0.3, 0.9, -1.5]
COTANGENT = [0.3, -1.2, 0.5, 2.0, -0.7]
KNOWN = {
    1.0: (
        [0.403147313395, 0.181145764715, 0.0899543246013, 0.298658875382, 0.0270937219064],
        [-0.0914735545898, -0.3128203646, -0.0024196439647, 0.439954812199, -0.0332412490447],
    ),
    1.5: (
        [0.542589021555, 0.113303883617, 0.0, 0.344107094828, 0.0],
        [-0.218485847946, -0.604750929324, 0.0, 0.82323677727, 0.0],
    ),
    2.0: ([0.65, 0.0, 0.0, 0.35, 0.0], [-0.85, 0.0, 0.0, 0.85, 0.0]),
    3.0: ([0.8, 0.0, 0.0, 0.2, 0.0], [-1.7, 0.0, 0.0, 1.7, 0.0]),
}
ALPHA_PULLED = {1.5: 0.420624042063, 2.0: -0.180685479103, 3.0: -0.321669202892}
ENTROPIES = {1.0: 1.35105205234, 1.5: 0.480441593663, 2.0: 0.2275, 3.0: 0.08}
NEAR_ONE = [0.40317446402, 0.181139001346, 0.0899380037459, 0.29866950504, 0.0270790258476]  # alpha 1.0001


def double(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("alpha", KNOWN)
def test_known_answers(alpha) -> None:
    x = double(X).requires_grad_()
    p = entmax(x, alpha, -1)
    pulled = torch.autograd.grad(p, x, double(COTANGENT))[0]
    expected, expected_pulled = (double(v) for v in KNOWN[alpha])
    torch.testing.assert_close(p, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(pulled, expected_pulled, rtol=0, atol=1e-11)
    entropy = tsallis_max(x, alpha, -1) - p @ x
    torch.testing.assert_close(entropy, double([ENTROPIES[alpha]])[0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype, atol", [(torch.float64, 1e-11), (torch.float32, 1e-6)])
def test_alpha_near_one(dtype, atol) -> None:
    torch.testing.assert_close(entmax(double(X).to(dtype), 1.0001, -1), double(NEAR_ONE).to(dtype), rtol=0, atol=atol)


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.floats(-20, 20), st.just(NEG_INF), st.sampled_from([0.0, 1.0])), min_size=1, max_size=9),
    st.sampled_from([*ALPHAS, 1.05, 4.0]),
)
def test_optimality(values, alpha) -> None:
    """`x_i - p_i^(alpha-1) / (alpha-1)` is one constant on the support and nowhere larger off it."""
    x = double(values)
    p = entmax(x, alpha, -1)
    if (x == NEG_INF).all():
        assert not p.any()
        return
    assert (p >= 0).all()
    assert not p[x == NEG_INF].any()
    torch.testing.assert_close(p.sum(), double([1.0])[0])
    slope = x - (p.log() if alpha == 1 else p ** (alpha - 1) / (alpha - 1))
    used = p > 1e-6
    level = slope[used].max()
    torch.testing.assert_close(slope[used], level.expand(int(used.sum())), rtol=0, atol=1e-8)
    if alpha > 1:
        assert (x[p == 0] <= level + 1e-8).all()


def holed() -> tuple[Tensor, Tensor]:
    """Entries with some and with only `-inf` along each dim, and which are finite."""
    x = torch.randn(3, 3, 4, dtype=torch.float64)
    x[0, :, 1] = x[1, 2] = x[2] = NEG_INF
    return x, x > NEG_INF


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("dim", [-1, 1])
def test_gradients_to_second_order(alpha, dim) -> None:
    x, free = holed()

    def choice(v: Tensor) -> Tensor:
        return entmax(x.masked_scatter(free, v), alpha, dim)

    def value(v: Tensor) -> Tensor:
        return tsallis_max(x.masked_scatter(free, v), alpha, dim).clamp_min(-100.0)

    v = x[free].requires_grad_()
    for f in (choice, value):
        assert torch.autograd.gradcheck(f, v)
        assert torch.autograd.gradgradcheck(f, v)
    p = choice(v)
    assert ((p > 0) & (p < 1)).any()
    gradient = torch.autograd.grad(tsallis_max(x.masked_scatter(free, v), alpha, dim)[0].sum(), v)[0]
    torch.testing.assert_close(torch.zeros_like(x).masked_scatter(free, gradient)[0], p[0].detach())


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_forbidden(alpha, dtype) -> None:
    x = torch.full((2, 3), NEG_INF, dtype=dtype, requires_grad=True)
    p, value = entmax(x, alpha, -1), tsallis_max(x, alpha, -1)
    assert not p.any()
    assert (value == NEG_INF).all()
    first = torch.autograd.grad(p.sum() + value.sum(), x, create_graph=True)[0]
    assert not first.any()
    if first.requires_grad:
        assert not torch.autograd.grad(first.sum(), x)[0].any()


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_float32(alpha, scale) -> None:
    x = scale * torch.randn(100, 12)
    x[torch.rand(x.shape) < 0.5] = NEG_INF
    p = entmax(x, alpha, -1)
    torch.testing.assert_close(p.double(), entmax(x.double(), alpha, -1), rtol=0, atol=2e-3 if scale > 1 else 1e-4)
    torch.testing.assert_close(p.sum(-1), (x > NEG_INF).any(-1).float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_scaling_of_the_value(alpha) -> None:
    x = double(X)
    torch.testing.assert_close(tsallis_max(x + 3, alpha, -1), tsallis_max(x, alpha, -1) + 3)
    torch.testing.assert_close(tsallis_max(x[:1], alpha, -1), x[0])
    if alpha == 1:
        torch.testing.assert_close(tsallis_max(x, alpha, -1), logsumexp(x, -1))
    if alpha == 2:
        torch.testing.assert_close(sparsemax(x, 0), entmax(x, 2.0, -1))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_ties_share(alpha) -> None:
    torch.testing.assert_close(entmax(torch.zeros(2, 4), alpha, -1), torch.full((2, 4), 0.25))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_nan_is_not_hidden(alpha) -> None:
    x = torch.tensor([[0.0, float("nan"), 1.0], [0.0, 0.5, 1.0]])
    assert entmax(x, alpha, -1)[0].isnan().any()
    assert tsallis_max(x, alpha, -1).isnan().tolist() == [True, False]


@pytest.mark.parametrize("alpha", [0.5, float("inf"), float("nan")])
def test_alpha_out_of_range(alpha) -> None:
    with pytest.raises(ValueError, match="alpha of at least 1"):
        entmax(double(X), alpha, -1)


# torch loads its forward-mode rules on first use, and warns of its own jit there
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("alpha", [1.3, 1.5, 2.0])
def test_transforms(alpha) -> None:
    x, _ = holed()

    def f(y: Tensor) -> Tensor:
        return entmax(y, alpha, -1)

    v, u = torch.randn_like(x), torch.randn_like(x)
    torch.testing.assert_close(torch.func.vmap(f)(x), f(x))
    tangent = torch.func.jvp(f, (x,), (v,))[1]
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(f(leaf), leaf, u, create_graph=True)[0]
    torch.testing.assert_close((tangent * u).sum(), (gradient * v).sum())
    flat = not gradient.requires_grad  # sparsemax is piecewise linear
    second = torch.zeros_like(x) if flat else torch.autograd.grad((gradient * v).sum(), leaf)[0]
    nested = torch.func.jvp(lambda y: torch.func.jvp(f, (y,), (v,))[1], (x,), (v,))[1]
    torch.testing.assert_close((nested * u).sum(), (second * v).sum())
    torch.testing.assert_close(torch.compile(f, backend="eager", fullgraph=True)(x), f(x))


@pytest.mark.parametrize("alpha", ALPHA_PULLED)
def test_known_gradients_in_alpha(alpha) -> None:
    order = double([alpha]).requires_grad_()
    p = entmax(double(X), order, -1)
    torch.testing.assert_close(p, double(KNOWN[alpha][0]), rtol=0, atol=1e-11)
    pulled = torch.autograd.grad(p, order, double(COTANGENT))[0]
    torch.testing.assert_close(pulled, double([ALPHA_PULLED[alpha]]), rtol=0, atol=1e-9)


def test_learnt_alpha_against_the_entmax_package() -> None:
    x = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
    alpha = (1.05 + 2 * torch.rand(6, 1, dtype=torch.float64)).requires_grad_()
    u = torch.randn_like(x)
    ours = entmax(x, alpha, -1)
    theirs = reference.entmax_bisect(x, alpha, dim=-1, n_iter=60)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    for found, expected in zip(torch.autograd.grad(ours, (x, alpha), u), torch.autograd.grad(theirs, (x, alpha), u)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("dim", [-1, 1])
def test_gradients_in_alpha_to_second_order(dim) -> None:
    x, free = holed()
    shape = list(x.shape)
    shape[dim] = 1
    alpha = (1.02 + 1.5 * torch.rand(shape, dtype=torch.float64)).requires_grad_()

    def choice(v: Tensor, order: Tensor) -> Tensor:
        return entmax(x.masked_scatter(free, v), order, dim)

    v = x[free].requires_grad_()
    assert torch.autograd.gradcheck(choice, (v, alpha))
    assert torch.autograd.gradgradcheck(choice, (v, alpha), fast_mode=True)


def test_alpha_of_one_is_approached_from_above() -> None:
    """`dp/dalpha = p (mean of log^2 p - log^2 p) / 2`, and second derivatives that agree with a step."""
    x = double([*X, NEG_INF]).requires_grad_()
    alpha = double([1.0]).requires_grad_()
    p = entmax(x, alpha, -1)
    torch.testing.assert_close(p, softmax(x, -1))
    pulled = torch.autograd.grad(p, alpha, double([*COTANGENT, 9.0]), create_graph=True)[0]
    square = torch.where(p > 0, p.clamp_min(1e-300).log().square(), 0.0)
    slope = p * ((p * square).sum() - square) / 2
    torch.testing.assert_close(pulled, (slope * double([*COTANGENT, 9.0])).sum().reshape(1))
    bend = torch.autograd.grad(pulled, alpha)[0]
    step = double([1 + 1e-5]).requires_grad_()
    later = torch.autograd.grad(entmax(x, step, -1), step, double([*COTANGENT, 9.0]))[0]
    torch.testing.assert_close(bend, (later - pulled) / 1e-5, rtol=1e-3, atol=1e-4)


def test_alpha_as_a_tensor_may_differ_by_row() -> None:
    x = torch.randn(4, 6)
    alpha = torch.tensor([[1.0], [1.5], [2.0], [3.0]])
    p = entmax(x, alpha, -1)
    for i, order in enumerate([1.0, 1.5, 2.0, 3.0]):
        torch.testing.assert_close(p[i], entmax(x[i], order, -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(entmax(x, torch.tensor(1.5), 0), entmax(x, 1.5, 0), rtol=0, atol=1e-5)
    for bad in (torch.full((4, 6), 1.5), torch.full((3, 1), 1.5), torch.full((2, 4, 1), 1.5)):
        with pytest.raises(ValueError, match="broadcasts"):
            entmax(x, bad, -1)
    with pytest.raises(ValueError, match="alpha of at least 1"):
        entmax(x, torch.tensor([[1.0], [0.9], [2.0], [3.0]]), -1)
