"""Derivatives of operators, kept where torch keeps those of its own functions: under the dispatcher's Autograd key.

An operator is then differentiated however it is reached: by a tape, under `torch.func` and its nestings, in a compiled
graph. No caller has to see whether a gradient is asked for. `torch.library.register_autograd` uses the same key, but
its nodes are refused by `torch.func`, and it has no forward mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_batchedtensor, is_functorch_wrapped_tensor, is_gradtrackingtensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

_LIBRARY = torch.library.Library("semiring_struct", "FRAGMENT")

STATED = (
    "this gradient is stated, for reverse mode only; use torch.func.vjp, grad or jacrev in place of forward mode (jvp, "
    "jacfwd, hessian)"
)

# what an operator is given, or something for each argument that holds tensors: a tensor, None, or a list of these
Nested = Sequence[Any]


@dataclass(frozen=True)
class Derivative:
    """The first derivatives of an operator, written with operators and functions that have derivatives themselves.

    `backward(args, kept, grads, needs)` gives the gradient for each argument that holds tensors, from those that arrive
    at the outputs (None for 0); `kept` are the outputs numbered in `keep`, and `needs` tells which gradients are used.
    `forward(args, outs, tangents)` gives the tangent of each output, `tangents` being one for each such argument; None
    stands for 0. Outputs numbered in `constant` have no derivative. In place of either, `through` is a function of the
    same value that has derivatives, run where one is asked for. With no forward rule at all forward mode is refused.
    """

    backward: Callable[[Nested, Sequence[Tensor], Sequence[Tensor | None], Nested], Nested] | None = None
    forward: Callable[[Nested, Sequence[Tensor], Nested], Sequence[Tensor | None]] | None = None
    through: Callable[..., Any] | None = None
    keep: tuple[int, ...] = ()
    constant: tuple[int, ...] = ()


def differentiable(op: Any, rule: Derivative) -> None:
    """Give an operator its derivatives."""

    def kernel(*args: Any) -> Any:
        tensors, layout = _take_apart(args)
        duals = [_unpack(t) for t in tensors]
        moving = any(tangent is not None for _, tangent in duals)
        tracked = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if rule.through is not None and ((tracked and rule.backward is None) or (moving and rule.forward is None)):
            return rule.through(*args)
        if tracked:
            # the node keeps duals, so that a backward pass has tangents too; those of its outputs are attached below
            with forward_ad._set_fwd_grad_enabled(not moving and torch._C._is_fwd_grad_enabled()):
                out = _record(op, rule, tensors, layout, moving)
        else:
            with torch._C._AutoDispatchBelowAutograd():
                out = op(*args)
        if not moving:
            return out
        if rule.forward is None:
            raise NotImplementedError(STATED)
        primals, tangents = (layout.join(side) for side in zip(*duals, strict=True))
        moved = rule.forward(primals, _listed(out), layout.holding(tangents))
        outs = [x if t is None else _make_dual(x, t) for x, t in zip(_listed(out), moved, strict=True)]
        return outs[0] if isinstance(out, Tensor) else type(out)(outs)

    _LIBRARY.impl(op.name().removeprefix("semiring_struct::").removesuffix(".default"), kernel, "Autograd")
    _RULES[op] = rule


_RULES: dict[Any, Derivative] = {}


def transformed() -> bool:
    """Whether a compiled graph is being made, or `torch.func` or forward mode is at work."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0  # what torch keeps for itself, as it has no question for it
    )


def may_be_differentiated(*tensors: Tensor) -> bool:
    """Whether a derivative may be asked for: `requires_grad` tells of none that a transform outside takes."""
    return transformed() or (torch.is_grad_enabled() and any(t.requires_grad or _left_over(t) for t in tensors))


def _left_over(x: Tensor) -> bool:
    """Whether a transform that has ended still wraps this, as it does what it kept for a backward pass."""
    return is_gradtrackingtensor(x)


def has_tangent(*tensors: Tensor) -> bool:
    """Whether forward mode is at work on any of these."""
    return any(not is_batchedtensor(t) and _unpack(t)[1] is not None for t in tensors)


def is_mapped(x: Tensor) -> bool:
    """Whether `torch.func.vmap` hides values of this, on any level of nested transforms."""
    if torch.compiler.is_compiling():
        return False
    while is_functorch_wrapped_tensor(x):
        if is_batchedtensor(x):
            return True
        x = get_unwrapped(x)
    return False


def call(op: Any, *args: Any) -> Any:
    """`op(*args)`, by the shortest way there where no transform is at work: a small run takes no longer than that."""
    if transformed():
        return op(*args)
    if torch.is_grad_enabled():
        tensors, layout = _take_apart(args)
        if any(map(_left_over, tensors)):
            return op(*args)  # the dispatcher unwraps it, and then sees whether a gradient is asked for
        if any(t.requires_grad for t in tensors):
            rule = _RULES[op]
            return _record(op, rule, tensors, layout) if rule.through is None else rule.through(*args)
    with torch._C._AutoDispatchBelowAutograd():
        return op(*args)


class _Many(int):
    """So many tensors in a list."""


@dataclass(frozen=True)
class _Layout:
    """Where in an operator's arguments its tensors stand: None for one, `_Many` for a list, else the argument."""

    places: tuple[Any, ...]

    def join(self, tensors: Sequence[Any]) -> list[Any]:
        """The arguments, with these in the place of their tensors."""
        rest = iter(tensors)
        return [self._next(p, rest) if p is None or isinstance(p, _Many) else p for p in self.places]

    def holding(self, args: Sequence[Any]) -> list[Any]:
        """Those of the arguments that hold tensors."""
        return [a for a, p in zip(args, self.places, strict=True) if p is None or isinstance(p, _Many)]

    def flat(self, nested: Nested) -> list[Any]:
        """One entry for each tensor, from one for each argument that holds any."""
        out: list[Any] = []
        for p, x in zip((p for p in self.places if p is None or isinstance(p, _Many)), nested, strict=True):
            out.extend([x] if p is None else [None] * p if x is None else x)
        return out

    @staticmethod
    def _next(place: Any, rest: Iterator[Any]) -> Any:
        return next(rest) if place is None else [next(rest) for _ in range(place)]


def _take_apart(args: Sequence[Any]) -> tuple[list[Tensor], _Layout]:
    tensors: list[Tensor] = []
    places: list[Any] = []
    for a in args:
        if isinstance(a, Tensor):
            tensors.append(a)
            places.append(None)
        elif isinstance(a, list) and a and isinstance(a[0], Tensor):
            tensors.extend(a)
            places.append(_Many(len(a)))
        else:
            places.append(a)
    return tensors, _Layout(tuple(places))


def _record(op: Any, rule: Derivative, tensors: Sequence[Tensor], layout: _Layout, moving: bool = False) -> Any:
    forms: list[Any] = []
    levels = torch._C._are_functorch_transforms_active()
    with enable_single_level_autograd_function() if levels else nullcontext():
        outs = _Node.apply(op, rule, layout, moving, forms, *tensors)  # pyright: ignore[reportAttributeAccessIssue]
    return outs[0] if forms[0] is Tensor else forms[0](outs)  # type: ignore[index]


class _Node(_SingleLevelFunction):
    """One application of an operator on one level: whatever transforms are outside see the operator itself."""

    @staticmethod
    def forward(
        ctx: Any, op: Any, rule: Derivative, layout: _Layout, moving: bool, forms: list[Any], *tensors: Tensor
    ) -> tuple:
        # torch switches derivatives off for a node; the levels below need theirs
        with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True), torch._C._AutoDispatchBelowAutograd():
            out = op(*layout.join(tensors))
        forms.append(Tensor if isinstance(out, Tensor) else type(out))
        outs = _listed(out)
        ctx.op, ctx.rule, ctx.layout, ctx.count = op, rule, layout, len(tensors)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(outs[i] for i in rule.constant))
        # an output that is kept would lack the tangent that it gets later
        ctx.save_for_backward(*tensors, *(() if moving else (outs[i] for i in rule.keep)))
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        rule, layout, count = ctx.rule, ctx.layout, ctx.count
        if all(g is None for g in grads):
            return (None,) * (5 + count)
        args, kept = layout.join(ctx.saved_tensors[:count]), ctx.saved_tensors[count:]
        if len(kept) < len(rule.keep):
            again = _listed(call(ctx.op, *args))
            kept = [again[i] for i in rule.keep]
        needs = layout.holding(layout.join(ctx.needs_input_grad[5:]))
        return None, None, None, None, None, *layout.flat(rule.backward(args, kept, grads, needs))


def _listed(out: Any) -> Sequence[Tensor]:
    return (out,) if isinstance(out, Tensor) else out


def _unpack(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """A tensor and its tangent in forward mode. Torch has one level of these; `torch.func` stacks its own outside."""
    if not x.is_floating_point() or not torch._C._is_fwd_grad_enabled():
        return x, None
    return torch._VF._unpack_dual(x, level=0)  # type: ignore[attr-defined]


def _make_dual(x: Tensor, tangent: Tensor) -> Tensor:
    return torch._VF._make_dual(x, tangent.to(x.dtype), level=0)  # type: ignore[attr-defined]
