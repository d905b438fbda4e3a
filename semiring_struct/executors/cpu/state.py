"""The state of a thread: a few integers that say where everything lies, so that compiled functions pass one pointer.

Scratch buffers are each as long as the largest thing that any row puts there.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu import columns as at
from semiring_struct.executors.cpu.native import ahead, alone, cast, exact, pointer
from semiring_struct.executors.cpu.sheets import fill
from semiring_struct.ops import Layout, borrow, give_back

_WORD = np.int64(0)
_WIDE = np.float64(0)


def address(x: np.ndarray | Tensor) -> int:
    """Where an array or a tensor lies."""
    return x.data_ptr() if isinstance(x, Tensor) else x.__array_interface__["data"][0]


def head_of(code: np.ndarray) -> tuple[int, ...]:
    """The head of a code: what buffers are sized by."""
    return tuple(int(n) for n in code[: at.HEAD])


@lru_cache(maxsize=256)
def _buffers(head: tuple[int, ...], size: int, channels: int) -> tuple[list[int], Layout]:
    """A thread's buffers by a code's head, `size` being the bytes of a narrow number: their slots and their bytes."""
    tile, most, widest, cells = (head[i] for i in (at.LARGEST, at.MOST, at.WIDEST, at.CELLS))
    wide = {at.X_WIDE: tile, at.HEAD_WIDE: most, at.SHIFT: head[at.SHIFTS], at.FILLED: head[at.SLOTS]}
    wide |= dict.fromkeys((at.TOP_WIDE, at.CREST, at.VALUE), widest)
    narrow = dict.fromkeys((at.X, at.WEIGHTS, at.MOVED), tile)
    narrow |= dict.fromkeys((at.HEAD_NARROW, at.SHARES, at.SHARES_DOT), most)
    narrow |= dict.fromkeys((at.TOP, at.NORM, at.FLOW, at.FLOW_DOT), widest)
    narrow |= dict.fromkeys((at.ADJOINT, at.ADJOINT_DOT, at.DOT)[:channels], cells)
    narrow |= dict.fromkeys((at.LEFT_LOG, at.LEFT_EXP, at.LEFT_ADJOINT), head[at.LEFT])
    narrow |= dict.fromkeys((at.RIGHT_LOG, at.RIGHT_EXP, at.RIGHT_ADJOINT, at.RIGHT_DONE), head[at.RIGHT])
    return [*wide, *narrow], Layout((*(8 * n for n in wide.values()), *(size * n for n in narrow.values())))


class State:
    """One thread's integers, and what they are the addresses of; buffers are borrowed until it is left."""

    def __init__(self, code: np.ndarray, kind: torch.dtype, channels: int):
        self.words = np.zeros(at.STATE, dtype=np.int64)
        slots, layout = _buffers(head_of(code), kind.itemsize, channels)
        self._scratch = borrow(layout)
        self.words[slots] = self._scratch.addresses
        self._keep: list[object] = []
        self._banks: list[tuple[list[Tensor], int, int]] = []

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        give_back(self._scratch)

    def batched(self, slot: int, x: Tensor) -> None:
        """A tensor `(batch, ..)`."""
        self.words[slot : slot + 2] = x.data_ptr(), x.stride(0) * x.element_size()
        self._keep.append(x)

    def passing(self, slot: int, x: Tensor, first: int) -> None:
        """A tensor of a few instances, `first` the first of them."""
        size = x.stride(0) * x.element_size()
        self.words[slot : slot + 2] = x.data_ptr() - first * size, size

    def bank(self, slot: int, now: int, tensors: list[Tensor]) -> None:
        """One tensor `(batch, size)` per field; a list of them may be given for two banks."""
        for known, *held in self._banks:
            if known is tensors:
                self.words[[slot, now]] = self.words[held]
                return
        self._banks.append((tensors, slot, now))
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
    _turn_bank(state, at.KEPT_ALL, at.KEPT_NOW, b)


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
