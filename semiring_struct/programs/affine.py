"""Affine views: an offset and one stride per dim, which is all that the language of programs can index with."""

from __future__ import annotations

import contextlib
import operator
from dataclasses import dataclass

import numpy as np

from semiring_struct.errors import ProgramError


@dataclass(frozen=True, eq=False)
class Length:
    """The instance's own length (plus a constant), known only when the program runs: `p.length - 1`."""

    side: int
    shift: int = 0

    def __add__(self, other: object) -> Length:
        if isinstance(other, (bool, np.bool_)) or not isinstance(other, (int, np.integer)):
            raise ProgramError(f"a length moves by whole numbers, as p.length - 1 does; got {other!r}")
        return Length(self.side, self.shift + int(other))

    __radd__ = __add__

    def __sub__(self, other: object) -> Length:
        return self + (-other if isinstance(other, (int, np.integer)) and not isinstance(other, bool) else other)

    def _unknown(self, *_: object) -> bool:
        raise ProgramError(
            "p.length is not known while a program is recorded: it may pick a cell where the answer is read, as in "
            "chart[p.length - 1], moved by a whole number. Loop and decide by sizes, such as n = item.shape[0]; cells "
            "past an instance's length then simply do not count"
        )

    __bool__ = __index__ = __int__ = __float__ = __neg__ = _unknown  # type: ignore[assignment]
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown  # type: ignore[assignment]
    __rsub__ = __mul__ = __rmul__ = __floordiv__ = __truediv__ = __mod__ = _unknown  # type: ignore[assignment]
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        name = "length" if self.side == 0 else f"length_{self.side}"
        return name if self.shift == 0 else f"{name} {'+' if self.shift > 0 else '-'} {abs(self.shift)}"


@dataclass(frozen=True)
class Affine:
    """Cells `offset + sum_d index_d * strides_d` of a flat buffer, plus lengths times `per_length` where they index.

    `per_length` holds `(side, shift, stride)` for every dim that a `Length` picked out.
    """

    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    per_length: tuple[tuple[int, int, int], ...] = ()

    @staticmethod
    def contiguous(sizes: tuple[int, ...], offset: int = 0) -> Affine:
        strides, step = [], 1
        for size in reversed(sizes):
            strides.append(step)
            step *= size
        return Affine(offset, tuple(sizes), tuple(reversed(strides)))

    def index(self, key: object) -> Affine:
        """NumPy basic indexing; raises `ProgramError` for anything that is not affine."""
        keys = list(key) if isinstance(key, tuple) else [key]
        keys = _spell_out(keys, len(self.sizes))
        offset, sizes, strides, per_length, d = self.offset, [], [], list(self.per_length), 0
        for k in keys:
            if k is None:
                sizes.append(1)
                strides.append(0)
                continue
            size, stride = self.sizes[d], self.strides[d]
            if isinstance(k, Length):
                offset += k.shift * stride
                per_length.append((k.side, k.shift, stride))
            elif isinstance(k, slice):
                if any(isinstance(x, Length) for x in (k.start, k.stop, k.step)):
                    raise ProgramError("p.length picks one index; it cannot bound a slice, whose size would vary")
                start, stop, step = k.indices(size)
                count = len(range(start, stop, step))
                offset += start * stride if count else 0
                sizes.append(count)
                strides.append(stride * step)
            else:
                i = _as_int(k)
                if not -size <= i < size:
                    raise ProgramError(f"index {i} is out of range for dim {d} of a view of shape {self.sizes}")
                offset += (i + size if i < 0 else i) * stride
            d += 1
        return Affine(offset, tuple(sizes), tuple(strides), tuple(per_length))

    def diagonal(self, offset: int, dim1: int, dim2: int) -> Affine:
        """As `torch.Tensor.diagonal`: the diagonal becomes the last dim."""
        a, b = dim1 % len(self.sizes), dim2 % len(self.sizes)
        if a == b:
            raise ProgramError("a diagonal needs two different dims")
        count = min(self.sizes[a] + min(offset, 0), self.sizes[b] - max(offset, 0))
        start = self.strides[b] * offset if offset >= 0 else -self.strides[a] * offset
        keep = [d for d in range(len(self.sizes)) if d not in (a, b)]
        sizes = (*(self.sizes[d] for d in keep), max(count, 0))
        strides = (*(self.strides[d] for d in keep), self.strides[a] + self.strides[b])
        return Affine(self.offset + (start if count > 0 else 0), sizes, strides, self.per_length)

    def antidiagonal(self, total: int, start: int, stop: int) -> Affine:
        """Cells `[i, total - i]` of the first two dims for `i` in `start..stop-1`, as the last dim."""
        if len(self.sizes) < 2:
            raise ProgramError(f"an antidiagonal needs two dims; got a view of shape {self.sizes}")
        inside = start >= 0 and stop <= self.sizes[0] and total - start < self.sizes[1] and total - stop + 1 >= 0
        if start < stop and not inside:
            raise ProgramError(f"antidiagonal({total}, {start}, {stop}) leaves a view of shape {self.sizes}")
        offset = start * self.strides[0] + (total - start) * self.strides[1] if start < stop else 0
        return Affine(
            self.offset + offset,
            (*self.sizes[2:], max(stop - start, 0)),
            (*self.strides[2:], self.strides[0] - self.strides[1]),
            self.per_length,
        )

    def permute(self, dims: tuple[int, ...]) -> Affine:
        if sorted(d % len(self.sizes) for d in dims) != list(range(len(self.sizes))):
            raise ProgramError(f"permute needs every dim of a view of shape {self.sizes} once; got {dims}")
        return Affine(
            self.offset, tuple(self.sizes[d] for d in dims), tuple(self.strides[d] for d in dims), self.per_length
        )

    def expand(self, sizes: tuple[int, ...]) -> Affine:
        """Broadcast to `sizes` (aligned at the right), with stride 0 along the new or stretched dims."""
        lead = len(sizes) - len(self.sizes)
        if lead < 0 or any(have not in (1, want) for have, want in zip(self.sizes, sizes[lead:], strict=True)):
            raise ProgramError(f"a view of shape {self.sizes} cannot be expanded to {sizes}")
        stretched = (
            0 if have != want else stride
            for have, want, stride in zip(self.sizes, sizes[lead:], self.strides, strict=True)
        )
        return Affine(self.offset, tuple(sizes), (0,) * lead + tuple(stretched), self.per_length)

    def addresses(self) -> np.ndarray:
        """Every cell's address, shaped like the view (lengths counted as 0)."""
        out = np.full(self.sizes, self.offset, dtype=np.int64)
        for d, (size, stride) in enumerate(zip(self.sizes, self.strides, strict=True)):
            shape = [1] * len(self.sizes)
            shape[d] = size
            out += (np.arange(size, dtype=np.int64) * stride).reshape(shape)
        return out

    def window(self, flat: np.ndarray) -> np.ndarray:
        """The view of a flat NumPy array: used on the recorder's book-keeping, never on values."""
        if 0 in self.sizes:
            return flat[:0].reshape(self.sizes)
        step = flat.itemsize
        strides = tuple(s * step for s in self.strides)
        return np.ndarray(self.sizes, flat.dtype, flat, self.offset * step, strides)

    def injective(self) -> bool:
        """Whether no cell is named twice."""
        dims = sorted((abs(t), s) for s, t in zip(self.sizes, self.strides, strict=True) if s > 1)
        reach = 0
        for stride, size in dims:
            if stride <= reach:
                flat = self.addresses().ravel()
                return len(np.unique(flat)) == len(flat)
            reach += stride * (size - 1)
        return True


def _as_int(k: object) -> int:
    if not isinstance(k, (bool, np.bool_)):
        with contextlib.suppress(TypeError):
            return operator.index(k)  # type: ignore[arg-type]
    raise ProgramError(
        f"programs index with ints, slices, None, ... and p.length, which keep a view affine; got {k!r}. "
        "Gather or mask with ordinary torch in `prepare`, ahead of the program."
    )


def length_indices(key: object, rank: int) -> list[tuple[int, Length]]:
    """The dims of a view of `rank` dims that a key indexes by a length, with that length."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if not any(isinstance(k, Length) for k in keys):
        return []
    taken = [k for k in _spell_out(keys, rank) if k is not None]
    return [(d, k) for d, k in enumerate(taken) if isinstance(k, Length)]


def _spell_out(keys: list, rank: int) -> list:
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > rank:
        raise ProgramError(f"{used} indices for a view of {rank} dims")
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(dots) > 1:
        raise ProgramError("an index holds at most one '...'")
    fill = [slice(None)] * (rank - used)
    return keys[: dots[0]] + fill + keys[dots[0] + 1 :] if dots else keys + fill
