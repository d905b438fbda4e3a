"""The state of a thread: a few integers that say where everything lies, so that compiled functions pass one pointer.

Scratch buffers are each as long as the largest thing that any row puts there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu import columns as at
from semiring_struct.executors.cpu.native import ahead, alone, cast, exact, pointer
from semiring_struct.executors.cpu.sheets import fill

_WORD = np.int64(0)
_WIDE = np.float64(0)


def address(x: np.ndarray | Tensor) -> int:
    """Where an array or a tensor lies."""
    return x.data_ptr() if isinstance(x, Tensor) else x.__array_interface__["data"][0]


class State:
    """One thread's integers, and the tensors whose addresses they are."""

    def __init__(self, code: np.ndarray, kind: torch.dtype, channels: int):
        self.words = np.zeros(at.STATE, dtype=np.int64)
        size = int(max(code[at.LARGEST], code[at.MOST], code[at.WIDEST])) + 16
        wide = torch.empty((at.X - at.X_WIDE, size), dtype=torch.float64)
        narrow = torch.empty((at.ADJOINT - at.X, size), dtype=kind)
        cells = torch.empty((channels, int(code[at.CELLS])), dtype=kind)
        left = torch.empty((at.RIGHT_LOG - at.LEFT_LOG, int(code[at.LEFT])), dtype=kind)
        right = torch.empty((at.SHIFT - at.RIGHT_LOG, int(code[at.RIGHT])), dtype=kind)
        shift = torch.empty(int(code[at.SHIFTS]), dtype=torch.float64)
        filled = np.zeros(int(code[at.SLOTS]), dtype=np.int64)
        self.words[[at.SHIFT, at.FILLED]] = shift.data_ptr(), address(filled)
        self._keep: list[object] = [wide, narrow, cells, left, right, shift, filled]
        for first, buffers in (
            (at.X_WIDE, wide), (at.X, narrow), (at.ADJOINT, cells), (at.LEFT_LOG, left), (at.RIGHT_LOG, right)
        ):
            self.words[first : first + len(buffers)] = [b.data_ptr() for b in buffers]

    def batched(self, slot: int, x: Tensor) -> None:
        """A tensor `(batch, ..)`."""
        self.words[slot : slot + 2] = x.data_ptr(), x.stride(0) * x.element_size()
        self._keep.append(x)

    def passing(self, slot: int, x: Tensor, first: int) -> None:
        """A tensor of a few instances, `first` the first of them."""
        size = x.stride(0) * x.element_size()
        self.words[slot : slot + 2] = x.data_ptr() - first * size, size

    def bank(self, slot: int, now: int, tensors: list[Tensor]) -> None:
        """One tensor `(batch, size)` per field."""
        pairs = np.array([(t.data_ptr(), t.stride(0) * t.element_size()) for t in tensors], dtype=np.int64)
        present = np.zeros(len(tensors), dtype=np.int64)
        self.words[slot], self.words[now], self.words[at.FIELDS] = address(pairs), address(present), len(tensors)
        sizes = np.array([t.shape[1] for t in tensors], dtype=np.int64)
        self.words[at.SIZES] = address(sizes)
        self._keep += [pairs, present, sizes, tensors]


@exact
def wide(state, slot):
    """A buffer of float64 numbers."""
    return pointer(state[slot], _WIDE)


@exact
def words(state, slot):
    """A buffer of integers."""
    return pointer(state[slot], _WORD)


@exact
def field(state, bank, number, like):
    """A field of the present instance."""
    return pointer(words(state, bank)[number], like)


@exact
def _turn_bank(state, bank, now, b):
    if state[bank] != 0:
        pairs, present = words(state, bank), words(state, now)
        for i in range(state[at.FIELDS]):
            present[i] = pairs[2 * i] + pairs[2 * i + 1] * b


@exact
def turn_to(state, b):
    """Make instance `b` the present one."""
    state[at.CHARTS_NOW] = state[at.CHARTS_ALL] + state[at.CHARTS_ALL + 1] * b
    state[at.VALUE_NOW] = state[at.VALUE_ALL] + state[at.VALUE_ALL + 1] * b
    state[at.LENGTHS_NOW] = state[at.LENGTHS_ALL] + state[at.LENGTHS_ALL + 1] * b
    state[at.SEED_NOW] = state[at.SEED_ALL] + state[at.SEED_ALL + 1] * b
    state[at.RISE_NOW] = state[at.RISE_ALL] + state[at.RISE_ALL + 1] * b
    state[at.PICKS_NOW] = state[at.PICKS_ALL] + state[at.PICKS_ALL + 1] * b
    state[at.CHANCES_NOW] = state[at.CHANCES_ALL] + state[at.CHANCES_ALL + 1] * b
    state[at.MASSES_NOW] = state[at.MASSES_ALL] + state[at.MASSES_ALL + 1] * b
    state[at.KEY_NOW] = state[at.KEY] + (b << 32)
    _turn_bank(state, at.FIELDS_ALL, at.FIELDS_NOW, b)
    _turn_bank(state, at.DOTS_ALL, at.DOTS_NOW, b)
    _turn_bank(state, at.SLOPES_ALL, at.SLOPES_NOW, b)


@exact
def strange(x, n, most):
    """How many numbers are not less than `most` (infinity): NaN is not."""
    alone()
    count = 0
    for i in range(n):
        count += 0 if x[i] < most else 1
    return count


@exact
def refuse_strange(state, b, start, like):
    """Note whether a field of the present instance holds NaN or +inf, those shared by the batch once."""
    pairs, sizes = words(state, at.FIELDS_ALL), words(state, at.SIZES)
    for i in range(state[at.FIELDS]):
        if b == start or pairs[2 * i + 1] != 0:
            state[at.REFUSED] += strange(field(state, at.FIELDS_NOW, i, like), sizes[i], cast(np.inf, like))


@exact
def clear(state, like):
    """No slopes for the present instance."""
    sizes = words(state, at.SIZES)
    for i in range(state[at.FIELDS]):
        fill(field(state, at.SLOPES_NOW, i, like), 1, 1, sizes[i], cast(0, like))


@exact
def too_short(code, state):
    """Whether the answer's cells do not exist at the instance's lengths: it is the empty structure."""
    own, least = words(state, at.LENGTHS_NOW), ahead(code, code[at.LEAST])
    for side in range(code[at.SIDES]):  # noqa: SIM110, reason: compiled code has no `any`
        if own[side] < least[side]:
            return True
    return False
