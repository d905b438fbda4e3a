"""The Gumbel-softmax semiring: log-partitions whose gradient is a relaxed draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from semiring_struct.ops import (
    NEG_INF,
    Derivative,
    call,
    differentiable,
    gumbel,
    in_front,
    logsumexp,
    one_hot_argmax,
    operator,
    softmax,
)

from .base import Reduction, Semiring
from .log import LogReduction

_LOG = LogReduction()


@final
@dataclass(frozen=True)
class GumbelSoftmaxReduction(Reduction):
    """Logsumexp, whose choice is a softmax of the terms plus Gumbel noise, or its largest entry where `hard`."""

    noisy: ClassVar[bool] = True
    temperature: float
    hard: bool = False
    generator: torch.Generator | None = None

    def _logits(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        noise = gumbel(x.shape, generator=generator or self.generator, dtype=x.dtype, device=x.device)
        return noise.add_(x).div_(self.temperature)

    def _choice(self, logits: Tensor, soft: Tensor | None = None) -> Tensor:
        if self.hard:
            return one_hot_argmax(logits, -1)
        return softmax(logits, -1) if soft is None else soft

    def value(self, x: Tensor) -> Tensor:
        """`log sum exp`."""
        return _LOG.value(x)

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The relaxed draw, or the exact one it is a relaxation of."""
        return self._choice(self._logits(x, generator))

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """Derivative of the soft weights; where `hard` the noise is needed too, so use `weights_and_bend`."""
        if self.hard:
            raise ValueError("a hard relaxed draw does not determine its derivative; call weights_and_bend.")
        return self._bend_soft(weights, tangent)

    def weights_and_bend(
        self, x: Tensor, tangent: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both from one draw; where `hard`, the exact draw with the derivative of the soft one (straight-through)."""
        logits = self._logits(x, generator)
        soft = softmax(logits, -1)
        return self._choice(logits, soft), self._bend_soft(soft, tangent)

    def _bend_soft(self, soft: Tensor, tangent: Tensor) -> Tensor:
        return _LOG.bend(soft, soft, tangent).div_(self.temperature)

    def slope(self, x: Tensor) -> Tensor:
        """The posterior weights, without noise."""
        return _LOG.weights(x)


@operator("steered")
def _steered(a: Tensor, weights: Tensor, dim: int) -> Tensor:
    """`sum(a, dim)` of zeros whose gradient is `weights`, itself differentiable in what the weights came from."""
    return a.sum(dim)


def _backward(args: Sequence[Any], kept: Sequence[Tensor], grads: Sequence[Any], needs: Sequence[Any]) -> tuple:
    return grads[0].unsqueeze(args[2]) * args[1], None


torch.library.register_fake(_steered)(lambda a, weights, dim: a.sum(dim))
torch.library.register_vmap(_steered, in_front(_steered, broadcast=True))
differentiable(_steered, Derivative(_backward))


@final
@dataclass(frozen=True)
class GumbelSoftmaxSemiring(Semiring):
    """(logsumexp, +, -inf, 0) on log-weights, beside a channel of zeros that only carries gradients.

    The gradient of a total is a relaxed draw (Gumbel-CRF), an exact one where `hard`; its own gradient is pathwise:
    through the noisy choices and the log-partitions they were made from. Source: Fu et al. 2020 [fu2020].
    """

    temperature: float = 1.0
    hard: bool = False
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"GumbelSoftmaxSemiring needs a finite temperature above 0; got {self.temperature}.")

    @property
    def reduction(self) -> Reduction:
        """Relaxed draws."""
        return GumbelSoftmaxReduction(self.temperature, self.hard, self.generator)

    def lift(self, log_weight: Tensor) -> Tensor:
        """The log-weight, and a 0 that stands for it in backward."""
        kept = torch.where(log_weight == NEG_INF, 0.0, log_weight)
        return torch.stack([log_weight, kept - kept.detach()])

    def read(self, total: Tensor) -> Tensor:
        """The log-partition, with the gradient of the choices."""
        return total[0].detach() + total[1]

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Log-weights add, and so do their stand-ins."""
        return a + b

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Log of the summed weights; backward is shared out by a relaxed draw."""
        log_weight, stand_in = x.unbind(0)
        noise = gumbel(log_weight.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        logits = (log_weight + noise) / self.temperature
        weights = softmax(logits, dim)
        if self.hard:
            weights = one_hot_argmax(logits, dim) + (weights - weights.detach())
        return torch.stack([logsumexp(log_weight, dim), call(_steered, stand_in, weights, dim)])
