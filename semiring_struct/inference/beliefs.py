"""Loopy belief propagation: approximate marginals of a factor graph, by messages instead of elimination."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.inference.door import open_door
from semiring_struct.inference.finite import checked
from semiring_struct.ops import NEG_INF, log_softmax, logaddexp, logsumexp
from semiring_struct.structures import FactorGraph
from semiring_struct.types import storable

Messages = Mapping[tuple[int, str], Tensor]


@storable
class Beliefs(NamedTuple):
    """What loopy belief propagation ends with.

    `marginals` are like the potentials, `log_partition (*batch,)` is Bethe's, and `residual (*batch,)` the largest
    change of a message's probability in the last iteration: near 0, the messages have settled.
    """

    marginals: Any
    log_partition: Tensor
    residual: Tensor


def loopy_belief_propagation(
    structure: FactorGraph, log_potentials: Any, iterations: int = 50, damping: float = 0.0
) -> Beliefs:
    """Approximate marginals and log-partition of a factor graph, whatever its treewidth.

    Every iteration renews all messages from factors to variables at once. On a graph without loops the answers are
    exact after as many iterations as its longest path has factors; on others they are those of a fixed point of the
    Bethe free energy if the messages settle, and of no known error otherwise.

    Args:
        structure: a `FactorGraph` none of whose factors names a variable twice.
        log_potentials: its potentials, any batch dims.
        iterations: how many, 1 or more.
        damping: the share of its old probabilities that a message keeps, in [0, 1).

    Differentiable in the potentials, through the iterations. An infeasible instance has log-partition `-inf` where its
    messages show it, and beliefs of 0. Raises `UnsupportedQueryError` for another structure, `ValueError` for other
    settings. Cost: per iteration, the entries of all factors times their letters.
    Reference: Yedidia, Freeman & Weiss 2005, sec. 5 [yedidia2005].
    """
    if not isinstance(structure, FactorGraph):
        raise UnsupportedQueryError(f"loopy_belief_propagation needs a FactorGraph; got {type(structure).__name__}")
    factors = structure.factors
    if any(len(set(f)) < len(f) for f in factors):
        raise UnsupportedQueryError(f"loopy_belief_propagation: a factor of {structure} names a variable twice")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1 or not 0 <= damping < 1:
        raise ValueError(f"iterations must be 1 or more, damping in [0, 1); got {iterations!r} and {damping!r}")
    door = checked(open_door(structure, log_potentials))
    full = structure.full_shapes(list(door.events))
    tables = [f.double().expand(f.shape[0], *shape) for f, shape in zip(door.flat, full, strict=True)]
    messages: Messages = {
        (i, x): log_softmax(tables[i].new_zeros(len(tables[i]), door.sizes[x]), -1)
        for i, f in enumerate(factors) for x in f
    }  # fmt: skip
    residual = tables[0].new_zeros(len(tables[0]))
    for _ in range(iterations):
        new = _renewed(factors, tables, messages, damping)
        changes = [(new[edge].exp() - messages[edge].exp()).abs().amax(-1) for edge in messages]
        residual, messages = torch.stack(changes).amax(0), new
    log_beliefs = [_belief(factors, tables[i], messages, i) for i in range(len(factors))]
    log_z = _bethe(factors, tables, log_beliefs, messages)
    kind = door.fields[0].dtype
    means = [
        b.exp().reshape(t.shape).sum_to_size((len(t), *stored)).to(kind)
        for b, t, stored in zip(log_beliefs, tables, door.events, strict=True)
    ]
    return Beliefs(door.pack([door.shape(m) for m in means]), door.shape(log_z.to(kind)), door.shape(residual.to(kind)))


def _renewed(factors: Sequence[str], tables: Sequence[Tensor], messages: Messages, damping: float) -> Messages:
    """All messages from factors to variables, from those before."""
    new = {}
    for edge, old in messages.items():
        i, x = edge
        table = _reweighted(factors, tables[i], messages, i, [y for y in factors[i] if y != x])
        rows = table.movedim(1 + factors[i].index(x), 1).unsqueeze(-1).flatten(2)
        fresh = log_softmax(logsumexp(rows, -1), -1)
        new[edge] = logaddexp(fresh + math.log1p(-damping), old + math.log(damping)) if damping else fresh
    return new


def _incoming(factors: Sequence[str], messages: Messages, x: str, without: int | None = None) -> Tensor | None:
    """What all factors but one say of a variable, `(batch, size)`; summed anew, since -inf can not be taken away."""
    total = None
    for i, f in enumerate(factors):
        if x in f and i != without:
            total = messages[i, x] if total is None else total + messages[i, x]
    return total


def _reweighted(
    factors: Sequence[str], table: Tensor, messages: Messages, i: int, letters: Sequence[str]
) -> Tensor:
    """A factor's table with what the other factors say of some of its variables."""
    for x in letters:
        told = _incoming(factors, messages, x, without=i)
        if told is not None:
            shape = [told.shape[-1] if y == x else 1 for y in factors[i]]
            table = table + told.reshape(len(told), *shape)
    return table


def _belief(factors: Sequence[str], table: Tensor, messages: Messages, i: int) -> Tensor:
    """The log-belief of a factor, flat: `(batch, entries)`."""
    return log_softmax(_reweighted(factors, table, messages, i, factors[i]).flatten(1), -1)


def _bethe(factors: Sequence[str], tables: Sequence[Tensor], beliefs: Sequence[Tensor], messages: Messages) -> Tensor:
    """`(batch,)`: expected scores and entropies of all factors, less what variables in several factors count twice."""
    total = tables[0].new_zeros(len(tables[0]))
    feasible = torch.ones_like(total, dtype=torch.bool)
    for table, belief in zip(tables, beliefs, strict=True):
        feasible = feasible & (belief > NEG_INF).any(-1)
        total = total + _mean(belief, table.flatten(1)) + _entropy(belief)
    for x in dict.fromkeys("".join(factors)):
        told = _incoming(factors, messages, x)
        if told is not None:
            total = total - (sum(x in f for f in factors) - 1) * _entropy(log_softmax(told, -1))
    return torch.where(feasible, total, NEG_INF)


def _mean(log_p: Tensor, values: Tensor) -> Tensor:
    none = log_p == NEG_INF
    return (log_p.exp() * torch.where(none, 0.0, values)).sum(-1)


def _entropy(log_p: Tensor) -> Tensor:
    return -_mean(log_p, log_p)
