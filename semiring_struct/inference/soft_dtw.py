"""Soft dynamic time warping: the smoothed cost of a best path through a grid."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from semiring_struct.inference.partition import log_partition, max_score
from semiring_struct.structures import DTW


def soft_dtw(cost: Tensor, gamma: float, lengths: Any = None) -> Tensor:
    """`-gamma log sum over paths exp(-cost of the path / gamma)`, `(*batch,)`; at `gamma` 0 the cost of a best path.

    `cost (*batch, n, m)`, `inf` where no path may go; paths are those of `DTW`. Its gradient is the expected path, at
    `gamma` 0 a best one. Differentiable twice where `gamma > 0`. `lengths` is a pair. Raises `ValueError` for a `gamma`
    that is negative or not finite. Cost: one forward pass, `O(n m)`.

    Reference: Cuturi & Blondel 2017, sec. 2 [cuturi2017].
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"soft_dtw needs a finite gamma >= 0; got {gamma}")
    if gamma == 0:
        return -max_score(DTW(), -cost, lengths)
    return -gamma * log_partition(DTW(), -cost / gamma, lengths)
