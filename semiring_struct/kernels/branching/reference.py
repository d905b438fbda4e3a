"""The algorithm of Chu & Liu and of Edmonds, all instances and all cycles of a round at once.

In a round every component takes the best arc that enters it. Components on a cycle become one, and what they took is
subtracted from all arcs that enter them, so that entering elsewhere is charged for what it replaces. Without a cycle
the rounds are undone: the arc that enters a component also settles which of its parts keeps the arc it took.

Weights need only be added and compared, so pairs in lexicographic order will do: with the number of root arcs first,
the tree of fewest root arcs is found, and the best among those, at any scale. A penalty on root arcs loses digits
instead.

Source: Edmonds 1967 [edmonds1967]; for the single root, Gabow & Tarjan 1984 [gabow1984], Zmigrod et al. 2020
[zmigrod2020].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from semiring_struct.kernels.elimination.reference import arcs_only
from semiring_struct.ops import NEG_INF, prefix_mask


class Round(NamedTuple):
    """For each component `(B, m)`, named by one of its vertices: the arc it took and the component it became part of.

    `member (B, m)` is the component of each vertex before the round.
    """

    member: Tensor
    head: Tensor
    dependent: Tensor
    became: Tensor


def best(w: Tensor, lengths: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """As `best_heads`."""
    score = arcs_only(w, lengths)
    m, real = w.shape[-1], prefix_mask(lengths + 1, w.shape[-1])
    real[:, 0] = False
    keys = [score]
    if single:
        few = torch.where(score == NEG_INF, NEG_INF, 0.0)
        few[:, 0] -= 1
        keys = [few, score]
    member = torch.where(real, torch.arange(m, device=w.device), 0)
    feasible = torch.ones_like(real[:, 0])
    rounds: list[Round] = []
    while True:
        head, dependent, best = _entering(keys, member)
        own = real & (member == torch.arange(m, device=w.device))
        lacking = own & (best[0] == NEG_INF)
        feasible = feasible & ~lacking.any(1)
        parent = torch.where(own & ~lacking, member.gather(1, head), 0)
        on_cycle, first = _cycles(parent)
        became = torch.where(on_cycle, first, torch.arange(m, device=w.device))
        rounds.append(Round(member, head, dependent, became))
        if not bool(on_cycle.any()):
            break
        for key, value in zip(keys, best, strict=True):
            paid = torch.where(on_cycle, value, 0.0).gather(1, member)
            key -= torch.where(real, paid, 0.0)[:, None, :]
        member = became.gather(1, member)
    heads = torch.where(real & feasible[:, None], _expand(rounds), -1)
    if single:
        feasible = feasible & ((heads == 0).sum(1) == (lengths > 0))
    return feasible, torch.where(feasible[:, None], heads, -1)


def _largest(keys: list[Tensor], allowed: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Along dim 1, the first place of the lexicographically largest allowed keys, and the keys there."""
    found = []
    for key in keys[:-1]:
        top = torch.where(allowed, key, NEG_INF).max(1).values
        allowed = allowed & (key == top[:, None])
        found.append(top)
    top, place = torch.where(allowed, keys[-1], NEG_INF).max(1)
    return place, [*found, top]


def _entering(keys: list[Tensor], member: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """For each component the best arc that enters it: head, dependent and keys, all `(B, m)`."""
    head, best = _largest(keys, member[:, :, None] != member[:, None, :])
    vertices = torch.arange(member.shape[1], device=member.device)
    inside = member[:, :, None] == vertices  # [vertex, component]
    dependent, best = _largest([b[:, :, None].expand(inside.shape) for b in best], inside)
    return head.gather(1, dependent), dependent, best


def _cycles(parent: Tensor) -> tuple[Tensor, Tensor]:
    """Which components lie on a cycle of `parent (B, m)`, 0 being its own parent, and the smallest of each cycle.

    After at least `m` steps every walk is on a cycle, and every place of a cycle is reached by some walk.
    """
    ids = torch.arange(parent.shape[1], device=parent.device).expand_as(parent)
    first, jump = ids, parent
    for _ in range(parent.shape[1].bit_length()):
        first = torch.minimum(first, first.gather(1, jump))
        jump = jump.gather(1, jump)
    on_cycle = torch.zeros_like(parent, dtype=torch.bool).scatter(1, jump, True)
    on_cycle[:, 0] = False
    return on_cycle, first


def _expand(rounds: list[Round]) -> Tensor:
    """The head of each vertex `(B, m)`."""
    last = rounds[-1]
    head, dependent = last.head, last.dependent
    for r in reversed(rounds[:-1]):
        head, dependent = head.gather(1, r.became), dependent.gather(1, r.became)
        entered = r.member.gather(1, dependent) == torch.arange(head.shape[1], device=head.device)
        head = torch.where(entered, head, r.head)
        dependent = torch.where(entered, dependent, r.dependent)
    return head
