"""Gradients of relaxations by one difference quotient, where the Jacobian is symmetric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.ops import stated


def finite_difference(relaxation: Callable[[Any, Any], Any], step: float = 1e-3) -> Callable[[Any, Any], Any]:
    """`relaxation(structure, phi)` with its gradient by a central difference, whether or not it has one of its own.

    The maps `argmax_x <x, phi> - f(x)` have a symmetric Jacobian, so that the vector-Jacobian product with `g` is the
    directional derivative `(x(phi + eps g) - x(phi - eps g)) / (2 eps)`, with `eps = step / max|g|`.
    Bias: of order `eps^2`, plus rounding of order `1 / eps`: work in float64, or raise `step` in float32.
    Needs: two more runs of the relaxation.  Does not need: a backward pass through it; it must be deterministic (bind
    the noise, not a generator).  Raises `ValueError` for a step not above 0.
    Source: Domke 2010, sec. 3 [domke2010]; Paulus et al. 2020, appendix D [paulus2020].
    """
    if not 0 < step < float("inf"):
        raise ValueError(f"finite_difference needs a finite step above 0; got {step}")

    def mapped(structure: Any, log_potentials: Any) -> Any:
        fields = _fields(log_potentials)

        def run(moved: Sequence[Tensor]) -> tuple[Tensor, ...]:
            with torch.no_grad():
                return _fields(_mean(relaxation(structure, _like(log_potentials, moved))))

        def pullback(grads: Sequence[Tensor]) -> Sequence[Tensor]:
            largest = torch.stack([g.abs().amax() if g.numel() else g.new_zeros(()) for g in grads]).amax()
            eps = step / torch.where(largest > 0, largest, 1.0)
            above, below = (run([f + side * g for f, g in zip(fields, grads, strict=True)]) for side in (eps, -eps))
            return [(a - b) / (2 * eps) for a, b in zip(above, below, strict=True)]

        return _like(log_potentials, stated(run(fields), fields, pullback))

    return mapped


def _fields(value: Any) -> tuple[Tensor, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _mean(value: Any) -> Any:
    """The soft event of a result: the result itself, or what it holds as `mean`."""
    return value if isinstance(value, Tensor) else getattr(value, "mean", value)


def _like(log_potentials: Any, fields: Sequence[Tensor]) -> Any:
    if not isinstance(log_potentials, (tuple, list)):
        return fields[0]
    kind = type(log_potentials)
    return kind(*fields) if hasattr(kind, "_fields") else kind(fields)
