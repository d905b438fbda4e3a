"""The log of the sum over trees as a function that is differentiable twice; a third order raises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, autograd

from semiring_struct.kernels.elimination import reference
from semiring_struct.kernels.elimination.sums import sums
from semiring_struct.ops import operator, over_batch, untracked


def log_trees(w: Tensor, lengths: Tensor, single: bool) -> Tensor:
    """Log of the sum over all spanning arborescences from vertex 0 of the product of their arcs, `(B,)` float64.

    `w (B, m, m)`: log-weights `[head, dependent]`; column 0 and the diagonal are ignored. `lengths (B,)`: the number of
    words, vertices `1 .. length` besides the root. `single`: exactly one word hangs from the root. Differentiable
    twice; `-inf`, with gradient 0, where there is no tree. Cost: `O(m^3)`.
    """
    if untracked(w):
        return _total(w, lengths, single)
    return _Total.apply(w, lengths, single)[0]  # type: ignore[index]


def log_trees_and_arcs(w: Tensor, lengths: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """The same and its gradient `(B, m, m)`, the probability of each arc, itself differentiable once."""
    if untracked(w):
        return _total_and_arcs(w, lengths, single)
    log_z, arcs = _Total.apply(w, lengths, single)  # type: ignore[misc]
    return log_z, _Weighted.apply(w, lengths, single, arcs, torch.ones_like(log_z))  # type: ignore[return-value]


@operator("trees")
def _total(w: Tensor, lengths: Tensor, single: bool) -> Tensor:
    return sums(w, lengths, single, False)[0]


@torch.library.register_fake(_total)
def _(w, lengths, single):
    return w.new_empty(w.shape[:1], dtype=torch.float64)


@operator("trees_and_arcs")
def _total_and_arcs(w: Tensor, lengths: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    log_z, arcs = sums(w, lengths, single, True)
    return log_z, arcs.to(w.dtype)


@torch.library.register_fake(_total_and_arcs)
def _(w, lengths, single):
    return w.new_empty(w.shape[:1], dtype=torch.float64), w.new_empty(w.shape)


@operator("trees_curvature")
def _bent(w: Tensor, lengths: Tensor, tangent: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    rise, bent = reference.curvature(reference.eliminate(w, lengths, single), tangent)
    return rise, bent.to(w.dtype)


@torch.library.register_fake(_bent)
def _(w, lengths, tangent, single):
    return w.new_empty(w.shape[:1], dtype=torch.float64), w.new_empty(w.shape)


for _op in (_total, _total_and_arcs, _bent):
    torch.library.register_vmap(_op, over_batch(_op))


class _Total(autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, lengths: Tensor, single: bool) -> tuple[Tensor, Tensor]:
        return _total_and_arcs(w, lengths, single)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.single = inputs[2]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs[:2], output[1])

    @staticmethod
    def backward(ctx: Any, weight: Tensor, _: Tensor) -> tuple:
        w, lengths, arcs = ctx.saved_tensors
        return _weighted(w, lengths, ctx.single, arcs, weight), None, None


def _weighted(w: Tensor, lengths: Tensor, single: bool, arcs: Tensor, weight: Tensor) -> Tensor:
    if untracked(w, weight):
        return weight.to(arcs.dtype)[:, None, None] * arcs
    return _Weighted.apply(w, lengths, single, arcs, weight)  # type: ignore[return-value]


class _Weighted(autograd.Function):
    """`weight (B,)` times the arcs' probabilities, which were computed before."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, lengths: Tensor, single: bool, arcs: Tensor, weight: Tensor) -> Tensor:
        return weight.to(arcs.dtype)[:, None, None] * arcs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.single = inputs[2]
        ctx.save_for_backward(inputs[0], inputs[1], inputs[4])

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> tuple:
        w, lengths, weight = ctx.saved_tensors
        rise, bent = _curved(w, lengths, ctx.single, tangent)
        return weight.to(bent.dtype)[:, None, None] * bent, None, None, None, rise


def _curved(w: Tensor, lengths: Tensor, single: bool, tangent: Tensor) -> tuple[Tensor, Tensor]:
    if untracked(w, tangent):
        return _bent(w, lengths, tangent, single)
    return _Curved.apply(w, lengths, single, tangent)  # type: ignore[return-value]


class _Curved(autograd.Function):
    """The derivative along a tangent, of the total and of the arcs' probabilities; linear in the tangent."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, lengths: Tensor, single: bool, tangent: Tensor) -> tuple[Tensor, Tensor]:
        return _bent(w, lengths, tangent, single)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.single = inputs[2]
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, rise: Tensor, bent: Tensor) -> tuple:
        if ctx.needs_input_grad[0]:
            raise NotImplementedError(
                "third derivatives of a sum over trees are not provided; detach the second derivative"
            )
        w, lengths = ctx.saved_tensors
        # a Hessian is symmetric, so what it does to vectors it does to their gradients
        arcs = log_trees_and_arcs(w, lengths, ctx.single)[1]
        again = _curved(w, lengths, ctx.single, bent)[1]
        return None, None, None, again + rise.to(arcs.dtype)[:, None, None] * arcs
