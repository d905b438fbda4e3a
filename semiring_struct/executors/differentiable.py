"""The total as a differentiable function of the fields, twice: its gradient is again one, and a third order raises.

The pattern (a module-level `autograd.Function` with `setup_context` around an opaque operator, whose backward is a second
such function) is the one that works under vmap, torch.func.grad, gradgradcheck and torch.compile alike.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, autograd

from semiring_struct.executors import operators
from semiring_struct.semirings import Reduction

Call = tuple[int, list[int], int, int]


def total(
    fields: list[Tensor], lengths: Tensor, source: int, full: tuple[int, ...], reduction: Reduction, seed: int = 0
) -> Tensor:
    """The program's answer under a reduction: `fields (batch, *event)` -> `(batch, *out)`, differentiable twice."""
    call = (source, list(full), operators.number_of(reduction), seed)
    return _Total.apply(call, lengths, *fields)[0]  # type: ignore[no-any-return, index]


def gradient(
    fields: list[Tensor], lengths: Tensor, source: int, full: tuple[int, ...], reduction: Reduction, seed: int = 0
) -> list[Tensor]:
    """The gradient of every instance's (scalar) total: one forward and one backward pass; differentiable once more."""
    call = (source, list(full), operators.number_of(reduction), seed)
    value, charts = _Total.apply(call, lengths, *fields)  # type: ignore[misc]
    return list(_Gradient.apply(call, lengths, charts.detach(), value.detach().new_ones(value.shape), *fields))  # type: ignore[arg-type]


class _Total(autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(call: Call, lengths: Tensor, *fields: Tensor) -> tuple[Tensor, Tensor]:
        return operators.total(list(fields), lengths, *call)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.call = inputs[0]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[1], output[1], *inputs[2:])

    @staticmethod
    def backward(ctx: Any, weight: Tensor, _: Tensor) -> tuple:
        lengths, charts, *fields = ctx.saved_tensors
        return None, None, *_Gradient.apply(ctx.call, lengths, charts, weight, *fields)  # type: ignore[misc]


class _Gradient(autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(call: Call, lengths: Tensor, charts: Tensor, weight: Tensor, *fields: Tensor) -> tuple[Tensor, ...]:
        return tuple(operators.gradient(list(fields), lengths, charts, weight, *call))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.call = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor) -> tuple:
        lengths, charts, weight, *fields = ctx.saved_tensors
        rise, *bent = _Curvature.apply(ctx.call, len(fields), lengths, charts, weight, *fields, *tangents)  # type: ignore[misc]
        return None, None, None, rise, *bent


class _Curvature(autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        call: Call, count: int, lengths: Tensor, charts: Tensor, weight: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        fields, tangents = list(rest[:count]), list(rest[count:])
        return tuple(operators.curvature(fields, lengths, charts, weight, tangents, *call))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple:
        raise NotImplementedError(
            "third derivatives of a log-partition are not provided; detach the second derivative, or evaluate the "
            "program under ExpectationSemiring(ExpectationSemiring()) and differentiate that"
        )
