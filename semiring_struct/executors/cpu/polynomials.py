"""Exponentials and logarithms as instructions, for one number and for vectors of them.

Both are polynomials after reduction of the range, as in the Cephes library, within two units in the last place. They
are written as instructions so that loops over them vectorise, and so that no flag of a caller reassociates them: their
reduction of the range would lose its low digits.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

LOWEST_32, LOWEST_64 = -87.0, -708.0
EXP_32 = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
)  # fmt: skip
EXP_64 = (
    1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0,
    1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5,
)  # fmt: skip
LOG_32 = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip


def scalar(kind: Any) -> ir.Type:
    """The machine's type of a float32 or float64."""
    return ir.FloatType() if kind == types.float32 else ir.DoubleType()


class Emit:
    """Instructions on numbers of one type, `lanes` of them at a time."""

    def __init__(self, builder: Any, kind: Any, lanes: int = 1):
        self.builder, self.lanes, self.single = builder, lanes, kind == types.float32
        bits = 32 if self.single else 64
        self.suffix = f"f{bits}" if lanes == 1 else f"v{lanes}f{bits}"
        self.type = scalar(kind) if lanes == 1 else ir.VectorType(scalar(kind), lanes)
        self.integer = ir.IntType(bits) if lanes == 1 else ir.VectorType(ir.IntType(bits), lanes)

    def number(self, x: float) -> Any:
        """A constant."""
        return ir.Constant(self.type, x if self.lanes == 1 else [x] * self.lanes)

    def whole(self, x: int) -> Any:
        """A constant integer of the same width."""
        return ir.Constant(self.integer, x if self.lanes == 1 else [x] * self.lanes)

    def call(self, name: str, *args: Any) -> Any:
        """One of the compiler's own functions."""
        module, name = self.builder.module, f"llvm.{name}.{self.suffix}"
        kind = ir.FunctionType(self.type, [self.type] * len(args))
        return self.builder.call(module.globals.get(name) or ir.Function(module, kind, name), args)

    def larger(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def smaller(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def more(self, a: Any, b: Any, c: Any) -> Any:
        """`a * b + c`."""
        return self.call("fmuladd", a, b, c)

    def polynomial(self, x: Any, coefficients: tuple[float, ...]) -> Any:
        """From the highest power to the constant."""
        p = self.number(coefficients[0])
        for c in coefficients[1:]:
            p = self.more(p, x, self.number(c))
        return p

    def exp(self, x: Any) -> Any:
        """`e^x`, exactly 0 for `-inf`.

        A number so large that its last place is 1 is added to round to whole powers of 2, which its bits then hold.
        """
        b, lowest = self.builder, self.number(LOWEST_32 if self.single else LOWEST_64)
        large, places, bias = (1.5 * 2.0**23, 23, 127) if self.single else (1.5 * 2.0**52, 52, 1023)
        y = self.smaller(x, self.number(88.0 if self.single else 709.0))
        rounded = self.more(y, self.number(1.44269504088896341), self.number(large))
        n = b.fsub(rounded, self.number(large), flags=("contract",))  # flags of its own: those of callers are not added
        high, low = (0.693359375, -2.12194440e-4) if self.single else (6.93145751953125e-1, 1.42860682030941723212e-6)
        r = self.more(n, self.number(-low), self.more(n, self.number(-high), y))
        p = self.polynomial(r, EXP_32 if self.single else EXP_64)
        p = self.more(b.fmul(p, r), r, b.fadd(r, self.number(1.0)))
        power = b.shl(b.add(b.bitcast(rounded, self.integer), self.whole(bias)), self.whole(places))
        return b.select(b.fcmp_ordered("<", x, lowest), self.number(0.0), b.fmul(p, b.bitcast(power, self.type)))

    def log(self, x: Any) -> Any:
        """The logarithm of a positive number; of 0 some negative number."""
        if not self.single:
            return self.call("log", x)
        b = self.builder
        i = b.bitcast(x, self.integer)
        exponent = b.sub(b.ashr(i, self.whole(23)), self.whole(126))
        m = b.bitcast(b.or_(b.and_(i, self.whole(0x7FFFFF)), self.whole(0x3F000000)), self.type)
        small = b.fcmp_ordered("<", m, self.number(0.70710678))
        exponent = b.sub(exponent, b.zext(small, self.integer))
        m = b.fsub(b.fadd(m, b.select(small, m, self.number(0.0))), self.number(1.0))
        z, f = b.fmul(m, m), b.sitofp(exponent, self.type)
        y = b.fmul(b.fmul(self.polynomial(m, LOG_32), m), z)
        y = self.more(self.number(-0.5), z, self.more(self.number(-2.12194440e-4), f, y))
        return self.more(self.number(0.693359375), f, b.fadd(m, y))
