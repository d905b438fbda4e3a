"""Exponential noise in log space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, exponential
from semiring_struct.traces.rates import Rates

# An increment of conditional noise is at least this many roundings of what has passed, so that order survives them:
# roundings of the answer's dtype, and of float64, in which it is added up.
OF_THE_ANSWER, OF_THE_SUMS = 16.0, 64.0


def at_least(log_increment: Tensor, log_passed: Tensor, rates: Rates) -> Tensor:
    """An increment large enough to show in the answer's dtype, beside what has passed."""
    bar = log_passed.detach()
    size = torch.where(bar > NEG_INF, bar, 0.0).abs().clamp(min=1.0).log()  # the log itself is rounded too
    share = OF_THE_ANSWER * torch.finfo(rates.dtype).eps + OF_THE_SUMS * torch.finfo(torch.float64).eps
    return torch.maximum(log_increment, bar + size + math.log(share))


def log_noise(rates: Rates, generator: torch.Generator | None) -> Tensor:
    """The log of independent noise of the given rates, `(B, K)`, inf for a rate of 0; differentiable in the rates."""
    allowed = rates.flat > NEG_INF
    return torch.where(allowed, log_exponential(rates, generator) - torch.where(allowed, rates.flat, 0.0), torch.inf)


def log_exponential(rates: Rates, generator: torch.Generator | None) -> Tensor:
    """The log of independent Exp(1) variables, one for each key, `(B, K)` float64."""
    return exponential(rates.flat.shape, generator=generator, dtype=torch.float64, device=rates.flat.device).log()
