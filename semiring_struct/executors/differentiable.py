"""The total as a differentiable function of the fields, twice: its gradient is again one, and a third order raises.

The pattern (a module-level `autograd.Function` with `setup_context` around an opaque operator, whose backward is a
second such function) is the one that works under vmap, torch.func.grad, gradgradcheck and torch.compile alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, autograd

from semiring_struct.executors import operators
from semiring_struct.executors.eager import generic as run_generic
from semiring_struct.ops import untracked
from semiring_struct.programs import Program
from semiring_struct.semirings import Reduction, Semiring

Call = tuple[str, list[int], str, int]


def total(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction, seed: int = 0
) -> Tensor:
    """The program's answer under a reduction: `fields (batch, *event)` -> `(batch, *out)` float64.

    Differentiable twice.
    """
    return _total((source, list(full), operators.description_of(reduction), seed), lengths, fields)[0]


def total_and_gradient(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction, seed: int = 0
) -> tuple[Tensor, list[Tensor]]:
    """Every instance's (scalar) total and its gradient from one forward and one backward pass.

    The total is differentiable twice, the gradient once more.
    """
    call = (source, list(full), operators.description_of(reduction), seed)
    if untracked(*fields):
        value, *slopes = operators.total_and_gradient(fields, lengths, *call)
        return value, slopes
    value, charts = _total(call, lengths, fields)
    return value, list(_gradient(call, lengths, charts, torch.ones_like(value.detach()), fields))


def curvature(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction,
    vectors: list[Tensor],
) -> list[Tensor]:  # fmt: skip
    """The Hessian of every instance's (scalar) total times `vectors`: linear in them, and differentiable so."""
    call = (source, list(full), operators.description_of(reduction), 0)
    value, charts = _total(call, lengths, fields)
    return list(_curvature(call, lengths, charts, torch.ones_like(value.detach()), fields, vectors))[1:]


def generic(program: Program, semiring: Semiring, fields: list[Tensor], lengths: Tensor) -> Tensor:
    """The answer's element `(s, batch, *out)` under any semiring, by its own operations; differentiated by the tape."""
    return run_generic(program, semiring, fields, lengths)


def _total(call: Call, lengths: Tensor, fields: list[Tensor]) -> tuple[Tensor, Tensor]:
    if untracked(*fields):
        return operators.total(fields, lengths, *call)
    return _Total.apply(call, lengths, *fields)  # type: ignore[no-any-return]


def _gradient(call: Call, lengths: Tensor, charts: Tensor, weight: Tensor, fields: list[Tensor]) -> Sequence[Tensor]:
    if untracked(weight, *fields):
        return operators.gradient(fields, lengths, charts, weight, *call)
    return _Gradient.apply(call, lengths, charts, weight, *fields)  # type: ignore[no-any-return]


def _curvature(
    call: Call, lengths: Tensor, charts: Tensor, weight: Tensor, fields: list[Tensor], tangents: Sequence[Tensor]
) -> Sequence[Tensor]:
    if untracked(weight, *fields, *tangents):
        return operators.curvature(fields, lengths, charts, weight, list(tangents), *call)
    return _Curvature.apply(call, len(fields), lengths, charts, weight, *fields, *tangents)  # type: ignore[no-any-return]


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
        return None, None, *_gradient(ctx.call, lengths, charts, weight, fields)


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
        rise, *bent = _curvature(ctx.call, lengths, charts, weight, fields, tangents)
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
        ctx.call, ctx.count = inputs[:2]
        ctx.save_for_backward(*inputs[2 : 5 + ctx.count])

    @staticmethod
    def backward(ctx: Any, rise: Tensor, *bent: Tensor) -> tuple:
        if any(ctx.needs_input_grad[4 : 5 + ctx.count]):
            raise NotImplementedError(
                "third derivatives of a log-partition are not provided; detach the second derivative, or evaluate the "
                "program under ExpectationSemiring(ExpectationSemiring()) and differentiate that"
            )
        lengths, charts, weight, *fields = ctx.saved_tensors
        # a Hessian is symmetric, so what it does to vectors it does to their gradients
        again = _curvature(ctx.call, lengths, charts, weight, fields, bent)[1:]
        slopes = _gradient(ctx.call, lengths, charts, weight * rise, fields)
        return *([None] * (5 + ctx.count)), *(a + g for a, g in zip(again, slopes, strict=True))
