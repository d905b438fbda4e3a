"""The counting semiring: how many structures there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF

from .base import Weights


@final
@dataclass(frozen=True)
class CountingSemiring(Weights):
    """(+, *, 0, 1) on float64 counts: 1 for a part that is allowed, 0 for a forbidden one.

    A total has no gradient; it is exact up to 2^53 and rounded beyond.
    """

    def lift(self, log_weight: Tensor) -> Tensor:
        """1 where allowed."""
        return (log_weight > NEG_INF).to(torch.float64).unsqueeze(0)
