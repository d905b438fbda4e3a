"""Compiled code between guard bands: every buffer whose address it is given has a band before it and one after it.

    with Guard() as guard:
        ss.marginals(structure, phi)
        guard.verify()  # raises Overrun; so does leaving the context

Buffers that the library allocates for compiled code lie between bands from the start and hold poison where they are
said to be empty. Whatever else it hands over (fields, lengths, charts, tables that it keeps) is copied between bands
when its address is taken, and must not have changed when the call is over. A read outside changes no byte: `agreed`
runs a call twice, between bands of different content, and compares the results bit by bit.

    python -m tests.executors.guarded SEED SECONDS  # random calls of every family, until the time is up
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType, ModuleType, TracebackType
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

from semiring_struct.ops import memory

BAND, LINE = 4096, 64  # bytes of a band, and of what buffers are aligned to
ROOMS = ("semiring_struct/executors/cpu/", "semiring_struct/kernels/", "semiring_struct/ops/memory.py")
EMPTY = ("empty", "empty_like")
TORCH = (*EMPTY, "zeros", "ones", "full", "tensor", "zeros_like", "ones_like", "full_like")
NUMPY = (*EMPTY, "zeros", "ones", "full", "array", "zeros_like", "ones_like", "full_like", "ascontiguousarray")
# what bands and empty buffers hold: NaN and -1; or a number that takes part in sums unnoticed, and an index in range
POISONS = ((np.nan, -1), (3.5, 1))


class Overrun(AssertionError):
    """Memory outside of a buffer, or a buffer that was only to be read, has been written."""


@dataclass(frozen=True)
class Buffer:
    """Bytes `start .. stop - 1` of `raw`, and what the rest must hold; where and for what they were taken.

    `whole` is what all of it must hold, of a buffer that is only read.
    """

    raw: np.ndarray
    start: int
    stop: int
    band: np.ndarray
    what: str
    whole: np.ndarray | None = None

    @property
    def address(self) -> int:
        return self.raw.ctypes.data + self.start

    def findings(self) -> Iterator[str]:
        """What is wrong with it."""
        size = self.stop - self.start
        before = np.nonzero(self.raw[: self.start] != self.band[: self.start])[0]
        after = np.nonzero(self.raw[self.stop :] != self.band[self.stop :])[0]
        if len(before):
            yield f"{self.what}: written {self.start - int(before[0])} bytes before its {size} bytes"
        if len(after):
            yield f"{self.what}: written {int(after[0])} to {int(after[-1])} bytes after its {size} bytes"
        if self.whole is not None and not (len(before) or len(after)) and (self.raw != self.whole).any():
            yield f"{self.what}: written, though it is an input"


def _poison(dtype: np.dtype, count: int, which: int) -> np.ndarray:
    """Bytes of so many numbers that no one is to read."""
    number, index = POISONS[which]
    content = number if dtype.kind == "f" else bool(which) if dtype.kind == "b" else index
    if dtype.kind == "u":
        content = 255 if which == 0 else 1
    return np.full(count, content, dtype=dtype).view(np.uint8)


def _ours(frame: FrameType | None) -> str | None:
    """Where the library stands that called, if it is code that works with addresses."""
    names, memory = [], False
    while frame is not None and (not names or memory):
        name = frame.f_code.co_filename.replace("\\", "/")
        if not any(r in name for r in ROOMS):
            break
        names.append(f"{name.split('/semiring_struct/')[-1]}:{frame.f_lineno}")
        frame, memory = frame.f_back, name.endswith(ROOMS[-1])
    return " of ".join(names) or None


def _modules(package: str) -> list[ModuleType]:
    """All modules of a package, imported."""
    top = importlib.import_module(package)
    names = [m.name for m in pkgutil.walk_packages(top.__path__, f"{package}.")]
    return [top, *(importlib.import_module(n) for n in names if "triton" not in n)]


class Guard:
    """While it is entered, compiled code works between bands of poison number `poison`; see above."""

    def __init__(self, poison: int = 0):
        self.poison = poison
        self._buffers: list[Buffer] = []
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Guard:
        cpu = _modules("semiring_struct.executors.cpu")
        kernels = [m for m in _modules("semiring_struct.kernels") if m.__name__.endswith(".cpu")]
        self._tables = [
            f for m in cpu for f in vars(m).values() if hasattr(f, "cache_clear") and not m.__name__.endswith("threads")
        ]
        self._forget()
        deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)  # it would fill empty memory its own way
        self._undo.append(lambda: torch.use_deterministic_algorithms(deterministic))
        self._set(memory, "KEPT", 0)
        for module, names in ((torch, TORCH), (np, NUMPY)):
            for name in names:
                self._set(module, name, self._allocating(getattr(module, name), name in EMPTY))
        self._set(torch.Tensor, "data_ptr", self._pointing(torch.Tensor.data_ptr))
        find = importlib.import_module("semiring_struct.executors.cpu.state").address
        ours = {find: self._addressing(find), memory.borrow: self._borrow}
        for module in (memory, *cpu):
            for name, value in list(vars(module).items()):
                if callable(value) and value in ours:
                    self._set(module, name, ours[value])
        for module in kernels:
            for name, value in list(vars(module).items()):
                if hasattr(value, "py_func") and not name.startswith("_"):
                    self._set(module, name, self._calling(value, f"{module.__name__}.{name}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._undo:
            self._undo.pop()()
        if kind is None:
            self.verify()
        self._forget()

    def _forget(self) -> None:
        """Keep no addresses, neither here nor in the tables that the library keeps."""
        self._buffers = []
        memory.release()
        for table in self._tables:
            table.cache_clear()

    def verify(self) -> None:
        """Raise `Overrun` unless all that was to stay as it was has done so."""
        found = [f for b in self._buffers for f in b.findings()]
        self._forget()
        if found:
            raise Overrun("\n".join(dict.fromkeys(found)))

    def _set(self, owner: Any, name: str, value: Any) -> None:
        before, own = getattr(owner, name), name in vars(owner)
        self._undo.append(lambda: setattr(owner, name, before) if own else delattr(owner, name))
        setattr(owner, name, value)

    def _between(self, dtype: np.dtype, nbytes: int) -> tuple[np.ndarray, int]:
        """Poison with room for a buffer between bands, and where it starts."""
        room = -(-(nbytes + 2 * BAND + LINE) // LINE) * LINE
        raw = _NUMPY["empty"](room, dtype=np.uint8)
        raw[:] = np.resize(_poison(dtype, LINE, self.poison), room)
        return raw, BAND + -(raw.ctypes.data + BAND) % LINE

    def _inside(self, address: int) -> bool:
        return any(b.address <= address < b.address + max(b.stop - b.start, 1) for b in self._buffers)

    def array(
        self, shape: tuple[int, ...], dtype: np.dtype, what: str, poison: np.dtype | None = None
    ) -> np.ndarray:
        """An array between bands, poisoned with numbers of its kind, or of the one that is given."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        raw, start = self._between(poison or dtype, size)
        self._buffers.append(Buffer(raw, start, start + size, raw.copy(), what))
        return np.ndarray(shape, dtype, buffer=raw.data, offset=start)

    def _borrow(self, layout: memory.Layout) -> memory.Scratch:
        """Scratch whose buffers all lie between bands."""
        where, buffers = _ours(sys._getframe(1)), []
        for i, size in enumerate(layout.sizes):
            buffers.append(self.array((size,), np.dtype(np.uint8), f"buffer {i} borrowed at {where}", _WORD))
        addresses = [b.ctypes.data for b in buffers]
        return memory.Scratch(_NUMPY["empty"](0), _NUMPY["array"](addresses, dtype=np.int64))

    def _allocating(self, make: Callable, empty: bool) -> Callable:
        def made(*args: Any, **how: Any) -> Any:
            fresh, where = make(*args, **how), _ours(sys._getframe(1))
            if where is None:
                return fresh
            content = _numbers(fresh) if isinstance(fresh, Tensor) else fresh
            if type(content) is not np.ndarray or content.dtype.kind not in "fiub":
                return fresh
            out = self.array(content.shape, content.dtype, f"{make.__name__}{tuple(content.shape)} at {where}")
            if not empty:
                out[...] = content
            return torch.from_numpy(out) if isinstance(fresh, Tensor) else out

        return made

    def _input(self, x: np.ndarray, what: str) -> np.ndarray:
        """The same numbers, laid out alike, between bands; nothing of it is to be written."""
        once = x[tuple(slice(0, 1) if s == 0 else slice(None) for s in x.strides)]
        reach = sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)) + x.itemsize if x.size else 0
        raw, start = self._between(x.dtype, reach)
        band = raw.copy()
        flat = np.ndarray((reach // x.itemsize,), x.dtype, buffer=raw.data, offset=start)
        as_strided(flat, once.shape, once.strides)[...] = once
        self._buffers.append(Buffer(raw, start, start + reach, band, what, raw.copy()))
        return as_strided(flat, x.shape, x.strides)

    def _pointing(self, find: Callable) -> Callable:
        def data_ptr(x: Tensor) -> int:
            address, where = find(x), _ours(sys._getframe(1))
            if where is None or (self._inside(address) and x.numel()):  # torch says 0 where there are no numbers
                return address
            return self._input(x.detach().numpy(), f"{x.dtype} {tuple(x.shape)} at {where}").ctypes.data

        return data_ptr

    def _addressing(self, find: Callable) -> Callable:
        def address(x: np.ndarray | Tensor) -> int:
            at, where = find(x), _ours(sys._getframe(1))
            if isinstance(x, Tensor) or self._inside(at):
                return at
            return self._input(x, f"{x.dtype} {x.shape} at {where}").ctypes.data

        return address

    def _calling(self, compiled: Callable, name: str) -> Callable:
        def called(*args: Any) -> Any:
            guarded = [
                self._input(a, f"argument {i} of {name}")
                if isinstance(a, np.ndarray) and not self._inside(a.ctypes.data)
                else a
                for i, a in enumerate(args)
            ]
            ours = {n: getattr(np, n) for n in NUMPY}
            vars(np).update(_NUMPY)  # compilers look these functions up
            try:
                return compiled(*guarded)
            finally:
                vars(np).update(ours)

        return called


_WORD = np.dtype(np.float64)  # what scratch of unknown content is poisoned with
_NUMPY = {name: getattr(np, name) for name in NUMPY}


def _numbers(x: Tensor) -> np.ndarray | None:
    """A tensor as an array, if it has memory of a kind that NumPy knows."""
    try:
        return x.numpy()
    except (RuntimeError, TypeError):  # what stands for a batch under vmap; other devices and dtypes
        return None


def agreed(call: Callable[[], Any]) -> Any:
    """What a call returns between bands; raises `Overrun` where it writes outside, or depends on what lies there."""
    found = []
    for poison in range(len(POISONS)):
        with Guard(poison):
            try:
                found.append(call())
            except (ValueError, NotImplementedError) as error:  # refusals of the library
                found.append(error)
    one, other = ([*bits_of(x)] for x in found)
    if one != other:
        raise Overrun("the result depends on what lies outside of a buffer, or in memory that was never written")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def bits_of(value: Any) -> Iterator[Any]:
    """A result as what compares bit by bit."""
    if isinstance(value, Tensor):
        yield tuple(value.shape), value.dtype, value.detach().contiguous().numpy().tobytes()
    elif isinstance(value, tuple | list):
        for part in value:
            yield from bits_of(part)
    elif isinstance(value, Exception):
        yield type(value), str(value)
    else:
        yield value


if __name__ == "__main__":
    from tests.executors.extremes import main

    main(int(sys.argv[1]), float(sys.argv[2]))
