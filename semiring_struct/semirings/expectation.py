"""Dual numbers over any semiring: totals with their derivative in one direction."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF

from .base import Semiring
from .log import LogSemiring

Directions = Tensor | tuple[Tensor, ...] | None


@cache
def _load_forward_mode() -> None:
    """Make torch load its forward-mode rules now, once: loading them warns of torch's own use of torch.jit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        zero = torch.zeros((), device="cpu")
        torch.func.jvp(torch.neg, (zero,), (zero,))


def _jvp(
    function: Callable[..., Tensor], primals: tuple[Tensor, ...], tangents: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    # forward mode writes into tensors of the primals' layout, so none may be an expanded view
    whole = tuple(p.contiguous() for p in primals), tuple(t.contiguous() for t in tangents)
    value, tangent = torch.func.jvp(function, *whole)[:2]
    return value, tangent


@final
@dataclass(frozen=True)
class ExpectationSemiring(Semiring):
    """Pairs (a, da) over a base semiring, added and multiplied by the rules of differentiation.

    The second number of a total is its derivative as log-weights move along the lifted values: over the log semiring
    the expectation of an additive function; nested, the derivatives of that, with the covariance at [1, 1].

    Source: Li & Eisner 2009, sections 3 and 4 [li2009].
    """

    base: Semiring = field(default_factory=LogSemiring)

    def __post_init__(self) -> None:
        _load_forward_mode()

    @property
    def associative(self) -> bool:
        """As the base."""
        return self.base.associative

    def lift(self, log_weight: Tensor, values: Directions = None) -> Tensor:
        """`(*batch, ...)` -> `(2 s, *batch, ...)`: elements of the base, then their derivatives.

        `values`, shaped like `log_weight` (by default the log-weight itself, 0 where `-inf`), is the direction. Nested
        semirings take a tuple with one direction for each, the outermost first.
        """
        outer, *inner = values if isinstance(values, tuple) else (values,)
        if outer is None:
            outer = torch.where(log_weight == NEG_INF, 0.0, log_weight)
        base = self.base
        if not isinstance(base, ExpectationSemiring):
            if inner:
                raise ValueError(f"ExpectationSemiring got {len(inner)} more directions than it is nested deep.")
            return torch.cat(_jvp(base.lift, (log_weight,), (outer,)))
        # the inner direction is held fixed, or the cross derivative would pick up its own change
        within = tuple(inner) or torch.where(log_weight == NEG_INF, 0.0, log_weight)
        return torch.cat(_jvp(lambda w: base.lift(w, within), (log_weight,), (outer,)))

    def read(self, total: Tensor) -> Tensor:
        """`(2 s, *batch)` -> `(2, *answer of the base)`: the answer and its derivative."""
        primal, tangent = total.chunk(2)
        return torch.stack(_jvp(self.base.read, (primal,), (tangent,)))

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Product rule; a product that is zero, being log-weight `-inf`, does not move."""
        (primal_a, tangent_a), (primal_b, tangent_b) = a.chunk(2), b.chunk(2)
        primal, tangent = _jvp(self.base.mul, (primal_a, primal_b), (tangent_a, tangent_b))
        return torch.cat([primal, torch.where(primal == NEG_INF, 0.0, tangent)])

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Sum rule."""
        primal, tangent = x.chunk(2)
        return torch.cat(_jvp(lambda y: self.base.sum(y, dim), (primal,), (tangent,)))
