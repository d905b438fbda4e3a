"""Bias and variance of a gradient estimator, from many estimates in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semiring_struct.distributions import StructDistribution, TraceDistribution
from semiring_struct.estimators import exact
from semiring_struct.estimators.cost import Cost
from semiring_struct.structures import Structure
from semiring_struct.traces import AlgorithmTrace

Problem = Callable[..., tuple[Any, Cost]]
"""`problem(*parameters) -> (distribution, cost)`, for parameters that may have an extra leading dim, as a batch dim."""

Estimator = Callable[[Any, Cost, torch.Generator], Tensor]
"""`estimator(distribution, cost, generator) -> (*batch,)`."""

CHUNK = 2000


@dataclass(frozen=True, eq=False)
class Moments:
    """Of single estimates, entry by entry: the value of each instance first, then the gradient.

    `mean` and `variance` are `(entries,)` float64 over `trials` estimates; `exact` is the truth. `variance` is that of
    one estimate, so that the mean's standard error is `sqrt(variance / trials)`.
    """

    exact: Tensor
    mean: Tensor
    variance: Tensor
    trials: int

    @property
    def standard_error(self) -> Tensor:
        """Of the mean, `(entries,)`."""
        return (self.variance / self.trials).sqrt()

    def after(self, values: int) -> Moments:
        """Without the first entries: of the gradient alone, where `values` is the number of instances."""
        return Moments(self.exact[values:], self.mean[values:], self.variance[values:], self.trials)


def distribution_of(structure: Structure, phi: Any, lengths: Any = None) -> Any:
    """The distribution over structures, or for an algorithm of `ss.traces` over its traces, `phi` being log-rates."""
    if isinstance(structure, AlgorithmTrace):
        return TraceDistribution(structure, phi, lengths)
    return StructDistribution(structure, phi, lengths)


def truth(problem: Problem, parameters: Sequence[Tensor], reference: Callable[[Any, Cost], Tensor] = exact) -> Tensor:
    """The exact values and gradients, `(entries,)` float64; by enumeration, or the program for an `AdditiveCost`."""
    return estimates(lambda d, c, _: reference(d, c), problem, parameters, 1, torch.Generator("cpu"))[0]


def measure(
    estimator: Estimator, problem: Problem, parameters: Sequence[Tensor], exact: Tensor, trials: int,
    generator: torch.Generator,
) -> Moments:  # fmt: skip
    """Moments of `trials` independent estimates of value and gradient, beside the exact ones as `truth` gives them.

    Trials are laid out as a leading batch dim of the parameters, so that one call makes many of them.
    """
    count, mean, square = 0, torch.zeros_like(exact), torch.zeros_like(exact)
    for start in range(0, trials, CHUNK):
        size = min(CHUNK, trials - start)
        off = estimates(estimator, problem, parameters, size, generator) - exact
        count += size
        mean += off.sum(0)
        square += off.square().sum(0)
    mean = mean / count
    variance = ((square / count - mean.square()) * count / max(count - 1, 1)).clamp_min(0.0)
    return Moments(exact, exact + mean, variance, count)


def estimates(
    estimator: Estimator, problem: Problem, parameters: Sequence[Tensor], trials: int, generator: torch.Generator
) -> Tensor:
    """Values and gradients of independent estimates, `(trials, entries)` float64.

    Raises `ValueError` where the estimate has no gradient at all.
    """
    leaves = [p.detach().expand(trials, *p.shape).clone().requires_grad_() for p in parameters]
    value = estimator(*problem(*leaves), generator)
    if not value.requires_grad:
        raise ValueError("the estimate depends on no parameter: it has no gradient")
    grads = torch.autograd.grad(value.sum(), leaves, materialize_grads=True)
    return torch.cat([x.detach().reshape(trials, -1).double() for x in (value, *grads)], -1)
