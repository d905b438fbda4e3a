"""Terms that are 0 in value and carry a given gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference.fields import fields_of
from semiring_struct.ops import Derivative, call, differentiable, in_front, operator


def carried(slope: Tensor, variable: Tensor) -> Tensor:
    """0, shaped like both arguments, whose gradient is `slope * grad variable`.

    `slope` gets no gradient at first order. A gradient taken with `create_graph=True` still depends on it, so the
    variance of an estimator can be differentiated in what its control variate is made of.
    """
    return call(_carried, slope, variable)


@operator("carried")
def _carried(slope: Tensor, variable: Tensor) -> Tensor:
    return torch.zeros_like(variable)


def _backward(args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]) -> tuple:
    return None, grads[0] * args[0]


torch.library.register_fake(_carried)(lambda slope, variable: torch.empty_like(variable))
torch.library.register_vmap(_carried, in_front(_carried, broadcast=True))
differentiable(_carried, Derivative(_backward))


def carried_fields(slopes: Any, variables: Any, lead: int) -> Tensor:
    """`carried` field by field, summed over all but the first `lead` dims."""
    pairs = zip(fields_of(slopes), fields_of(variables), strict=True)
    terms = [carried(s, v).flatten(lead).sum(-1) if v.dim() > lead else carried(s, v) for s, v in pairs]
    return sum(terms[1:], terms[0])


def slopes_at(function: Any, point: Any, who: str) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`function(point)` and its gradient in each field of `point`, both differentiable in what else it depends on.

    Raises `ValueError` where the function does not depend differentiably on the point.
    """
    with torch.enable_grad():
        leaves = [f.detach().requires_grad_() for f in fields_of(point)]
        value = function(leaves)
        slopes: tuple[Tensor | None, ...] = (None,)
        if value.requires_grad:
            slopes = torch.autograd.grad(value.sum(), leaves, create_graph=True, allow_unused=True)
    if all(s is None for s in slopes):
        raise ValueError(f"{who} needs a function that is differentiable in its argument; this one's gradient is None")
    return value, tuple(torch.zeros_like(f) if s is None else s for s, f in zip(slopes, leaves, strict=True))
