"""Soft matchings by alternate normalisation of rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.inference.fields import HALVES
from semiring_struct.ops import (
    NEG_INF,
    Derivative,
    call,
    differentiable,
    in_front,
    logsumexp,
    operator,
    prefix_mask,
    refuse_where,
)
from semiring_struct.structures import bounds_of
from semiring_struct.types import storable


@storable
class SoftMatching(NamedTuple):
    """`mean (*batch, n, n)`, whose columns sum to 1; `residual (*batch,)`, by how much a row sum is off 1 at most.

    A `residual` that is not small says that the iterations ended before their limit, or that they have none.
    """

    mean: Tensor
    residual: Tensor


def sinkhorn(scores: Tensor, temperature: float = 1.0, iterations: int = 20, lengths: Any = None) -> SoftMatching:
    r"""`exp(scores / temperature)`, its rows and then its columns made to sum to 1, `iterations` times.

    The limit is the matching of maximal entropy-regularised score over the doubly stochastic matrices,

    .. math:: \operatorname*{argmax}_{x} \langle \text{scores}, x \rangle - t \sum_{ij} x_{ij} \log x_{ij},

    which is not the matrix of marginals of the exponential family of matchings (that is `marginals(Matching(), ...)`).
    With Gumbel noise added to the scores it is the Gumbel-Sinkhorn relaxation.

    Bias: a soft matching; as the temperature falls it becomes the best matching, and needs more iterations. Needs:
    nothing but the scores. Does not need: an assignment solver, a partition function.

    `scores (*batch, n, n)`, `-inf` for a forbidden pair; `lengths (*batch,)`: only the leading block is matched,
    the rest is 0. Look at `residual`: there is no test of convergence, and the default of 20 iterations is far from the
    limit where the temperature is small beside the scores. Raise `iterations` until it is as small as you need. Where
    no perfect matching is allowed the iteration has no limit, and `residual` stays large.
    Differentiable through the iterations, to any order. In float64 inside. Cost: `O(iterations n^2)` time and
    `O(n^2 + iterations n)` memory, with or without a gradient.
    Source: Cuturi 2013, sec. 4 [cuturi2013]; Mena et al. 2018, sec. 3 [mena2018].
    """
    if scores.dim() < 2 or scores.shape[-1] != scores.shape[-2]:
        raise ShapeError(f"sinkhorn needs scores (*batch, n, n); got {tuple(scores.shape)}")
    if not scores.is_floating_point():
        raise TypeError(f"sinkhorn needs floating-point scores; got {scores.dtype}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"sinkhorn needs a finite temperature above 0; got {temperature}")
    if not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"sinkhorn needs an integer number of iterations, at least 1; got {iterations!r}")
    scores = scores.float() if scores.dtype in HALVES else scores
    batch, n = tuple(scores.shape[:-2]), scores.shape[-1]
    bounds = bounds_of("sinkhorn", lengths, (n,), batch, scores.device)[:, 0].reshape(batch)
    real = prefix_mask(bounds, n)
    block = real[..., :, None] & real[..., None, :]
    refuse_where(block & ~(scores.detach() < torch.inf), "sinkhorn: scores hold NaN or +inf")
    x = torch.where(block, scores.double() / temperature, NEG_INF)
    rows = columns = x.new_zeros(x.shape[:-1])
    for _ in range(iterations if n else 0):
        rows = _level(x, columns)
        columns = _level(x.mT, rows)
    mean = (x + rows[..., :, None] + columns[..., None, :]).exp()
    off = torch.where(real, mean.detach().sum(-1) - 1, 0.0).abs()
    return SoftMatching(mean.to(scores.dtype), (off.amax(-1) if n else off.sum(-1)).to(scores.dtype))


def _level(x: Tensor, column: Tensor) -> Tensor:
    # a compiled graph may fuse the loop, and recomputes what it does not keep
    return _plain(x, column) if torch.compiler.is_compiling() else call(_levelled, x, column)


def _plain(x: Tensor, column: Tensor) -> Tensor:
    """`-logsumexp(x + column)` of each row, which makes it sum to 1; 0 for a row of `-inf`."""
    total = logsumexp(x + column[..., None, :], -1)
    return torch.where(total == NEG_INF, 0.0, -total)


@operator("levelled")
def _levelled(x: Tensor, column: Tensor) -> Tensor:
    """The same, of which a tape keeps the answer only."""
    return _plain(x, column)


def _share(x: Tensor, column: Tensor, row: Tensor) -> Tensor:
    return (x + column[..., None, :] + row[..., :, None]).exp()


def _backward(args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]) -> tuple:
    x, column = args
    moved = -grads[0][..., None] * _share(x, column, kept[0])
    return moved, moved.sum(-2)


def _forward(args: Sequence[Any], outs: Sequence[Tensor], tangents: Sequence[Any]) -> tuple:
    x, column = args
    moved, beside = tangents
    if beside is not None:
        moved = beside[..., None, :] if moved is None else moved + beside[..., None, :]
    return (-(_share(x, column, outs[0]) * moved).sum(-1),)


@torch.library.register_fake(_levelled)
def _(x, column):
    return x.new_empty((*torch.broadcast_shapes(x.shape[:-2], column.shape[:-1]), x.shape[-2]))


torch.library.register_vmap(_levelled, in_front(_levelled))
differentiable(_levelled, Derivative(_backward, _forward, keep=(0,)))
