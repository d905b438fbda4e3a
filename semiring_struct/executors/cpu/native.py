"""What compiled code is made of: pointers, exponentials and logarithms that vectorise, and counted noise.

`exp` and `log` are polynomials after reduction of the range, as in the Cephes library, within two units in the last
place. They are compiled with contraction only: reassociated, their reduction of the range would lose its low digits.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

EXACT = {"contract"}
LOOSE = {"contract", "nsz", "nnan", "reassoc"}

_compile: Any = njit
exact = _compile(fastmath=EXACT, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
# for what is called from one place: a level of calls less, and compilers optimise every level anew
inner = _compile(fastmath=EXACT, error_model="numpy", inline="always")
loose = _compile(fastmath=LOOSE, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
inlined = _compile(
    fastmath=EXACT, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True
)


def entry(function: Callable) -> Any:
    """Compile what Python calls, and keep the result on disk.

    Numba's cache looks at the one file that holds the function, so what was compiled before the latest change to any
    file of this folder is removed here.
    """
    compiled = _compile(error_model="numpy", nogil=True, cache=True)(function)
    latest = max(source.stat().st_mtime for source in Path(__file__).parent.glob("*.py"))
    for index in Path(compiled.stats.cache_path).glob(f"*.{function.__name__}-*.nbi"):
        with contextlib.suppress(OSError):
            if index.stat().st_mtime < latest:
                index.unlink(missing_ok=True)
    return compiled


def _pointer(context, address, like):
    """The address of an array of numbers of the type of `like`."""
    signature = types.CPointer(like)(address, like)

    def build(target, builder, signature, args):
        return builder.inttoptr(args[0], target.get_value_type(signature.return_type))

    return signature, build


def _ahead(context, p, n):
    """The pointer `n` numbers further on."""
    return p(p, types.int64), lambda target, builder, signature, args: builder.gep(args[0], [args[1]])


def _either(context, condition, a, b):
    """`a if condition else b` without a jump, for conditions that the processor would guess wrong half of the time."""

    def build(target, builder, signature, args):
        chosen = builder.select(*args)
        chosen.set_metadata("unpredictable", builder.module.add_metadata([]))
        return chosen

    return a(types.boolean, a, a), build


def _same_bits(source: Any, result: Any) -> Any:
    """A number of one type read as one of another."""

    def same_bits(context, x):
        def build(target, builder, signature, args):
            return builder.bitcast(args[0], target.get_value_type(signature.return_type))

        return result(source), build

    return intrinsic(same_bits)


def _alone(context):
    """Said in a function's body: it is called, not copied into its callers, which keeps compilation short."""

    def build(target, builder, signature, args):
        builder.function.attributes.add("noinline")
        return target.get_dummy_value()

    return types.none(), build


alone: Any = intrinsic(_alone)
pointer: Any = intrinsic(_pointer)
ahead: Any = intrinsic(_ahead)
either: Any = intrinsic(_either)
_float_of = _same_bits(types.int32, types.float32)
_int_of = _same_bits(types.float32, types.int32)
_double_of = _same_bits(types.int64, types.float64)

_F = np.float32
_LOWEST_32, _LOWEST_64 = _F(-87.0), -708.0


@exact
def _exp_32(x):
    y = min(max(x, _LOWEST_32), _F(88.0))
    n = np.floor(y * _F(1.44269504088896341) + _F(0.5))
    r = y - n * _F(0.693359375)
    r = r - n * _F(-2.12194440e-4)
    p = _F(1.9875691500e-4)
    p = p * r + _F(1.3981999507e-3)
    p = p * r + _F(8.3334519073e-3)
    p = p * r + _F(4.1665795894e-2)
    p = p * r + _F(1.6666665459e-1)
    p = p * r + _F(5.0000001201e-1)
    p = p * r * r + r + _F(1.0)
    p = p * _float_of(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)))
    return _F(0.0) if x < _LOWEST_32 else p


@exact
def _exp_64(x):
    y = min(max(x, _LOWEST_64), 709.0)
    n = np.floor(y * 1.4426950408889634074 + 0.5)
    r = y - n * 6.93145751953125e-1
    r = r - n * 1.42860682030941723212e-6
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    p = p * _double_of((np.int64(n) + np.int64(1023)) << np.int64(52))
    return 0.0 if x < _LOWEST_64 else p


@exact
def _log_32(x):
    i = _int_of(_F(x))
    e = (i >> np.int32(23)) - np.int32(126)
    m = _float_of(np.int32((i & np.int32(0x7FFFFF)) | np.int32(0x3F000000)))
    small = m < _F(0.70710678)
    e = e - (np.int32(1) if small else np.int32(0))
    m = m + (m if small else _F(0)) - _F(1)
    z = m * m
    y = _F(7.0376836292e-2)
    y = y * m - _F(1.1514610310e-1)
    y = y * m + _F(1.1676998740e-1)
    y = y * m - _F(1.2420140846e-1)
    y = y * m + _F(1.4249322787e-1)
    y = y * m - _F(1.6668057665e-1)
    y = y * m + _F(2.0000714765e-1)
    y = y * m - _F(2.4999993993e-1)
    y = y * m + _F(3.3333331174e-1)
    y = y * m * z
    f = _F(e)
    y = y + _F(-2.12194440e-4) * f - _F(0.5) * z
    return m + y + _F(0.693359375) * f


@exact
def _log_64(x):
    return math.log(x)


def exp(x):
    """`e^x`, exactly 0 for `-inf`."""
    return math.exp(x)


def log(x):
    """The logarithm of a positive number."""
    return math.log(x)


@overload(exp)
def _exp(x):
    return (lambda x: _exp_32(x)) if x == types.float32 else (lambda x: _exp_64(x))


@overload(log)
def _log(x):
    return (lambda x: _log_32(x)) if x == types.float32 else (lambda x: _log_64(x))


def cast(x, like):
    """`x` as a number of the type of `like`."""
    return type(like)(x)


@overload(cast)
def _cast(x, like):
    return (lambda x, like: _F(x)) if like == types.float32 else (lambda x, like: np.float64(x))


@exact
def random_bits(key, count):
    """Random number `count` of the stream `key`, 64 bits: SplitMix64, read at any place [steele2014]."""
    z = np.uint64(key) + np.uint64(count + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@exact
def noise(key, count):
    """Uniform number `count` on (0, 1) of the stream `key`, as `ops.uniform_at`."""
    return (np.float64(random_bits(key, count) >> np.uint64(13)) + 0.5) * 2.0**-51
