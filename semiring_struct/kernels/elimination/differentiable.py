"""The log of the sum over trees as a function that is differentiable twice; a third order raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.kernels.elimination import reference
from semiring_struct.kernels.elimination.sums import sums
from semiring_struct.ops import Derivative, call, differentiable, operator, over_batch, refused

THIRD = "third derivatives of a sum over trees are not provided; detach the second derivative"


def log_trees(w: Tensor, lengths: Tensor, single: bool) -> Tensor:
    """Log of the sum over all spanning arborescences from vertex 0 of the product of their arcs, `(B,)` float64.

    `w (B, m, m)`: log-weights `[head, dependent]`; column 0 and the diagonal are ignored. `lengths (B,)`: the number of
    words, vertices `1 .. length` besides the root. `single`: exactly one word hangs from the root. Differentiable
    twice; `-inf`, with gradient 0, where there is no tree. Cost: `O(m^3)`.
    """
    return call(_total, w, lengths, single)


def log_trees_and_arcs(w: Tensor, lengths: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """The same and its gradient `(B, m, m)`, the probability of each arc, itself differentiable once."""
    return call(_total_and_arcs, w, lengths, single)


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


def _through_arcs(w: Tensor, lengths: Tensor, single: bool) -> Tensor:
    return call(_total_and_arcs, w, lengths, single)[0]


def _total_forward(args: Sequence[Any], outs: Sequence[Tensor], tangents: Sequence[Any]) -> Sequence[Tensor]:
    arcs = call(_total_and_arcs, *args)[1]
    return [(arcs * tangents[0]).double().sum((1, 2))]


def _arcs_backward(args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]) -> tuple:
    w, lengths, single = args
    weight, tangent = grads
    out = None if weight is None else weight.to(kept[0].dtype)[:, None, None] * kept[0]
    if tangent is not None:
        bent = call(_bent, w, lengths, tangent, single)[1]
        out = bent if out is None else out + bent
    return out, None


def _arcs_forward(args: Sequence[Any], outs: Sequence[Tensor], tangents: Sequence[Any]) -> Sequence[Tensor]:
    w, lengths, single = args
    return call(_bent, w, lengths, tangents[0], single)


def _bent_backward(args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]) -> tuple:
    w, lengths, tangent, single = args
    rise, bent = grads
    if bent is not None and needs[0]:
        return refused(w, THIRD), None, None
    along, again = None, None
    if bent is not None:
        # a Hessian is symmetric, so what it does to vectors it does to their gradients
        again = call(_bent, w, lengths, bent, single)[1]
    if rise is not None:
        arcs = call(_total_and_arcs, w, lengths, single)[1]
        slope = rise.to(arcs.dtype)[:, None, None] * arcs
        again = slope if again is None else again + slope
        if needs[0]:
            along = rise.to(arcs.dtype)[:, None, None] * call(_bent, w, lengths, tangent, single)[1]
    return along, None, again


def _bent_forward(args: Sequence[Any], outs: Sequence[Tensor], tangents: Sequence[Any]) -> Sequence[Tensor]:
    w, lengths, _, single = args
    if tangents[0] is not None:
        raise NotImplementedError(THIRD)
    return call(_bent, w, lengths, tangents[2], single)


differentiable(_total, Derivative(forward=_total_forward, through=_through_arcs))
differentiable(_total_and_arcs, Derivative(_arcs_backward, _arcs_forward, keep=(1,)))
differentiable(_bent, Derivative(_bent_backward, _bent_forward))
