"""What compiled code is made of: pointers, exponentials and logarithms that vectorise, and counted noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.polynomials import Emit

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


WIDE = 32  # numbers that `not_above` reads


def _not_above(context, p, n, goal):
    """How many of the first `n`, 0 to 31, of the WIDE numbers from `p` on are not above the goal.

    All are compared at once, and the answers are counted as bits.
    """

    def build(target, builder, signature, args):
        p, n, goal = args
        lanes, bits = ir.VectorType(goal.type, WIDE), ir.IntType(WIDE)
        one = ir.VectorType(goal.type, 1)
        goals = builder.shuffle_vector(
            builder.bitcast(goal, one), ir.Constant(one, None), ir.Constant(ir.VectorType(ir.IntType(32), WIDE), None)
        )
        numbers = builder.load(builder.bitcast(p, lanes.as_pointer()), align=goal.type.width // 8)
        found = builder.bitcast(builder.icmp_signed("<=", numbers, goals), bits)
        asked = builder.sub(builder.shl(bits(1), builder.trunc(n, bits)), bits(1))
        return builder.zext(builder.ctpop(builder.and_(found, asked)), n.type)

    return types.int64(p, types.int64, goal), build


def _stream(context, p, n, x):
    """Write number `n` past the caches, which what is not read again soon would only fill."""

    def build(target, builder, signature, args):
        store = builder.store(args[2], builder.gep(args[0], [args[1]]))
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return target.get_dummy_value()

    return types.none(p, types.int64, p.dtype), build


SQUARE = LANES  # lines and columns of what `turn` reads, a power of two


def _turn(context, out, apart, x, pitch):
    """Write a square of numbers with its lines as columns: from lines `pitch` apart to lines `apart`.

    Blocks of 1, 2, 4 and so on numbers on either side of the diagonal change places in turn, in lines held by vectors.
    """

    def build(target, builder, signature, args):
        out, apart, x, pitch = args
        line, bits = ir.VectorType(x.type.pointee, SQUARE), signature.args[0].dtype.bitwidth
        where = [builder.gep(x, [builder.mul(pitch, pitch.type(i))]) for i in range(SQUARE)]
        lines = [builder.load(builder.bitcast(p, line.as_pointer()), align=bits // 8) for p in where]
        for side in (1 << level for level in range(SQUARE.bit_length() - 1)):
            upper = [c + SQUARE - side if c & side else c for c in range(SQUARE)]
            for i in [i for i in range(SQUARE) if not i & side]:
                pair = lines[i], lines[i + side]
                for j, block in ((i, upper), (i + side, [c + side for c in upper])):
                    lines[j] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(ir.IntType(32), SQUARE), block))
        for i, numbers in enumerate(lines):
            to = builder.gep(out, [builder.mul(apart, apart.type(i))])
            builder.store(numbers, builder.bitcast(to, line.as_pointer()), align=bits // 8)
        return target.get_dummy_value()

    return types.none(out, types.int64, x, types.int64), build


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
not_above: Any = intrinsic(_not_above)
turn: Any = intrinsic(_turn)
stream: Any = intrinsic(_stream)
STEP = np.uint64(0x9E3779B97F4A7C15)


def _one_number(act: Callable[[Emit, Any], Any]) -> Any:
    """A function of a number made of instructions."""

    def operation(context, x):
        def build(target, builder, signature, args):
            return act(Emit(builder, x), args[0])

        return x(x), build

    return intrinsic(operation)


_exp_one: Any = _one_number(Emit.exp)
_log_one: Any = _one_number(Emit.log)


def exp(x):
    """`e^x`, exactly 0 for `-inf`."""
    return math.exp(x)


def log(x):
    """The logarithm of a positive number."""
    return math.log(x)


@overload(exp)
def _exp(x):
    return (lambda x: _exp_one(x)) if isinstance(x, types.Float) else None


@overload(log)
def _log(x):
    return (lambda x: _log_one(x)) if isinstance(x, types.Float) else None


def cast(x, like):
    """`x` as a number of the type of `like`."""
    return type(like)(x)


@overload(cast)
def _cast(x, like):
    return (lambda x, like: np.float32(x)) if like == types.float32 else (lambda x, like: np.float64(x))


@exact
def place_in(key, count):
    """Where number `count` of the stream `key` is made from; STEP further is the place of the next."""
    return np.uint64(key) + np.uint64(count + 1) * STEP


@exact
def mixed(z):
    """The 64 random bits of a place."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@exact
def random_bits(key, count):
    """Random number `count` of the stream `key`, 64 bits: SplitMix64, read at any place [steele2014]."""
    return mixed(place_in(key, count))


@exact
def noise(key, count):
    """Uniform number `count` on (0, 1) of the stream `key`, as `ops.uniform_at`."""
    return (np.float64(random_bits(key, count) >> np.uint64(13)) + 0.5) * 2.0**-51
