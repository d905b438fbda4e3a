"""Every outcome of an estimator's randomness, as one batch: exact means and variances of what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Size, Tensor

from semiring_struct.types import DistinctSamples, TopK


class Scripted:
    """A distribution whose draws are written down: `events (draws, outcomes, ...)`, one outcome per instance."""

    def __init__(self, distribution: Any, events: Tensor):
        self.distribution, self.events = distribution, events
        self.batch_shape: Size = distribution.batch_shape

    def log_prob(self, value: Tensor) -> Tensor:
        return self.distribution.log_prob(value)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        assert tuple(sample_shape) == (len(self.events),)
        return self.events

    @property
    def mean(self) -> Tensor:
        return self.distribution.mean

    def expand(self, batch_shape: tuple[int, ...]) -> Scripted:
        assert batch_shape[0] == 1
        return Scripted(self.distribution.expand(batch_shape), self.events.unsqueeze(1))

    def topk(self, k: int) -> TopK:
        support = self.distribution.enumerate_support()
        scores, index = self.distribution.log_prob(support).topk(k, 0)
        events = support.gather(0, index.unsqueeze(-1).expand(*index.shape, support.shape[-1]))
        return TopK(scores, events, scores == scores)

    def sample_without_replacement(self, k: int, *, generator: Any = None) -> DistinctSamples:
        assert len(self.events) == k
        log_probs = self.distribution.log_prob(self.events)
        return DistinctSamples(self.events, log_probs, log_probs)


def moments(
    estimator: Callable[[Any], Tensor], make: Callable[[Tensor], Any], theta: Tensor, events: Tensor, chances: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of the value, mean of the gradient in `theta`, and total variance of the gradient, over all outcomes."""
    assert abs(float(chances.sum()) - 1) < 1e-9
    leaf = theta.expand(events.shape[1], *theta.shape).clone().requires_grad_()
    value = estimator(Scripted(make(leaf), events))
    (grad,) = torch.autograd.grad(value.sum(), leaf)
    mean = (chances[:, None] * grad).sum(0)
    return (chances * value.detach()).sum(), mean, (chances[:, None] * (grad - mean).square()).sum()
