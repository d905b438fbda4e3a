"""What operators that compiled graphs and `vmap` carry whole have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable)


def constant(function: Function) -> Function:
    """Mark a function whose result compiled graphs may take as a constant.

    As `torch.compiler.assume_constant_result`, which imports the compiler to do it: a second, and 80 MB.
    """
    vars(function)["_dynamo_marked_constant"] = True
    return function


def outside(why: str) -> Callable[[Function], Function]:
    """Mark a function that compiled graphs call between two of them; with `fullgraph=True` compiling fails, saying why.

    It is given arguments by position. As `torch.compiler.disable`, but that the compiler is loaded by the first graph.
    """

    def mark(function: Function) -> Function:
        apart: list[Any] = []

        @constant
        def set_apart() -> None:
            if not apart:
                apart.append(torch._dynamo.disable(function, reason=why))

        @wraps(function)
        def run(*args: Any) -> Any:
            if not torch.compiler.is_compiling():
                return function(*args)
            set_apart()
            return apart[0](*args)

        return cast("Function", run)

    return mark


def operator(name: str) -> Callable[[Callable], Any]:
    """Make a function an operator `semiring_struct::name`, which compiled graphs and `vmap` carry whole.

    `torch.library.custom_op` also puts autograd around it, which takes longer than a small run. Derivatives of ours are
    declared by `differentiable`; an operator without has none, and is reached without gradients.
    """

    def register(function: Callable) -> Any:
        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(f"semiring_struct::{name}", schema, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(f"semiring_struct::{name}", "default", function)
        return getattr(torch.ops.semiring_struct, name).default

    return register


def over_batch(op: Callable, batched: int | None = None) -> Callable:
    """The vmap rule of an operator whose outputs keep the batch dim of its inputs first: a mapped dim joins the batch.

    Tensors among its first `batched` arguments (all of them by default) have that dim.
    """

    def rule(info, in_dims, *args):
        size = info.batch_size
        folded, batch = fold(size, in_dims, args, batched)
        out = op(*folded)
        if isinstance(out, Tensor):
            return out.unflatten(0, (size, batch)), 0
        split = [o.unflatten(0, (size, batch)) for o in out]
        return (tuple(split), (0,) * len(split)) if isinstance(out, tuple) else (split, [0] * len(split))

    return rule


@operator("refused")
def refused(like: Tensor, message: str) -> Tensor:
    """Raises `NotImplementedError`: when it is run, so that a compiled graph may hold a gradient that none asks for."""
    raise NotImplementedError(message)


torch.library.register_fake(refused)(lambda like, message: torch.empty_like(like))
torch.library.register_vmap(refused, lambda info, in_dims, like, message: (refused(like, message), in_dims[0]))


def over_paths(op: Callable, number: int, seed: int | None = None) -> Callable:
    """The vmap rule of an operator whose outputs hold paths: path `i * batch + b` is the i-th of instance `b`.

    Argument `number` says how many each instance has. The first two arguments have the batch dim, the rest does not.
    Argument `seed` is the seed of drawn paths: where it is mapped, the noise is to differ among the mapped, and one
    seed gives all of it; where it is not, the noise is to be the same, and they run one after another.
    """

    def rule(info, in_dims, *args):
        size = info.batch_size
        if seed is not None and in_dims[seed] is None and size:
            runs = [_listed(op(*one)) for one in _one_by_one(size, in_dims, args)]
            outs = [torch.stack(column) for column in zip(*runs, strict=True)]
        else:
            folded, batch = fold(size, in_dims, args, batched=2)
            if seed is not None and in_dims[seed] is not None:
                folded[seed] = args[seed].movedim(in_dims[seed], 0)[0] if size else args[seed].new_zeros(1)
            split = [o.unflatten(0, (args[number], size, batch)) for o in _listed(op(*folded))]
            outs = [o.movedim(1, 0).flatten(1, 2) for o in split]
        form = list if op._schema.returns[0].type.kind() == "ListType" else tuple
        return form(outs), form([0] * len(outs))

    return rule


def _listed(out: Any) -> Sequence[Tensor]:
    return (out,) if isinstance(out, Tensor) else out


def _one_by_one(size: int, in_dims: Sequence[Any], args: Sequence[Any]) -> Iterator[list[Any]]:
    """The arguments of each of the mapped."""

    def at(i: int, arg: Any, dims: Any) -> Any:
        if dims is None:
            return arg
        return [at(i, a, d) for a, d in zip(arg, dims, strict=True)] if isinstance(arg, list) else arg.select(dims, i)

    for i in range(size):
        yield [at(i, arg, dims) for arg, dims in zip(args, in_dims, strict=True)]


def fold(size: int, in_dims: Sequence[Any], args: Sequence[Any], batched: int | None = None) -> tuple[list[Any], int]:
    """Arguments of an operator whose mapped dims have joined the batch dim of tensors, and the batch dim that was."""
    folded: list[Any] = []
    sizes: list[int] = []

    def one(x: Tensor, dim: int | None) -> Tensor:
        x = x.unsqueeze(0).expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        sizes.append(x.shape[1])
        return x.flatten(0, 1)

    for i, (arg, dims) in enumerate(zip(args, in_dims, strict=True)):
        if batched is not None and i >= batched:
            folded.append(arg)
        elif isinstance(arg, Tensor):
            folded.append(one(arg, dims))
        elif isinstance(arg, list) and arg and isinstance(arg[0], Tensor):
            dims = [None] * len(arg) if dims is None else dims
            folded.append([one(a, d) for a, d in zip(arg, dims, strict=True)])
        else:
            folded.append(arg)
    return folded, sizes[0]


def in_front(op: Callable, broadcast: bool = False) -> Callable:
    """The vmap rule of an operator on tensors that may have any leading dims: a mapped one goes in front.

    Tensors that are not mapped get a leading size of 1, or with `broadcast` the mapped one.
    """

    def rule(info, in_dims, *args):
        moved = []
        for arg, dim in zip(args, in_dims, strict=True):
            if not isinstance(arg, Tensor):
                moved.append(arg)
            elif dim is None:
                moved.append(arg.expand(info.batch_size, *arg.shape) if broadcast else arg[None])
            else:
                moved.append(arg.movedim(dim, 0))
        return op(*moved), 0

    return rule
