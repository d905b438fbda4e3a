"""Windows of the table as strided views of batched buffers: `(batch, [turns,] *sizes)`."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from semiring_struct.programs.affine import Affine
from semiring_struct.programs.table import Window


def look(buffer: Tensor, w: Window, t: int = 0, turns: int | None = None) -> Tensor:
    """The window at turn `t` of its loop, or at `turns` turns from `t` on as one more dim after the batch."""
    sizes, strides = w.sizes, w.strides
    if turns is not None:
        sizes, strides = (turns, *sizes), (w.step, *strides)
    return _strided(buffer, w.offset + w.step * t, sizes, strides)


def _strided(buffer: Tensor, offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    batch, batch_stride = buffer.shape[0], buffer.stride(0)
    if not strides or min(strides) >= 0:
        return buffer.as_strided((batch, *sizes), (batch_stride, *strides), buffer.storage_offset() + offset)
    back = [d for d, s in enumerate(strides) if s < 0]
    offset += sum(strides[d] * (sizes[d] - 1) for d in back)
    ahead = tuple(abs(s) for s in strides)
    view = buffer.as_strided((batch, *sizes), (batch_stride, *ahead), buffer.storage_offset() + offset)
    return view.flip([d + 1 for d in back])


def store(buffer: Tensor, w: Window, t: int, value: Tensor) -> None:
    """Write the cells of a window (each once)."""
    offset, strides = w.offset + w.step * t, w.strides
    back = [d for d, s in enumerate(strides) if s < 0]
    if back:
        offset += sum(strides[d] * (w.sizes[d] - 1) for d in back)
        value, strides = value.flip([d + 1 for d in back]), tuple(abs(s) for s in strides)
    _strided(buffer, offset, w.sizes, strides).copy_(value)


def accumulate(buffer: Tensor, w: Window, t: int, turns: int | None, value: Tensor) -> None:
    """Add `value`, laid out over the window, to its cells; a cell named several times gets the sum."""
    sizes, strides, offset = w.sizes, w.strides, w.offset + w.step * t
    if turns is not None:
        sizes, strides = (turns, *sizes), (w.step, *strides)
    tied = [d for d, s in enumerate(strides) if s == 0]
    if tied:
        extra = [d for d in tied if value.shape[d + 1] != 1]
        value = value.sum([d + 1 for d in extra], keepdim=True) if extra else value
        value = value.squeeze([d + 1 for d in tied])
        keep = [d for d in range(len(sizes)) if d not in tied]
        sizes, strides = tuple(sizes[d] for d in keep), tuple(strides[d] for d in keep)
    back = [d for d, s in enumerate(strides) if s < 0]
    if back:
        offset += sum(strides[d] * (sizes[d] - 1) for d in back)
        value, strides = value.flip([d + 1 for d in back]), tuple(abs(s) for s in strides)
    if _injective(sizes, strides):
        _strided(buffer, offset, sizes, strides).add_(value)
    else:
        cells = _addresses(sizes, strides, buffer.device) + offset
        buffer.index_add_(1, cells, value.expand(value.shape[0], *sizes).reshape(value.shape[0], -1))


@lru_cache(maxsize=4096)
def _injective(sizes: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    return Affine(0, sizes, strides).injective()


@lru_cache(maxsize=64)
def _addresses(sizes: tuple[int, ...], strides: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.from_numpy(Affine(0, sizes, strides).addresses().ravel()).to(device)
