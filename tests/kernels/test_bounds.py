"""Kernels whose arrays are made in compiled code, as plain Python: every index is in range, and nothing is stale."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from semiring_struct.kernels.branching import decoder
from semiring_struct.kernels.elimination import sums
from tests.kernels.test_elimination import ROOTS, graphs

numba = pytest.importorskip("numba")


class Strict(np.ndarray):
    """An array without negative indices; NumPy itself refuses those past the end."""

    def __getitem__(self, key: Any) -> Any:
        self._check(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check(key)
        super().__setitem__(key, value)

    def _check(self, key: Any) -> None:
        keys = key if isinstance(key, tuple) else (key,)
        for k, size in zip((k for k in keys if k is not Ellipsis), self.shape, strict=False):
            ends = [e for e in (k.start, k.stop) if e is not None] if isinstance(k, slice) else [k]
            if any(not 0 <= e <= size for e in ends):
                raise IndexError(f"{key} of an array of shape {self.shape}")


def poisoned(shape: Any, dtype: Any = np.float64) -> Strict:
    """Empty memory: NaN, or an index that no array has."""
    made = np.empty(shape, dtype=dtype).view(Strict)
    made[...] = np.nan if made.dtype.kind == "f" else True if made.dtype.kind == "b" else 1 << 40
    return made


def plain(name: str) -> ModuleType:
    """A module of compiled functions, not compiled, on strict arrays."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    disabled, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, True
    try:
        spec.loader.exec_module(module)
    finally:
        numba.config.DISABLE_JIT = disabled
    strict = {"empty": poisoned, "zeros": lambda *args, **how: np.zeros(*args, **how).view(Strict)}
    kept = {n: getattr(np, n) for n in ("bool_", "int64", "float64", "inf", "nan")}
    vars(module)["np"] = SimpleNamespace(**kept | strict)
    return module


def strictly(run: Callable) -> Callable:
    def called(*args: Any) -> Any:
        return run(*(a.view(Strict) if isinstance(a, np.ndarray) else a for a in args))

    return called


def pairs(kernel: str, function: str, compiled: Callable, monkeypatch: pytest.MonkeyPatch, *rest: Any) -> None:
    """What compiled code answers, and the same code as plain Python; each instance also by itself."""
    module = importlib.import_module(kernel)
    checked = strictly(getattr(plain(kernel), function))
    for m in (1, 2, 3, 5, 8):
        for scale, forbidden in ((0.0, 0.2), (1.0, 0.0), (1.0, 0.5), (1.0, 0.85), (300.0, 0.2)):
            w, lengths = graphs(6, m, scale, forbidden, seed=m)
            found = compiled(w, lengths, *rest)
            alone = [compiled(w[b : b + 1], lengths[b : b + 1], *rest) for b in range(len(w))]
            with monkeypatch.context() as patch:
                patch.setattr(module, function, checked)
                same = compiled(w, lengths, *rest)
            for a, b, c in zip(found, same, map(torch.cat, zip(*alone, strict=True)), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
                assert torch.equal(a, c)


@ROOTS
def test_decoding(single: bool, monkeypatch: pytest.MonkeyPatch):
    pairs("semiring_struct.kernels.branching.cpu", "decode", decoder.compiled, monkeypatch, single)


@ROOTS
@pytest.mark.parametrize("slopes", [False, True])
def test_elimination(single: bool, slopes: bool, monkeypatch: pytest.MonkeyPatch):
    pairs("semiring_struct.kernels.elimination.cpu", "sums", sums.compiled, monkeypatch, single, slopes)


def test_what_is_out_of_range_is_refused():
    x = poisoned((3, 2))
    for key in (-1, (0, -1), (3, 0), (0, slice(-1, None)), (slice(0, 4), 0)):
        with pytest.raises(IndexError):
            x[key]
        with pytest.raises(IndexError):
            x[key] = 0.0
