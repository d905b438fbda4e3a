"""One alternative out of several."""

from __future__ import annotations

import torch
from torch import Tensor


def one_of_events(k: int) -> Tensor:
    """Each of `k` alternatives as a one-hot row: `(k, k)`."""
    events = torch.zeros(k, k, dtype=torch.float64)
    for i in range(k):
        events[i, i] = 1
    return events
