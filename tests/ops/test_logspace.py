"""Log-space sums against torch where torch is right, and against their definition where it gives nan."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, log1mexp, log_softmax, logaddexp, logcumsumexp, logsumexp, score, softmax


def holed() -> Tensor:
    """Rows with no, some, one-left and only `-inf` entries, in float64."""
    x = 3 * torch.randn(4, 3, 5, dtype=torch.float64)
    x[1, :, 2] = x[2, 0] = x[3] = NEG_INF
    x[3, 1, 1] = 0.5
    return x


def finite(x: Tensor) -> Tensor:
    """`x` with constants for infinities, so that finite differences can be taken through it."""
    return torch.where(x == NEG_INF, 0.0, x)


@pytest.mark.parametrize("ours, theirs", [(logsumexp, torch.logsumexp), (softmax, torch.softmax)])
@pytest.mark.parametrize("dim", [-1, -2, 0])
def test_sums_equal_torch_where_anything_is_allowed(ours, theirs, dim) -> None:
    x = holed()
    some = (x > NEG_INF).any(dim, keepdim=ours is softmax)
    expected = torch.where(some, theirs(x, dim), NEG_INF if ours is logsumexp else 0.0)
    torch.testing.assert_close(ours(x, dim), expected)


@pytest.mark.parametrize("dim", [-1, 1])
def test_log_softmax(dim) -> None:
    x = holed()
    expected = torch.where(x == NEG_INF, NEG_INF, torch.log_softmax(x, dim))
    torch.testing.assert_close(log_softmax(x, dim), expected)


def test_logaddexp_broadcasts() -> None:
    x = holed()
    a, b = x[:, :, None], x[:, None]
    torch.testing.assert_close(logaddexp(a, b), torch.logaddexp(a, b))


@pytest.mark.parametrize("op", [logsumexp, log_softmax, softmax, lambda x, dim: logaddexp(x, x.flip(dim))])
def test_gradients_to_second_order(op) -> None:
    x = holed()
    free = x > NEG_INF

    def of_free(v: Tensor) -> Tensor:
        return finite(op(x.masked_scatter(free, v), -1))

    v = x[free].requires_grad_()
    assert torch.autograd.gradcheck(of_free, v)
    assert torch.autograd.gradgradcheck(of_free, v)


@pytest.mark.parametrize("op", [logsumexp, log_softmax, softmax, lambda x, dim: logaddexp(x, x.flip(dim))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_forbidden_entries_are_zero(op, dtype) -> None:
    x = holed().to(dtype).requires_grad_()
    forbidden = x == NEG_INF
    first = torch.autograd.grad(finite(op(x, -1)).sum(), x, create_graph=True)[0]
    second = torch.autograd.grad((first * torch.randn(x.shape, dtype=dtype)).sum(), x)[0]
    for gradient in (first, second):
        assert gradient.isfinite().all()
        assert not gradient[forbidden].any()


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4, 1e30])
def test_no_overflow_at_any_scale(scale) -> None:
    x = (scale * torch.randn(200, 30)).requires_grad_()
    torch.testing.assert_close(logsumexp(x, -1).double(), torch.logsumexp(x.double(), -1))
    gradient = torch.autograd.grad(logsumexp(x, -1).sum(), x)[0]
    torch.testing.assert_close(gradient.sum(-1), torch.ones(200), rtol=0, atol=1e-6)


def test_plus_infinity_wins() -> None:
    x = torch.tensor([float("inf"), 0.0, NEG_INF])
    assert logsumexp(x, 0) == float("inf")
    assert logaddexp(x[0], x[2]) == float("inf")


def test_score() -> None:
    phi = torch.tensor([[[1.0, NEG_INF], [2.0, 3.0]]], dtype=torch.float64, requires_grad=True)
    allowed = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert score(allowed, phi, 2).tolist() == [7.0]
    assert score(1 - allowed.clamp(max=1), phi, 2).tolist() == [NEG_INF]
    assert score(allowed.to(torch.int64), phi, 1).tolist() == [[1.0, 6.0]]
    torch.testing.assert_close(score(allowed, phi, 0)[0, 1, 1], torch.tensor(6.0, dtype=torch.float64))
    assert score(allowed.expand(5, 1, 2, 2), phi, 2).shape == (5, 1)
    gradient = torch.autograd.grad(score(allowed, phi, 2).sum(), phi)[0]
    assert gradient.tolist() == [allowed.tolist()]


# torch loads its forward-mode rules on first use, and warns of its own jit there
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("op", [logsumexp, log_softmax, softmax, lambda x, dim: logaddexp(x, x.flip(dim))])
def test_transforms(op) -> None:
    x, v = holed(), torch.randn(4, 3, 5, dtype=torch.float64)

    def f(y: Tensor) -> Tensor:
        return finite(op(y, -1))

    torch.testing.assert_close(torch.func.vmap(f)(x), f(x))
    tangent = torch.func.jvp(f, (x,), (v,))[1]
    leaf = x.clone().requires_grad_()
    u = torch.randn_like(tangent)
    gradient = torch.autograd.grad((f(leaf) * u).sum(), leaf)[0]
    torch.testing.assert_close((tangent * u).sum(), (gradient * v).sum())
    torch.testing.assert_close(torch.compile(f, backend="eager", fullgraph=True)(x), f(x))


def test_logcumsumexp() -> None:
    x = torch.randn(2, 9, dtype=torch.float64)
    x[0, :3] = x[1, 4] = -torch.inf
    torch.testing.assert_close(logcumsumexp(x), x.exp().cumsum(-1).log())
    free = x > -torch.inf

    def rest(values: Tensor) -> Tensor:
        out = logcumsumexp(x.masked_scatter(free, values))
        return out[out > -torch.inf]

    values = x[free].requires_grad_()
    assert torch.autograd.gradcheck(rest, values)
    assert torch.autograd.gradgradcheck(rest, values)
    assert logcumsumexp(x[:, :0]).shape == (2, 0)


def test_log1mexp() -> None:
    x = -torch.logspace(-12, 2, 50, dtype=torch.float64)
    exact = [math.log(-math.expm1(v)) if v > -1 else math.log1p(-math.exp(v)) for v in x.tolist()]
    torch.testing.assert_close(log1mexp(x), torch.tensor(exact, dtype=torch.float64), rtol=1e-12, atol=0)
    assert log1mexp(torch.tensor(0.0)) == -torch.inf
