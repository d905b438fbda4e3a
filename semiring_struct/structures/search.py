"""The two loops that write sequences: each row on its own, or the best few prefixes of an instance together."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, uniform_at
from semiring_struct.structures.rollout import Rollout


class Noise:
    """Gumbel variables that follow from one seed, a new stretch of its sequence with every call."""

    def __init__(self, seed: Tensor):
        self.seed, self.drawn = seed, 0

    def gumbel(self, shape: tuple[int, ...]) -> Tensor:
        """Independent standard Gumbels, float64."""
        count = math.prod(shape)
        places = torch.arange(self.drawn, self.drawn + count, device=self.seed.device)
        self.drawn += count
        return uniform_at(self.seed, places).log().neg().log().neg().reshape(shape)


def follow(roll: Rollout, keys: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Every row takes the choice of the largest key: whether it came to an end `(rows)`, and entries `(rows, n)`."""
    for _ in range(roll.bias.shape[1]):
        log_probs, roll = roll.choices(roll.log_prob)
        roll = roll.take(keys(log_probs).argmax(-1), log_probs)
    roll.refuse_faults()
    return roll.log_prob > NEG_INF, roll.used


def search(
    roll: Rollout, k: int, start: Tensor, rank: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Keeps the `k` prefixes of largest key of every instance, from one whose key is `start (B)`.

    `rank(total, key)` gives the keys of a prefix's children `(rows, choices)` from their log-probabilities and its own
    key. Returns the keys `(k * B)`, descending along each instance, `-inf` for blanks, and the entries `(k * B, n)`.
    """
    batch = len(start)
    key = torch.cat([start, start.new_full(((k - 1) * batch,), NEG_INF)])
    for _ in range(roll.bias.shape[1]):
        log_probs, roll = roll.choices(key)
        ranked = torch.where(key[:, None] == NEG_INF, NEG_INF, rank(roll.log_prob[:, None] + log_probs, key))
        width = ranked.shape[1]
        best = ranked.reshape(k, batch, width).transpose(0, 1).flatten(1).topk(k, dim=1)
        key, index = best.values.T.flatten(), best.indices.T
        parent = (index // width * batch + torch.arange(batch, device=key.device)).flatten()
        roll = roll.rows(parent).take((index % width).flatten(), log_probs[parent])
    roll.refuse_faults()
    return key, torch.where(key[:, None] == NEG_INF, -1, roll.used)
