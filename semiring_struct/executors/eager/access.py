"""Windows of the table as strided views of batched buffers: `(batch, [turns,] *sizes)`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from semiring_struct.ops import add_at_
from semiring_struct.programs.affine import Affine
from semiring_struct.programs.program import Program
from semiring_struct.programs.table import Window


def look(buffer: Tensor, w: Window, t: int = 0, turns: int | None = None) -> Tensor:
    """The window at turn `t` of its loop, or at `turns` turns from `t` on as one more dim after the batch."""
    sizes, strides = w.sizes, w.strides
    if turns is not None:
        sizes, strides = (turns, *sizes), (w.step, *strides)
    return _strided(buffer, w.offset + w.step * t, sizes, strides)


def _strided(buffer: Tensor, offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    if strides and min(strides) < 0:
        view, back = _ahead(buffer, offset, sizes, strides)
        return view.flip(back)
    return buffer.as_strided(
        (buffer.shape[0], *sizes), (buffer.stride(0), *strides), buffer.storage_offset() + offset
    )


def target(buffer: Tensor, w: Window, t: int = 0) -> tuple[Tensor, list[int]]:
    """The cells of a window to write to, and the dims along which what is written must be flipped first."""
    return _ahead(buffer, w.offset + w.step * t, w.sizes, w.strides)


def targets_by_turn(buffer: Tensor, w: Window, count: int) -> Iterator[tuple[Tensor, list[int]]]:
    """The same for each turn of a loop, all views made at once."""
    if count == 1 or w.step < 0:
        return (target(buffer, w, t) for t in range(count))
    cells, back = _ahead(buffer, w.offset, (count, *w.sizes), (w.step, *w.strides))
    return ((c, [d - 1 for d in back]) for c in cells.unbind(1))


def _ahead(
    buffer: Tensor, offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[Tensor, list[int]]:
    """A strided view along which every stride is positive, and the dims that this turned around."""
    back = [d for d, s in enumerate(strides) if s < 0]
    offset += sum(strides[d] * (sizes[d] - 1) for d in back)
    cells = _strided(buffer, offset, sizes, tuple(abs(s) for s in strides))
    return cells, [d + 1 for d in back]


def store(buffer: Tensor, w: Window, t: int, value: Tensor) -> None:
    """Write the cells of a window (each once)."""
    cells, back = target(buffer, w, t)
    cells.copy_(value.flip(back) if back else value)


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
    if _injective(sizes, strides):
        cells, back = _ahead(buffer, offset, sizes, strides)
        cells.add_(value.flip(back) if back else value)
    else:
        cells = _addresses(sizes, strides, buffer.device) + offset
        add_at_(buffer, cells, value.expand(value.shape[0], *sizes).flatten(1))


def too_short(program: Program, lengths: Tensor) -> Tensor:
    """Instances `(batch,)` for which the answer's cells do not exist: the empty structure, of total ⊗-one."""
    least = torch.tensor(program.bound_shift, dtype=lengths.dtype, device=lengths.device)
    return (lengths < least).any(-1)


@lru_cache(maxsize=4096)
def _injective(sizes: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    return Affine(0, sizes, strides).injective()


@lru_cache(maxsize=64)
def _addresses(sizes: tuple[int, ...], strides: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.from_numpy(Affine(0, sizes, strides).addresses().ravel()).to(device)
