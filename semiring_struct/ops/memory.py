"""Fresh memory from NumPy, which asks the system for large pages as torch does not.

To touch a fresh small page takes longer than the arithmetic on what is written there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

KINDS = {torch.float32: np.float32, torch.float64: np.float64, torch.int32: np.int32, torch.int64: np.int64}


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on the CPU whose entries are still to be written."""
    return torch.from_numpy(np.empty(shape, dtype=KINDS[dtype]))


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; fresh memory is zero as it comes from the system, and is touched only where it is written to."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(shape, dtype=KINDS[dtype]))
