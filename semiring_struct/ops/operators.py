"""What operators that compiled graphs and `vmap` carry whole have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

Function = TypeVar("Function", bound=Callable)


def untracked(*tensors: Tensor) -> bool:
    """Whether to call an operator itself: no gradient is asked for (Dynamo of torch 2.13 fails on such a Function)."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return False
    # a forward-mode tangent must reach the Function, which refuses it; the operator would drop it silently
    return torch.compiler.is_compiling() or all(forward_ad.unpack_dual(t).tangent is None for t in tensors)


def constant(function: Function) -> Function:
    """Mark a function whose result compiled graphs may take as a constant.

    As `torch.compiler.assume_constant_result`, which imports the compiler to do it: a second, and 80 MB.
    """
    vars(function)["_dynamo_marked_constant"] = True
    return function


def operator(name: str) -> Callable[[Callable], Any]:
    """Make a function an operator `semiring_struct::name`, which compiled graphs and `vmap` carry whole.

    `torch.library.custom_op` also puts autograd around it, which takes longer than a small run. Ours are called by an
    `autograd.Function`, or where no gradient is asked for (see `untracked`).
    """

    def register(function: Callable) -> Any:
        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(f"semiring_struct::{name}", schema, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(f"semiring_struct::{name}", "default", function)
        return getattr(torch.ops.semiring_struct, name).default

    return register


def _fold(x: Tensor, dim: int | None, size: int) -> Tensor:
    """A mapped dim joins the batch dim."""
    x = x.unsqueeze(0).expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.flatten(0, 1)


def _unfold(x: Tensor, size: int) -> Tensor:
    """The mapped dim comes out of the batch dim again."""
    return x.unflatten(0, (size, x.shape[0] // size))


def over_batch(op: Callable, batched: int | None = None) -> Callable:
    """The vmap rule of an operator whose outputs keep the batch dim of its inputs first.

    Tensors among its first `batched` arguments (all of them by default) have that dim.
    """

    def rule(info, in_dims, *args):
        size = info.batch_size
        folded = []
        for i, (arg, dims) in enumerate(zip(args, in_dims, strict=True)):
            if batched is not None and i >= batched:
                folded.append(arg)
            elif isinstance(arg, Tensor):
                folded.append(_fold(arg, dims, size))
            elif isinstance(arg, list) and arg and isinstance(arg[0], Tensor):
                dims = [None] * len(arg) if dims is None else dims
                folded.append([_fold(a, d, size) for a, d in zip(arg, dims, strict=True)])
            else:
                folded.append(arg)
        out = op(*folded)
        if isinstance(out, Tensor):
            return _unfold(out, size), 0
        split = [_unfold(o, size) for o in out]
        return (tuple(split), (0,) * len(split)) if isinstance(out, tuple) else (split, [0] * len(split))

    return rule
