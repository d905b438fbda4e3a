"""The entropy semiring: log-weights with the entropy of the choices made so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, log_softmax, logsumexp

from .base import Semiring


@final
@dataclass(frozen=True)
class EntropySemiring(Semiring):
    """((logsumexp, sum_k w_k (H_k - log w_k)), (+, +), (-inf, 0), (0, 0)) on pairs (log-weight, entropy).

    The gradient of a total is the gradient of the entropy of the distribution over structures.

    Source: Hernando, Crespi & Cybenko 2005, for chains [hernando2005].
    """

    def lift(self, log_weight: Tensor) -> Tensor:
        """One alternative: no entropy."""
        return torch.stack([log_weight, torch.zeros_like(log_weight)])

    def read(self, total: Tensor) -> Tensor:
        """The entropy, 0 where no structure is allowed."""
        return total[1]

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Independent choices: both add. A zero factor makes the whole element zero."""
        log_weight, entropy = (a + b).unbind(0)
        return torch.stack([log_weight, torch.where(log_weight == NEG_INF, 0.0, entropy)])

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Chain rule of entropy for a choice among the terms."""
        log_weight, entropy = x.unbind(0)
        log_share = log_softmax(log_weight, dim)
        surprise = torch.where(log_share == NEG_INF, 0.0, log_share)
        return torch.stack([logsumexp(log_weight, dim), (log_share.exp() * (entropy - surprise)).sum(dim)])
