"""Semiring einsum of log-weights: one call, any semiring, differentiable like every total."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from semiring_struct import executors
from semiring_struct.errors import ShapeError
from semiring_struct.inference.partition import seed_of, unbound
from semiring_struct.ops import constant
from semiring_struct.programs import Program, Recorder, Source, Writer, finish
from semiring_struct.semirings import LogSemiring, Semiring

Shapes = tuple[tuple[int, ...], ...]


class Contraction(Source):
    """What records the program of an equation."""

    def __init__(self, equation: str):
        self.equation = equation

    def record(self, field_shapes: Shapes, lengths: tuple[int, ...]) -> Program:
        """The contraction of operands of these shapes."""
        names = tuple(f"operand{i}" for i in range(len(field_shapes)))
        recorder = Recorder(f"einsum {self.equation}", names, field_shapes, 0)
        return finish(recorder, recorder.einsum(self.equation, *recorder.inputs()), lengths)


@constant
@lru_cache(maxsize=256)
def _source(equation: str) -> str:
    return Writer().text(Contraction, {"equation": equation})


def einsum(equation: str, *operands: Tensor, semiring: Semiring | None = None) -> Tensor:
    """`einsum("ab,bc->ac", x, y)` on log-weights under a semiring (log by default).

    Operands are `(*batch, *letters)`: their leading dims past the letters of the equation broadcast together and lead
    the result. The path is opt_einsum's, and so is the cost; under a semiring with a reduction the result is
    differentiable twice. Raises `ShapeError` for operands that do not fit, `ProgramError` for an equation that is none.
    """
    semiring = LogSemiring() if semiring is None else semiring
    letters = equation.replace(" ", "").partition("->")[0].split(",")
    if len(letters) != len(operands) or any(x.dim() < len(i) for i, x in zip(letters, operands, strict=False)):
        shown = ", ".join(str(tuple(x.shape)) for x in operands)
        raise ShapeError(f"einsum {equation!r} needs one operand per input, with its letters as last dims; got {shown}")
    leads = [x.shape[: x.dim() - len(i)] for i, x in zip(letters, operands, strict=True)]
    batch = tuple(torch.broadcast_shapes(*leads))
    flat = []
    for i, x in zip(letters, operands, strict=True):
        event = x.shape[x.dim() - len(i) :]
        flat.append(x.expand((*batch, *event)).reshape((math.prod(batch), *event)))
    lengths = torch.empty((math.prod(batch), 0), dtype=torch.int64, device=flat[0].device)
    source = _source(equation.replace(" ", ""))
    if semiring.reduction is not None:
        value = executors.total(flat, lengths, source, (), unbound(semiring.reduction), seed_of(semiring))
        return value.reshape((*batch, *value.shape[1:])).to(flat[0].dtype)
    value = executors.generic(flat, lengths, source, (), semiring)
    return semiring.read(value.reshape((value.shape[0], *batch, *value.shape[2:])))
