"""A case beside the truth about it, and how far an answer may be off.

A route yields checks `(found, right, tolerance)`, tensors of one shape. Tolerances have these reasons, with `eps` that
of the answer, `n` the most parts that a structure uses, and `M` the largest potential:

- log Z: `4 eps n max(M, 1)`, as docs/numerics.md promises, and the rounding of the answer; scores likewise.
- Charts are float64 and weights normalised at every cell, so the error of a marginal grows with `n`, and with `M` only
  by the rounding of charts, `eps64 n M`, and of a sum of two potentials, `eps M`.
- The Hessian times a vector is a sum of `n` changes of such marginals, each in proportion to the vector.
- The entropy is a difference of totals in float64; its gradient is minus the Hessian times the potentials themselves.
- A gradient arrives in the dtype of the leaf, and is rounded to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.routes.cases import Case
from tests.routes.truth import Truth
from tests.structures.families import fields_of

Checks = Iterator[tuple[Tensor, Tensor, Tensor]]
FINE = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Run:
    """A case, the truth about it, and the tolerances `(instances,)` of its answers."""

    case: Case
    truth: Truth

    @property
    def eps(self) -> float:
        return torch.finfo(self.case.answers).eps

    @property
    def _charts(self) -> Tensor:
        """The rounding of charts."""
        return FINE * self.case.model.steps * self.truth.largest

    def _rounded(self, answer: Tensor) -> Tensor:
        return self.eps * torch.where(answer.isfinite(), answer.abs(), 0.0)

    @property
    def near_total(self) -> Tensor:
        bound = 4 * self.eps * self.case.model.steps * self.truth.largest.clamp_min(1.0)
        return bound + self._rounded(self.truth.log_z)

    @property
    def near_best(self) -> Tensor:
        return self._rounded(self.truth.best) + self.near_score

    @property
    def near_score(self) -> Tensor:
        """Scores of events, of which the walks may have added up parts in the dtype of the potentials."""
        return 4 * self.eps * self.case.model.steps * self.truth.largest

    @property
    def near_mean(self) -> Tensor:
        return 8 * (self.eps * self.case.model.steps + self._charts) + self.eps * self.truth.largest

    @property
    def near_hessian(self) -> Tensor:
        return 8 * self.case.model.steps * self.near_mean

    @property
    def near_entropy(self) -> Tensor:
        return self.eps * self.truth.entropy.abs() + 64 * (FINE * self.case.model.steps + self._charts)

    @property
    def near_entropy_slope(self) -> Tensor:
        spread = self.case.model.steps * self.truth.largest.clamp_min(1.0)
        return 64 * spread * (FINE * self.case.model.steps + self._charts) + self.eps * self.truth.largest

    def call(self, query: Callable[..., Any], phi: Any, *args: Any, **how: Any) -> Any:
        lengths = {} if self.case.lengths is None else {"lengths": self.case.lengths}
        return query(self.case.structure, phi, *args, **how, **lengths)

    def leaves(self) -> tuple[tuple[Tensor, ...], Any]:
        """The fields as leaves, in the layout of the case, and the potentials made of them."""
        leaves = tuple(f.detach().requires_grad_() for f in self.case.fields)
        return leaves, self.case.model.kind(*leaves)

    @property
    def vector(self) -> Any:
        return self.case.model.kind(*self.case.vector)

    def numbers(self, found: Tensor, right: Tensor, tolerance: Tensor) -> Checks:
        """Answers `(*batch,)`."""
        yield found.double().reshape(self.case.count, *right.shape[1:]), right, tolerance

    def events(self, found: Any, right: tuple[Tensor, ...], tolerance: Tensor) -> Checks:
        """Answers `(*batch, ...)` like the potentials."""
        for f, r in zip(fields_of(found), right, strict=True):
            yield f.double().reshape(r.shape), r, spread(tolerance, r)

    def slopes(self, found: tuple[Any, ...], right: tuple[Tensor, ...], tolerance: Tensor) -> Checks:
        """Gradients shaped like the leaves: what instances share is summed over them."""
        for f, r, leaf in zip(found, right, self.case.fields, strict=True):
            expanded = (*self.case.batch, *r.shape[1:])
            allowed = spread(tolerance, r) + torch.finfo(self.case.dtype).eps * r.abs()
            wanted, allowed = (x.reshape(expanded).sum_to_size(leaf.shape) for x in (r, allowed))
            yield (torch.zeros_like(wanted) if f is None else f.detach().double()), wanted, allowed


def spread(tolerance: Tensor, like: Tensor) -> Tensor:
    """Numbers `(instances,)`, one for each instance, over all its parts."""
    return tolerance.reshape(-1, *[1] * (like.dim() - 1)).expand(like.shape)
