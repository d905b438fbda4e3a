"""Values whose backward pass is stated rather than derived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, autograd

from .derivatives import STATED, Derivative, differentiable, has_tangent, may_be_differentiated
from .operators import operator, over_batch, refused

FIRST = "this gradient is stated, to first order only; detach it to differentiate again"
MAPPED = "vmap cannot map a stated gradient; give the potentials a batch dim instead"

Pullback = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""From the gradients that arrive at the values to those that the sources get."""


def stated(values: Sequence[Tensor], sources: Sequence[Tensor], pullback: Pullback) -> tuple[Tensor, ...]:
    """`values`, as if computed from `sources` by a map whose vector-Jacobian product is `pullback`.

    Differentiable once: a second order raises `NotImplementedError`, and so does forward mode.
    """
    if torch.compiler.is_compiling():
        if not any(s.requires_grad for s in sources):
            return tuple(_unstated(list(values), list(sources)))
    elif has_tangent(*sources):
        raise NotImplementedError(STATED)
    return _Stated.apply(pullback, len(values), *values, *sources)  # type: ignore[no-any-return]


class _Stated(autograd.Function):
    @staticmethod
    def forward(pullback: Pullback, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.clone() for t in tensors[:count])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.pullback, ctx.count = inputs[:2]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        return None, None, *([None] * ctx.count), *_PulledBack.apply(ctx.pullback, *grads)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, pullback: Pullback, count: int, *tensors: Tensor) -> tuple:
        if may_be_differentiated(*tensors):
            raise NotImplementedError(MAPPED)
        return tuple(t.clone() for t in tensors[:count]), tuple(in_dims[2 : 2 + count])


class _PulledBack(autograd.Function):
    """The pullback as a node of its own, so that a second order raises (`once_differentiable` may give 0)."""

    @staticmethod
    def forward(pullback: Pullback, *grads: Tensor) -> tuple[Tensor, ...]:
        return tuple(g.clone() for g in pullback(grads))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        """Keeps nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        return None, *(refused(g, FIRST) for g in grads)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        raise NotImplementedError(MAPPED)


@operator("unstated")
def _unstated(values: list[Tensor], sources: list[Tensor]) -> list[Tensor]:
    """The values, where a compiled graph asks for no gradient of them that it could be given."""
    return [v.clone() for v in values]


def _refuse(*_: Any) -> Any:
    raise NotImplementedError(
        "torch.func inside a compiled graph cannot take a stated gradient; compile the function and call backward on "
        "what it returns, or take torch.func.grad without compiling"
    )


torch.library.register_fake(_unstated)(lambda values, sources: [torch.empty_like(v) for v in values])
torch.library.register_vmap(_unstated, over_batch(_unstated))
differentiable(_unstated, Derivative(_refuse, _refuse))
