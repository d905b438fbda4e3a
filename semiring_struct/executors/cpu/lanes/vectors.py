"""Numbers of several instances side by side as one value: a lane for each, and arithmetic on all of them at once.

They are vectors for the compiler, so that nothing depends on loops that it may or may not vectorise.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.native import ahead, exact, exp, log, turn
from semiring_struct.executors.cpu.polynomials import Emit, scalar


class Lanes(types.Type):
    """One number of type `kind` for each lane."""

    def __init__(self, kind: Any):
        self.kind = kind
        super().__init__(name=f"Lanes({kind})")


LANES_32, LANES_64 = Lanes(types.float32), Lanes(types.float64)


def _of(kind: Any) -> Lanes:
    return LANES_32 if kind == types.float32 else LANES_64


def _vector(kind: Any) -> ir.Type:
    return ir.VectorType(scalar(kind), LANES)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Any):
        super().__init__(manager, lanes, _vector(lanes.kind))


def _operation(act: Callable[..., Any], *on: Any) -> Any:
    """What `act` emits for vectors of one type, as a function of numba's; with `on`, in place of an operator."""

    def unary(context, x):
        return x(x), lambda target, builder, signature, args: act(Emit(builder, x.kind, LANES), *args)

    def binary(context, x, y):
        return x(x, y), lambda target, builder, signature, args: act(Emit(builder, x.kind, LANES), *args)

    def ternary(context, x, y, z):
        return x(x, y, z), lambda target, builder, signature, args: act(Emit(builder, x.kind, LANES), *args)

    def quaternary(context, x, y, z, w):
        return x(x, y, z, w), lambda target, builder, signature, args: act(Emit(builder, x.kind, LANES), *args)

    made: Any = intrinsic((unary, binary, ternary, quaternary)[act.__code__.co_argcount - 2])

    def one(x):
        return (lambda x: made(x)) if isinstance(x, Lanes) else None

    def two(a, b):
        return (lambda a, b: made(a, b)) if isinstance(a, Lanes) and a == b else None

    for function in on:
        overload(function)(one if act.__code__.co_argcount == 2 else two)
    return made


def _ratio(e: Emit, a: Any, b: Any) -> Any:
    none = e.number(0.0)
    return e.builder.select(e.builder.fcmp_ordered(">", b, none), e.builder.fdiv(a, b), none)


def _settled(e: Emit, x: Any) -> Any:
    finite = e.builder.fcmp_ordered("<", e.call("fabs", x), e.number(np.inf))
    return e.builder.select(finite, x, e.number(0.0))


def _where_above(e: Emit, x: Any, y: Any, a: Any, b: Any) -> Any:
    return e.builder.select(e.builder.fcmp_ordered(">", x, y), a, b)


_operation(Emit.exp, exp)
_operation(Emit.log, log)
_operation(lambda e, a, b: e.builder.fadd(a, b), operator.add)
_operation(lambda e, a, b: e.builder.fsub(a, b), operator.sub)
_operation(lambda e, a, b: e.builder.fmul(a, b), operator.mul)
larger: Any = _operation(Emit.larger)
more: Any = _operation(Emit.more)  # `a * b + c`
ratio: Any = _operation(_ratio)  # `a / b`, 0 where `b` is not above 0
where_above: Any = _operation(_where_above)  # `a` where `x > y`, else `b`
settled: Any = _operation(_settled)  # 0 in place of what is not finite


def _spread(context, x):
    """A number in every lane."""

    def build(target, builder, signature, args):
        vector = ir.Constant(_vector(x), ir.Undefined)
        one = builder.insert_element(vector, args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, vector, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    return _of(x)(x), build


def _loaded(context, p):
    """The numbers from `p` on."""

    def build(target, builder, signature, args):
        out = builder.load(builder.bitcast(args[0], _vector(p.dtype).as_pointer()))
        out.align = p.dtype.bitwidth // 8
        return out

    return _of(p.dtype)(p), build


def _keep(context, p, x):
    """Write the numbers from `p` on."""

    def build(target, builder, signature, args):
        done = builder.store(args[1], builder.bitcast(args[0], _vector(p.dtype).as_pointer()))
        done.align = p.dtype.bitwidth // 8
        return target.get_dummy_value()

    return types.none(p, x), build


def _note(context, p, x):
    """Write whole numbers from `p` on."""

    def build(target, builder, signature, args):
        whole = ir.VectorType(ir.IntType(p.dtype.bitwidth), LANES)
        done = builder.store(builder.fptosi(args[1], whole), builder.bitcast(args[0], whole.as_pointer()))
        done.align = p.dtype.bitwidth // 8
        return target.get_dummy_value()

    return types.none(p, x), build


def _wide(context, x):
    """The same numbers in float64."""

    def build(target, builder, signature, args):
        return args[0] if x == LANES_64 else builder.fpext(args[0], _vector(types.float64))

    return LANES_64(x), build


def _narrow(context, x, like):
    """The same numbers in the type of `like`."""

    def build(target, builder, signature, args):
        return args[0] if like == types.float64 else builder.fptrunc(args[0], _vector(like))

    return _of(like)(x, like), build


def _any(builder: Any, found: Any) -> Any:
    return builder.icmp_unsigned("!=", builder.bitcast(found, ir.IntType(LANES)), ir.IntType(LANES)(0))


def _flows(context, x):
    """Whether any lane is not 0."""

    def build(target, builder, signature, args):
        return _any(builder, builder.fcmp_unordered("!=", args[0], Emit(builder, x.kind, LANES).number(0.0)))

    return types.boolean(x), build


def _below(context, x, y):
    """Whether any lane of `x` is not at least that of `y`."""
    return types.boolean(x, y), lambda target, builder, signature, args: _any(
        builder, builder.not_(builder.fcmp_ordered(">=", *args))
    )


def _strange(context, x):
    """Whether any lane is NaN or +inf."""

    def build(target, builder, signature, args):
        infinity = Emit(builder, x.kind, LANES).number(np.inf)
        return _any(builder, builder.not_(builder.fcmp_ordered("<", args[0], infinity)))

    return types.boolean(x), build


spread: Any = intrinsic(_spread)
loaded: Any = intrinsic(_loaded)
keep: Any = intrinsic(_keep)
note: Any = intrinsic(_note)
wide: Any = intrinsic(_wide)
narrow: Any = intrinsic(_narrow)
flows: Any = intrinsic(_flows)
below: Any = intrinsic(_below)
strange: Any = intrinsic(_strange)


@exact
def turn_in(out, x, far, size, count):
    """Gather `size` entries of `count` instances, `far` apart, into lanes; lanes without one repeat the last.

    Returns whether one of the entries is NaN or +inf.
    """
    e, found = 0, False
    if count == LANES:
        while e + LANES <= size:
            turn(ahead(out, e * LANES), LANES, ahead(x, e), far)
            for i in range(e, e + LANES):
                found |= strange(loaded(ahead(out, i * LANES)))
            e += LANES
    for i in range(e, size):
        for lane in range(LANES):
            out[i * LANES + lane] = x[min(lane, count - 1) * far + i]
        found |= strange(loaded(ahead(out, i * LANES)))
    return found


@exact
def turn_away(out, x, size, count):
    """Give `size` entries of each of `count` lanes to as many instances."""
    e = 0
    if count == LANES:
        while e + LANES <= size:
            turn(ahead(out, e), size, ahead(x, e * LANES), LANES)
            e += LANES
    for lane in range(count):
        for i in range(e, size):
            out[lane * size + i] = x[i * LANES + lane]
