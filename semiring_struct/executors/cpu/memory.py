"""Fresh memory from NumPy, which asks the system for large pages as torch does not.

To touch a fresh small page takes longer than the arithmetic on what is written there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor whose entries are still to be written."""
    return torch.from_numpy(np.empty(shape, dtype=np.float32 if dtype == torch.float32 else np.float64))
