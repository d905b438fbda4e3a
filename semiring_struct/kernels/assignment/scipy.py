"""The assignment solver of scipy (the extra `solve`)."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor


def refuse(w: Tensor, lengths: Tensor) -> str | None:
    """Without scipy, and for tensors that are not on the CPU."""
    if find_spec("scipy") is None:
        return "scipy is not installed: pip install 'semiring-struct[solve]'"
    return None if w.device.type == "cpu" else f"scipy solves on the CPU; the scores are on {w.device}"


def best(w: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.best`. Source: Crouse 2016 [crouse2016]."""
    from scipy.optimize import linear_sum_assignment

    scores, sizes = w.detach().numpy(), lengths.numpy()
    found, columns = np.ones(len(scores), dtype=bool), np.full(scores.shape[:2], -1, dtype=np.int64)
    for b, size in enumerate(sizes):
        try:
            columns[b, :size] = linear_sum_assignment(scores[b, :size, :size], maximize=True)[1]
        except ValueError:  # scipy's way to say that no matching is allowed
            found[b] = False
    return torch.from_numpy(found), torch.from_numpy(columns)
