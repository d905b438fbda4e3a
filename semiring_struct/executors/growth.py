"""How a beam over derivations ranks its children: by best completion, mere existence, perturbed log-probability."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semiring_struct.executors.machine import Grow
from semiring_struct.ops import NEG_INF, gumbel_at, gumbel_with_maximum


def by_score(key: Tensor, log_prob: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Keys are scores of the best completion: with charts of maxima, the loss of a choice is local."""
    top = scores.amax(-1, keepdim=True)
    return key[..., None] + (scores - top.masked_fill(top == NEG_INF, 0.0)), torch.zeros_like(scores)


def _local(scores: Tensor) -> Tensor:
    top = scores.amax(-1, keepdim=True)
    top = top.masked_fill(top == NEG_INF, 0.0)
    mass = (scores - top).exp().sum(-1, keepdim=True)
    return scores - top - mass.masked_fill(mass == 0, 1.0).log()


def by_existence(key: Tensor, log_prob: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """All children of finite score are worth the same: the beam enumerates."""
    log_probs = log_prob[..., None] + _local(scores)
    return torch.where(scores > NEG_INF, key[..., None], NEG_INF), log_probs


def by_gumbel(seed: Tensor, batch: int) -> tuple[Tensor, Grow]:
    """Keys are log-probabilities perturbed by Gumbel noise, drawn top down [kool2019beams]: the first, and the others.

    All noise follows from `seed (1,)`, see `ops.uniform_at`.
    """
    used = 0

    def noise(shape: tuple[int, ...]) -> Tensor:
        nonlocal used
        begin, used = used, used + math.prod(shape)
        return gumbel_at(seed, torch.arange(begin, used, device=seed.device)).reshape(shape)

    def grow(key: Tensor, log_prob: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = log_prob[..., None] + _local(scores)
        return gumbel_with_maximum(log_probs + noise(tuple(scores.shape)), key), log_probs

    return noise((batch,)), grow

