"""`check_semiring`: the laws every semiring owes, and the consistency of its reduction."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.semirings import Reduction, Semiring

_NEG_INF, _INF = float("-inf"), float("inf")
_STEP = 1e-6


def check_semiring(semiring: Semiring, *, generator: torch.Generator | None = None) -> None:
    """Check a semiring, the library's or your own, in float64; raises `AssertionError` naming the law that failed.

    On 0, 1, large, small, tied and random elements, and sums and products of them: ⊕ and ⊗ commute and associate, ⊗
    distributes over ⊕, zero is neutral for ⊕ and annihilates, one is neutral for ⊗; `+inf` takes part where the
    semiring gives it a meaning. Where `semiring.associative` is False, ⊕ must fail to associate on some sample.
    `sum` along any dim equals ⊕ folded over it, `lift` and `read` keep batch shapes, nothing writes into its inputs.
    Where there is a `reduction`, its value, weights and bend agree with `sum` and its first and second gradients.

    `generator` picks the random elements; without one they are the same on every call.
    """
    generator = generator or torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):  # a semiring without a generator of its own may draw
        _check_shapes(semiring)
        _check_laws(semiring, generator)
        _check_sum(semiring, generator)
        if semiring.reduction is not None:
            _check_reduction(semiring, semiring.reduction, generator)


def _same(law: str, actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Equal up to rounding, nan never equal."""

    def explain(detail: str) -> str:
        return f"{law} fails: {detail}"

    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, msg=explain)


def _log_weights(generator: torch.Generator) -> Tensor:
    fixed = torch.tensor([_NEG_INF, 0.0, 0.0, 1.0, -1.0, -300.0, 300.0], dtype=torch.float64, device="cpu")
    return torch.cat([fixed, torch.randn(5, generator=generator, dtype=torch.float64, device="cpu")])


def _elements(semiring: Semiring, generator: torch.Generator) -> Tensor:
    """A pool `(s, n)`: lifted log-weights, then random sums and products of them, then products of those."""
    pool = semiring.lift(_log_weights(generator))
    for op in (semiring.add, semiring.mul, semiring.add):
        left, right = torch.randint(pool.shape[1], (2, 4), generator=generator, device="cpu")
        pool = torch.cat([pool, op(pool[:, left], pool[:, right])], 1)
    return pool


def _check_shapes(semiring: Semiring) -> None:
    like = torch.zeros(2, 3, dtype=torch.float64, device="cpu")
    one, zero = semiring.one(like), semiring.zero(like)
    for name, element in (("one", one), ("zero", zero)):
        if element.shape[1:] != (2, 3):
            raise AssertionError(f"{name} of (2, 3) log-weights must be (s, 2, 3); got {tuple(element.shape)}.")
    _same("lift(0) = one", semiring.lift(like), one)
    _same("lift(-inf) = zero", semiring.lift(torch.full_like(like, _NEG_INF)), zero)
    if semiring.read(one).shape[-2:] != (2, 3):
        raise AssertionError(f"read must keep the batch dims (2, 3) last; got {tuple(semiring.read(one).shape)}.")
    wide = semiring.mul(one.unsqueeze(-1), one[:, :1, :1].unsqueeze(-1))
    _same("⊗ broadcasts", wide, one.unsqueeze(-1))


def _check_laws(semiring: Semiring, generator: torch.Generator) -> None:
    add, mul = semiring.add, semiring.mul
    pool = _elements(semiring, generator)
    before = pool.clone()
    index = torch.arange(pool.shape[1], device="cpu")
    a, b, c = (pool[:, i] for i in torch.cartesian_prod(index, index, index).unbind(-1))
    like = torch.zeros(pool.shape[1], dtype=torch.float64, device="cpu")
    zero = semiring.zero(like)
    _same("a ⊕ b = b ⊕ a", add(a, b), add(b, a))
    _same("a ⊗ b = b ⊗ a", mul(a, b), mul(b, a))
    _same("(a ⊗ b) ⊗ c = a ⊗ (b ⊗ c)", mul(mul(a, b), c), mul(a, mul(b, c)))
    _same("a ⊗ (b ⊕ c) = (a ⊗ b) ⊕ (a ⊗ c)", mul(a, add(b, c)), add(mul(a, b), mul(a, c)))
    _same("a ⊗ zero = zero", mul(pool, zero), zero)
    _neutral(semiring, pool)
    left, right = add(add(a, b), c), add(a, add(b, c))
    if semiring.associative:
        _same("(a ⊕ b) ⊕ c = a ⊕ (b ⊕ c)", left, right)
    elif torch.allclose(left, right, rtol=1e-6, atol=1e-6):
        raise AssertionError("the semiring says that ⊕ is not associative, but no sample shows it.")
    top = semiring.lift(torch.full((1,), _INF, dtype=torch.float64, device="cpu"))
    if not _has_nan(add(top, semiring.zero(like[:1]))) and not _has_nan(mul(top, semiring.one(like[:1]))):
        _neutral(semiring, top)
    _same("operations leave their inputs alone", pool, before)


def _has_nan(x: Tensor) -> bool:
    return bool(x.isnan().any())


def _neutral(semiring: Semiring, pool: Tensor) -> None:
    like = torch.zeros(pool.shape[1], dtype=torch.float64, device="cpu")
    _same("a ⊕ zero = a", semiring.add(pool, semiring.zero(like)), pool)
    _same("zero ⊕ a = a", semiring.add(semiring.zero(like), pool), pool)
    _same("a ⊗ one = a", semiring.mul(pool, semiring.one(like)), pool)


def _check_sum(semiring: Semiring, generator: torch.Generator) -> None:
    pool = _elements(semiring, generator)
    x = pool[:, torch.randint(pool.shape[1], (5, 4, 3), generator=generator, device="cpu")]
    before = x.clone()
    total = semiring.sum(x, -1)
    _same("sum over one term is that term", semiring.sum(x[..., :1], -1), x[..., 0])
    _same("sum does not depend on order", semiring.sum(x.flip(-1), -1), total)
    _same("sum along any dim", semiring.sum(x.transpose(-1, -2), -2), total)
    if semiring.associative:
        folded = semiring.add(semiring.add(x[..., 0], x[..., 1]), x[..., 2])
        _same("sum equals ⊕ folded", total, folded)
    product = semiring.sum(semiring.mul(x.unsqueeze(-1), x.transpose(-1, -2).unsqueeze(-3)), -2)
    _same("matmul is sums of products", semiring.matmul(x, x.transpose(-1, -2)), product)
    _same("operations leave their inputs alone", x, before)


def _centre(x: Tensor) -> Tensor:
    top = x.amax(-1, keepdim=True)
    return x - torch.where(top == _NEG_INF, 0.0, top)


def _check_reduction(semiring: Semiring, reduction: Reduction, generator: torch.Generator) -> None:
    x = 2 * torch.randn(40, 5, generator=generator, dtype=torch.float64, device="cpu")
    x[:10, 0], x[:5, 2], x[-1] = _NEG_INF, _NEG_INF, _NEG_INF
    x = _centre(x)
    tied = torch.zeros(3, 5, dtype=torch.float64, device="cpu")
    tied[1, 1:3], tied[2, 1:] = -0.5, _NEG_INF
    both = torch.cat([x, tied])
    _same("reduction.value = sum", reduction.value(both), semiring.read(semiring.sum(semiring.lift(both), -1)))
    weights = reduction.weights(both, generator)
    if not bool((weights >= 0).all()) or bool(((both == _NEG_INF) & (weights != 0)).any()):
        raise AssertionError("reduction.weights must be at least 0 everywhere, and 0 at -inf.")
    _same("weights sum to 1, or 0 where all are -inf", weights.sum(-1), (both > _NEG_INF).any(-1).to(x.dtype))
    tangent = torch.randn(x.shape, generator=generator, dtype=x.dtype, device="cpu")
    _check_slope(reduction, x, tangent)
    if reduction.noisy:
        _check_noise(reduction, x, tangent, generator)
    else:
        _check_gradients(semiring, reduction, x, tangent)
    if _has_nan(reduction.weights_and_bend(both, torch.ones_like(both), generator)[1]):
        raise AssertionError("reduction.bend must be finite everywhere.")


def _check_slope(reduction: Reduction, x: Tensor, tangent: Tensor) -> None:
    """`slope` against a central difference of `value`."""

    def value(moved: Tensor) -> Tensor:
        top = moved.amax(-1)
        return torch.where(top == _NEG_INF, 0.0, top + reduction.value(_centre(moved)))

    difference = (value(x + _STEP * tangent) - value(x - _STEP * tangent)) / (2 * _STEP)
    _same("reduction.slope is the gradient of value", (reduction.slope(x) * tangent).sum(-1), difference, 1e-6)


def _check_gradients(semiring: Semiring, reduction: Reduction, x: Tensor, tangent: Tensor) -> None:
    leaf = x.clone().requires_grad_()
    total = semiring.read(semiring.sum(semiring.lift(leaf), -1))
    first = torch.autograd.grad(total, leaf, torch.ones_like(total), create_graph=True)[0]
    second = torch.zeros_like(x)
    if first.requires_grad:
        second = torch.autograd.grad((first * tangent).sum(), leaf)[0]
    weights = reduction.weights(x)
    _same("reduction.weights is the gradient of sum", weights, first.detach())
    _same("reduction.bend is its second derivative", reduction.bend(x, weights, tangent), second, 1e-8)


def _check_noise(reduction: Reduction, x: Tensor, tangent: Tensor, generator: torch.Generator) -> None:
    state = generator.get_state()

    def again(moved: Tensor) -> Tensor:
        return reduction.weights(_centre(moved), generator.set_state(state))

    weights = again(x)
    _same("one generator state, one choice", again(x), weights, 0.0)
    paired, bent = reduction.weights_and_bend(x, tangent, generator.set_state(state))
    _same("weights_and_bend draws as weights does", paired, weights, 0.0)
    if bool(((weights == 0) | (weights == 1)).all()):
        many = reduction.weights(x.expand(4000, *x.shape), generator)
        gap = (many.mean(0) - reduction.slope(x)).abs()
        # 200 averages of 4000 draws: seven standard errors of at most 0.008 each
        if bool((gap > 0.056).any()):
            raise AssertionError(f"discrete choices must be draws from slope; frequencies are off by {gap.max():.3f}.")
    else:
        difference = (again(x + _STEP * tangent) - again(x - _STEP * tangent)) / (2 * _STEP)
        _same("bend is the derivative of the weights at fixed noise", bent, difference, 1e-6)
