"""Elimination of one vertex after another, in log space.

Vertex `v` can be left out of a rooted graph: each pair of an arc `h -> v` and an arc `v -> m` is made up for by an arc
`h -> m` of weight `w[h, v] w[v, m] / S`, where `S = sum_h w[h, v]`; arcs from a vertex to itself are dropped. The sum
over the trees of the graph is then `S` times that of the smaller one. No step subtracts, so that no digits are lost at
any scale. What the steps did is kept: which share of each new arc goes `via` v, and the law of v's own head.

Source: Grassmann, Taksar & Heyman 1985 [grassmann1985] for Markov chains; as the matrix-tree theorem, Koo et al. 2007
[koo2007] with its single-root case, which is here the limit of root arcs that weigh nothing beside the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, prefix_mask


class Step(NamedTuple):
    """The elimination of one vertex `v`, when the vertices `0 .. v-1` remain.

    `heads (B, v)` is the law of v's head if v is a leaf, and 0 where v is no vertex; `via (B, v, v)` is the share of
    the new weight of `[h, m]` that stands for the path `h -> v -> m`. `lonely (B,)`: v had arcs from the root alone,
    which a single root can give to one vertex only.
    """

    heads: Tensor
    via: Tensor
    log_heads: Tensor
    lonely: Tensor


@dataclass(frozen=True)
class Elimination:
    """Log of the sum over all trees `(B,)`, and the steps, the last vertex first."""

    log_z: Tensor
    steps: tuple[Step, ...]
    real: Tensor

    @property
    def feasible(self) -> Tensor:
        return self.log_z > NEG_INF


def arcs_only(w: Tensor, lengths: Tensor) -> Tensor:
    """Log-weights in float64, `-inf` where there is no arc: into vertex 0, on the diagonal, past `lengths` words."""
    m = w.shape[-1]
    real = prefix_mask(lengths + 1, m)
    none = torch.eye(m, dtype=torch.bool, device=w.device)
    none[:, 0] = True
    return torch.where(none | ~(real[:, :, None] & real[:, None, :]), NEG_INF, w.double())


def eliminate(w: Tensor, lengths: Tensor, single: bool, keep: bool = True) -> Elimination:
    """Eliminate vertices `m-1 .. 1` of `w (B, m, m)`, `[head, dependent]`, root 0, words `1 .. lengths`.

    `single`: exactly one arc leaves the root. `keep=False` keeps no steps. Cost: `O(m^3)` time and, kept, memory.
    """
    w, m = arcs_only(w, lengths), w.shape[-1]
    real = prefix_mask(lengths + 1, m)
    log_z = w.new_zeros(len(w))
    rooted = torch.full_like(real[:, 0], not single)  # whether root arcs weigh as much as others
    steps = []
    for v in range(m - 1, 0, -1):
        column, row, rest = w[:, :v, v], w[:, v, :v], w[:, :v, :v]
        log_heads, lonely = column, torch.zeros_like(rooted)
        if single:
            log_heads = torch.cat([column[:, :1].masked_fill(~rooted[:, None], NEG_INF), column[:, 1:]], 1)
            lonely = (log_heads == NEG_INF).all(1) & ~rooted & real[:, v]
            log_heads = torch.where(lonely[:, None], column, log_heads)
        pivot = _logsumexp(log_heads)
        log_z = log_z + torch.where(real[:, v], pivot, 0.0)
        safe = torch.where(pivot == NEG_INF, 0.0, pivot)[:, None]
        merged, via = _merge(rest, (column - safe)[:, :, None] + row[:, None, :])
        if single:
            # the root's one arc is spent on v: from now on what hangs from v hangs from the root
            via[:, 0] = torch.where(lonely[:, None], 1.0, via[:, 0])
            merged[:, 0] = torch.where(lonely[:, None], row, merged[:, 0])
            rooted = rooted | lonely
        merged.diagonal(0, 1, 2).fill_(NEG_INF)
        rest.copy_(merged)
        if keep:
            log_heads = log_heads - safe
            steps.append(Step(log_heads.exp(), via, log_heads, lonely))
    return Elimination(log_z, tuple(steps), real)


def _logsumexp(x: Tensor) -> Tensor:
    top = x.amax(1)
    safe = torch.where(top == NEG_INF, 0.0, top)
    return (x - safe[:, None]).exp().sum(1).log() + safe  # the log of 0 is -inf


def _merge(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`log(e^a + e^b)` and the share of b in it, 0 where both are `-inf`."""
    top = torch.maximum(a, b)
    small = (torch.minimum(a, b) - torch.where(top == NEG_INF, 0.0, top)).exp_()
    share = torch.where(b > a, 1.0, small) / (1 + small)
    return top.add_(small.log1p()), share


def arcs(e: Elimination) -> Tensor:
    """The probability of every arc `(B, m, m)`: the gradient of `log_z`, by undoing the steps; 0 where infeasible."""
    out = e.log_z.new_zeros(len(e.log_z), len(e.steps) + 1, len(e.steps) + 1)
    for v, step in enumerate(reversed(e.steps), 1):
        rest = out[:, :v, :v]
        through = rest * step.via
        rest -= through
        leaf = (e.feasible & e.real[:, v]).double() - through.sum((1, 2))
        out[:, v, :v] = through.sum(1)
        out[:, :v, v] = through.sum(2) + step.heads * leaf[:, None]
    return out.clamp_(min=0)


def curvature(e: Elimination, tangent: Tensor) -> tuple[Tensor, Tensor]:
    """Along `tangent (B, m, m)`: the derivative of `log_z` `(B,)` and that of `arcs` `(B, m, m)`.

    Tangents pass forward through the steps as averages, and come back beside the probabilities of `arcs`.
    """
    u = tangent.double().clone()
    rise, slopes = e.log_z.new_zeros(len(u)), []
    for v, step in zip(range(len(e.steps), 0, -1), e.steps, strict=True):
        column, row, rest = u[:, :v, v], u[:, v, :v], u[:, :v, :v]
        mean = (step.heads * column).sum(1)
        change = (column - mean[:, None])[:, :, None] + row[:, None, :] - rest
        slopes.append((step.heads * (column - mean[:, None]), step.via * (1 - step.via) * change))
        rest += step.via * change
        rise = rise + mean
    out, dot = torch.zeros_like(u), torch.zeros_like(u)
    for v, step, (heads_dot, via_dot) in zip(range(1, len(e.steps) + 1), e.steps[::-1], slopes[::-1], strict=True):
        rest, rest_dot = out[:, :v, :v], dot[:, :v, :v]
        through, through_dot = rest * step.via, rest_dot * step.via + rest * via_dot
        rest -= through
        rest_dot -= through_dot
        leaf = (e.feasible & e.real[:, v]).double() - through.sum((1, 2))
        out[:, v, :v], dot[:, v, :v] = through.sum(1), through_dot.sum(1)
        out[:, :v, v] = through.sum(2) + step.heads * leaf[:, None]
        moved = heads_dot * leaf[:, None] - step.heads * through_dot.sum((1, 2))[:, None]
        dot[:, :v, v] = through_dot.sum(2) + moved
    return torch.where(e.feasible, rise, 0.0), dot
