"""Memory from NumPy, which asks the system for large pages as torch does not, and scratch kept from call to call.

To touch a fresh page takes longer than the arithmetic on what is written there.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

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


LINE = 64  # bytes of a line of the cache
KEPT = 1 << 28  # bytes of scratch kept in all; what is more goes back to the system

_spare: list[np.ndarray] = []  # taken and added to by several threads: a list does each of these at once


@dataclass(frozen=True)
class Layout:
    """Buffers of so many bytes in one piece of memory, each on lines of its own."""

    sizes: tuple[int, ...]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each ends, the room up to the next line included."""
        return tuple(itertools.accumulate(-(-n // LINE) * LINE for n in self.sizes))

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each starts."""
        return np.array([0, *self.ends][: len(self.sizes)], dtype=np.int64)


class Scratch(NamedTuple):
    """A piece of memory, and the addresses of the buffers in it."""

    piece: np.ndarray
    addresses: np.ndarray


def borrow(layout: Layout) -> Scratch:
    """Scratch for some buffers, to be given back; they hold whatever its last user left there."""
    try:
        piece = _spare.pop()
    except IndexError:
        piece = np.empty(0)
    count = (layout.ends or (0,))[-1] // piece.itemsize
    if len(piece) < count:
        piece = np.empty(count)
    if torch.are_deterministic_algorithms_enabled():
        piece[:count] = np.nan  # as torch fills memory then
    return Scratch(piece, layout.starts + piece.__array_interface__["data"][0])


def give_back(scratch: Scratch) -> None:
    """Keep scratch for the next who needs some, at most a piece for each thread."""
    piece = scratch.piece
    if len(_spare) < torch.get_num_threads() and piece.nbytes + sum(x.nbytes for x in _spare) <= KEPT:
        _spare.append(piece)


def release() -> None:
    """Hand all scratch that is kept back to the system."""
    _spare.clear()
