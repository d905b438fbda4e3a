"""Routes to totals and their derivatives of both orders."""

from __future__ import annotations

import torch
from torch import Tensor

import semiring_struct as ss
from tests.routes.decoding import scores
from tests.routes.runs import Checks, Run, spread
from tests.structures.families import NEG_INF, fields_of


def _weighted(run: Run, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(spread(run.case.weights.flatten(), v) * v for v in values)


def _dot(some: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(some, others, strict=True)]).sum()


def log_partition(run: Run) -> Checks:
    yield from run.numbers(run.call(ss.log_partition, run.case.phi), run.truth.log_z, run.near_total)


def backward(run: Run) -> Checks:
    """The total and its gradient as two calls, twice on one graph."""
    leaves, phi = run.leaves()
    total, size = run.call(ss.log_partition, phi), run.case.weights.flatten().abs().clamp_min(1.0)
    yield from run.numbers(total.detach(), run.truth.log_z, run.near_total)
    for again in (True, False):
        found = torch.autograd.grad(total, leaves, run.case.weights.to(total.dtype), retain_graph=again)
        yield from run.slopes(found, _weighted(run, run.truth.mean), size * run.near_mean)


def marginals(run: Run) -> Checks:
    yield from run.events(run.call(ss.marginals, run.case.phi), run.truth.mean, run.near_mean)


def double_backward(run: Run) -> Checks:
    """Hessian products as the gradient of a gradient."""
    leaves, phi = run.leaves()
    total, size = run.call(ss.log_partition, phi), run.case.weights.flatten().abs().clamp_min(1.0)
    slopes = torch.autograd.grad(total, leaves, run.case.weights.to(total.dtype), create_graph=True)
    yield from run.slopes(slopes, _weighted(run, run.truth.mean), size * run.near_mean)
    found = torch.autograd.grad(_dot(slopes, run.case.vector), leaves, allow_unused=True)
    yield from run.slopes(found, _weighted(run, run.truth.hessian), size * run.near_hessian)


def marginals_backward(run: Run) -> Checks:
    """Hessian products as the gradient of marginals that have one."""
    leaves, phi = run.leaves()
    mean = fields_of(run.call(ss.marginals, phi))
    yield from run.events(tuple(m.detach() for m in mean), run.truth.mean, run.near_mean)
    found = torch.autograd.grad(_dot(mean, run.case.vector), leaves, allow_unused=True)
    yield from run.slopes(found, run.truth.hessian, run.near_hessian)


def covariance_vp(run: Run) -> Checks:
    found = run.call(ss.covariance_vp, run.case.phi, run.vector)
    yield from run.events(found, run.truth.hessian, run.near_hessian)


def entropy(run: Run) -> Checks:
    """The entropy, and its gradient."""
    yield from run.numbers(run.call(ss.entropy, run.case.phi), run.truth.entropy, run.near_entropy)
    leaves, phi = run.leaves()
    value = run.call(ss.entropy, phi)
    yield from run.numbers(value.detach(), run.truth.entropy, run.near_entropy)
    found = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    yield from run.slopes(found, run.truth.entropy_slope, run.near_entropy_slope)


def max_score(run: Run) -> Checks:
    """The best score; its gradient is an event of that score."""
    yield from run.numbers(run.call(ss.max_score, run.case.phi), run.truth.best, run.near_best)
    whole = tuple(
        f.expand((*run.case.batch, *shape)).clone().requires_grad_()
        for f, shape in zip(run.case.fields, run.case.model.shapes, strict=True)
    )
    value = run.call(ss.max_score, run.case.model.kind(*whole))
    event = torch.autograd.grad(value.sum(), whole, materialize_grads=True)
    right = torch.where(run.truth.best > NEG_INF, run.truth.best, 0.0)
    yield from scores(run.case.whole(run.case.fields), event, right, run.near_score)
