"""The dtype that floating tensors share in one computation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def common_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """What floating tensors are computed and answered in together: float64 if one of them is, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
