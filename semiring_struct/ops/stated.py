"""Values whose backward pass is stated rather than derived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, autograd

Pullback = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""From the gradients that arrive at the values to those that the sources get."""


def stated(values: Sequence[Tensor], sources: Sequence[Tensor], pullback: Pullback) -> tuple[Tensor, ...]:
    """`values`, as if computed from `sources` by a map whose vector-Jacobian product is `pullback`.

    Differentiable once: a second order raises `NotImplementedError`.
    """
    return _Stated.apply(pullback, len(values), *values, *sources)  # type: ignore[no-any-return]


class _Stated(autograd.Function):
    @staticmethod
    def forward(ctx: Any, pullback: Pullback, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.pullback, ctx.count = pullback, count
        return tuple(t.clone() for t in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        return None, None, *([None] * ctx.count), *_PulledBack.apply(ctx.pullback, *grads)


class _PulledBack(autograd.Function):
    """The pullback as a node of its own, so that a second order raises (`once_differentiable` may give 0)."""

    @staticmethod
    def forward(ctx: Any, pullback: Pullback, *grads: Tensor) -> tuple[Tensor, ...]:
        return tuple(g.clone() for g in pullback(grads))

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple:
        raise NotImplementedError("this gradient is stated, to first order only; detach it to differentiate again")
