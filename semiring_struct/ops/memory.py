"""Memory from NumPy, which asks the system for large pages as torch does not, and scratch kept from call to call.

To touch a fresh page takes longer than the arithmetic on what is written there.
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


KEPT = 1 << 28  # bytes of scratch kept in all; what is more goes back to the system

_spare: list[np.ndarray] = []  # taken and added to by several threads: a list does each of these at once


def borrow(size: int) -> np.ndarray:
    """Scratch of at least `size` bytes, to be given back, whose content is whatever its last user left there."""
    try:
        piece = _spare.pop()
    except IndexError:
        piece = np.empty(0)
    count = -(-size // 8)
    if len(piece) < count:
        piece = np.empty(count)
    if torch.are_deterministic_algorithms_enabled():
        piece[:count] = np.nan  # as torch fills memory then
    return piece


def give_back(piece: np.ndarray) -> None:
    """Keep scratch for the next who needs some, at most a piece for each thread."""
    if len(_spare) < torch.get_num_threads() and piece.nbytes + sum(x.nbytes for x in _spare) <= KEPT:
        _spare.append(piece)


def release() -> None:
    """Hand all scratch that is kept back to the system."""
    _spare.clear()
