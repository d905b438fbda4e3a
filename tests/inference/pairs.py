"""Transforms of torch, what each makes of a function, and the same by nothing but autograd and loops.

A function takes one tensor `x (batch, ...)` and gives one tensor. A transform of it is such a function again, so any
two nest. Derivatives are contracted with fixed weights: those by reverse mode with weights on the outputs, forward mode
with a direction of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Function = Callable[[Tensor], Tensor]
SEED = 5  # what a function draws follows from this
STEP = 1e-4


def weights(like: Tensor, seed: int = 1) -> Tensor:
    """Fixed numbers of the shape of a tensor, by no random operation: vmap and compiled graphs would refuse that."""
    places = torch.arange(like.numel(), dtype=torch.float64, device="cpu")
    return torch.cos(2.7 * places + seed).reshape(like.shape).to(like.dtype)


def direction(like: Tensor) -> Tensor:
    return weights(like, seed=2)


def compiled(backend: str) -> Callable[[Function], Function]:
    return lambda f: torch.compile(f, backend=backend, fullgraph=True)


def gradient(f: Function) -> Function:
    def weighted(x: Tensor) -> Tensor:
        y = f(x)
        return (y * weights(y)).sum()

    return torch.func.grad(weighted)


def mapped(f: Function) -> Function:
    """Over the batch dim, which comes back as dims of 1."""
    return lambda x: torch.func.vmap(lambda row: f(row[None]), randomness="same")(x)


def tangent(f: Function) -> Function:
    return lambda x: torch.func.jvp(f, (x,), (direction(x),))[1]


def by_rows(jacobian: Callable[..., Any]) -> Callable[[Function], Function]:
    def transform(f: Function) -> Function:
        def run(x: Tensor) -> Tensor:
            rows = jacobian(f)(x)
            lead = rows.dim() - x.dim()
            out = weights(rows[(..., *[0] * x.dim())]).reshape(*rows.shape[:lead], *[1] * x.dim())
            return (rows * out).flatten(0, lead - 1).sum(0) if lead else rows * out

        return run

    return transform


def second(f: Function) -> Function:
    def weighted(x: Tensor) -> Tensor:
        y = f(x)
        return (y * weights(y)).sum()

    def run(x: Tensor) -> Tensor:
        bent = torch.func.hessian(weighted)(x)
        return (bent * direction(x)).flatten(x.dim()).sum(-1)

    return run


def checkpointed(f: Function) -> Function:
    return lambda x: checkpoint(f, x, use_reentrant=False)  # pyright: ignore[reportReturnType]


def within(context: Callable[[], Any]) -> Callable[[Function], Function]:
    def transform(f: Function) -> Function:
        def run(x: Tensor) -> Tensor:
            with context():
                return f(x)

        return run

    return transform


def autocast() -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16)


TRANSFORMS: dict[str, Callable[[Function], Function]] = {
    "compile eager": compiled("eager"),
    "compile aot_eager": compiled("aot_eager"),
    "grad": gradient,
    "vmap": mapped,
    "jvp": tangent,
    "jacrev": by_rows(torch.func.jacrev),
    "jacfwd": by_rows(torch.func.jacfwd),
    "hessian": second,
    "checkpoint": checkpointed,
    "autocast": within(autocast),
    "inference_mode": within(torch.inference_mode),
    "no_grad": within(torch.no_grad),
}
COMPILED = ("compile eager", "compile aot_eager")


def _tape(f: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """`f(x)` on a tape, and the point that it begins at."""
    with torch.enable_grad():
        point = x if x.requires_grad else x.detach().requires_grad_()
        return f(point), point


def _pulled(y: Tensor, x: Tensor, seed: Tensor) -> Tensor:
    if not y.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(y, x, seed, create_graph=True, materialize_grads=True)[0]


def plain_gradient(f: Function) -> Function:
    def run(x: Tensor) -> Tensor:
        y, point = _tape(f, x)
        return _pulled(y, point, weights(y))

    return run


def plain_tangent(f: Function) -> Function:
    """By a central difference, which a tape can differentiate again."""

    def run(x: Tensor) -> Tensor:
        ahead, behind = (_seeded(f)(x + side * direction(x)) for side in (STEP, -STEP))
        return (ahead - behind) / (2 * STEP)

    return run


def _seeded(f: Function) -> Function:
    def run(x: Tensor) -> Tensor:
        torch.manual_seed(SEED)
        return f(x)

    return run


def plain_second(f: Function) -> Function:
    def run(x: Tensor) -> Tensor:
        slope, point = _tape(plain_gradient(f), x)
        return _pulled(slope, point, direction(x))

    return run


def one_by_one(f: Function) -> Function:
    def run(x: Tensor) -> Tensor:
        rows = []
        for row in x:
            rows.append(_seeded(f)(row[None]))
        return torch.stack(rows)

    return run


def _same(f: Function) -> Function:
    return f


PLAIN: dict[str, Callable[[Function], Function]] = {
    **dict.fromkeys(TRANSFORMS, _same),
    "grad": plain_gradient,
    "jacrev": plain_gradient,
    "jacfwd": plain_gradient,
    "jvp": plain_tangent,
    "hessian": plain_second,
    "vmap": one_by_one,
    "inference_mode": within(torch.no_grad),
    "no_grad": within(torch.no_grad),
}
UNTRACKED = ("inference_mode", "no_grad")
DERIVATIVES = ("grad", "jvp", "jacrev", "jacfwd", "hessian")
