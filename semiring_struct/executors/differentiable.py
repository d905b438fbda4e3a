"""The total as a differentiable function of the fields, twice: its gradient is again one, and a third order raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.executors import operators
from semiring_struct.executors.eager import generic as run_generic
from semiring_struct.ops import STATED, Derivative, call, differentiable, outside, refused
from semiring_struct.semirings import Reduction, Semiring

THIRD = (
    "third derivatives of a log-partition are not provided; detach the second derivative, or evaluate the program "
    "under ExpectationSemiring(ExpectationSemiring()) and differentiate that"
)


def total(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction, seed: int = 0
) -> Tensor:
    """The program's answer under a reduction: `fields (batch, *event)` -> `(batch, *out)` float64.

    Differentiable twice.
    """
    return call(operators.value, fields, lengths, source, list(full), operators.description_of(reduction), seed)


def total_and_gradient(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction, seed: int = 0
) -> tuple[Tensor, list[Tensor]]:
    """Every instance's (scalar) total and its gradient from one forward and one backward pass.

    The total is differentiable twice, the gradient once more.
    """
    run = source, list(full), operators.description_of(reduction), seed
    value, *slopes = call(operators.total_and_gradient, fields, lengths, *run)
    return value, slopes


def curvature(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], reduction: Reduction,
    vectors: list[Tensor],
) -> list[Tensor]:  # fmt: skip
    """The Hessian of every instance's (scalar) total times `vectors`: linear in them, and differentiable so."""
    run = source, list(full), operators.description_of(reduction), 0
    weight = fields[0].new_ones(fields[0].shape[0], dtype=torch.float64)
    blank = weight.new_empty((weight.shape[0], 0))
    return call(operators.curvature, fields, lengths, blank, weight, vectors, *run)[1:]


@outside("a semiring without a reduction, count included, runs step by step, which a compiled graph cannot hold")
def generic(
    fields: list[Tensor], lengths: Tensor, source: str, full: tuple[int, ...], semiring: Semiring
) -> Tensor:
    """The answer's element `(s, batch, *out)` under any semiring, by its own operations; differentiated by the tape."""
    program = operators.program_for(source, [tuple(f.shape[1:]) for f in fields], full)
    return run_generic(program, semiring, fields, lengths)


def _kept(fields: Sequence[Tensor]) -> bool:
    """Whether a total keeps its charts: not where sizes are symbols, see `operators.total`."""
    return all(isinstance(n, int) for f in fields for n in f.shape)


def _filled(tangents: Sequence[Tensor | None], fields: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(f) if t is None else t for t, f in zip(tangents, fields, strict=True)]


def _any(nested: Any) -> bool:
    return any(_any(x) for x in nested) if isinstance(nested, list) else nested is not None and nested is not False


def _value(fields: list[Tensor], lengths: Tensor, *run: Any) -> Tensor:
    return call(operators.total, fields, lengths, _kept(fields), *run)[0]


def _total_backward(args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]) -> tuple:
    fields, lengths, _, *run = args
    return call(operators.gradient, fields, lengths, kept[0], grads[0], *run), None


def _total_forward(args: Sequence[Any], outs: Sequence[Tensor], tangents: Sequence[Any]) -> tuple:
    fields, lengths, _, *run = args
    value, charts = outs
    if operators.reduction_of(run[2]).noisy:
        raise NotImplementedError(f"drawn choices: {STATED}")
    weight = torch.ones_like(value)
    if value.dim() > 1:
        moved = _filled(tangents[0], fields)
        return call(operators.curvature, fields, lengths, charts, weight, moved, *run)[0], None
    slopes = call(operators.gradient, fields, lengths, charts, weight, *run)
    pairs = zip(slopes, tangents[0], strict=True)
    terms = [(s * t).double().sum(tuple(range(1, s.dim()))) for s, t in pairs if t is not None]
    return sum(terms[1:], terms[0]), None


def _gradient_backward(
    args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]
) -> tuple:
    fields, lengths, charts, weight, *run = args
    moved = _filled(grads, fields)
    rise, *bent = call(operators.curvature, fields, lengths, charts, weight, moved, *run)
    return bent, None, None, rise


def _gradient_forward(args: Sequence[Any], outs: Sequence[Tensor], tangents: Sequence[Any]) -> Sequence[Any]:
    fields, lengths, charts, weight, *run = args
    along, _, _, rise = tangents
    moved: list[Tensor] = []
    if _any(along):
        moved = call(operators.curvature, fields, lengths, charts, weight, _filled(along, fields), *run)[1:]
    if rise is not None:
        slopes = call(operators.gradient, fields, lengths, charts, rise, *run)
        moved = [a + b for a, b in zip(moved, slopes, strict=True)] if moved else slopes
    return moved


def _curvature_backward(
    args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]
) -> tuple:
    fields, lengths, charts, weight, vectors, *run = args
    rise, bent = grads[0], list(grads[1:])
    if _any(bent) and _any([needs[0], needs[3]]):
        return [refused(f, THIRD) for f in fields], None, None, refused(weight, THIRD), [None] * len(fields)
    along: list[Any] = [None] * len(fields)
    again: list[Any] = [None] * len(fields)
    if _any(bent):
        # a Hessian is symmetric, so what it does to vectors it does to their gradients
        again = call(operators.curvature, fields, lengths, charts, weight, _filled(bent, fields), *run)[1:]
    if rise is not None:
        slopes = call(operators.gradient, fields, lengths, charts, rise, *run)
        again = [g if a is None else a + g for a, g in zip(again, slopes, strict=True)]
        if _any(needs[0]):
            along = call(operators.curvature, fields, lengths, charts, rise, vectors, *run)[1:]
    return along, None, None, None, again


def _curvature_forward(args: Sequence[Any], outs: Sequence[Tensor], tangents: Sequence[Any]) -> Sequence[Any]:
    fields, lengths, charts, weight, _, *run = args
    if _any([tangents[0], tangents[3]]):
        raise NotImplementedError(THIRD)
    return call(operators.curvature, fields, lengths, charts, weight, _filled(tangents[4], fields), *run)


def _total_and_gradient(fields: list[Tensor], lengths: Tensor, *run: Any) -> list[Tensor]:
    value, charts = call(operators.total, fields, lengths, _kept(fields), *run)
    return [value, *call(operators.gradient, fields, lengths, charts, torch.ones_like(value.detach()), *run)]


differentiable(operators.value, Derivative(through=_value))
differentiable(operators.total, Derivative(_total_backward, _total_forward, keep=(1,), constant=(1,)))
differentiable(operators.gradient, Derivative(_gradient_backward, _gradient_forward))
differentiable(operators.curvature, Derivative(_curvature_backward, _curvature_forward))
differentiable(operators.total_and_gradient, Derivative(through=_total_and_gradient))
