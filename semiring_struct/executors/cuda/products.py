"""Rows that are products of matrices: exponentials of both sides, and products of real numbers, tile after tile.

Every summed entry has the largest of its columns taken off and added to its rows, then every row its largest, so that
the largest product of a row is 1. What underflows is negligible beside a sum that is not tiny; other cells are summed
from their logarithms, entry by entry.
"""

# Triton declares that its compiled functions never return
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.cuda.choices import tile
from semiring_struct.executors.cuda.places import reach, target, three, times

ONE, SUM = tl.constexpr(1), tl.constexpr(at.SOFT)


@triton.jit
def _most(which):
    """How many cells of a tile are true, in the row that has most."""
    return tl.maximum(tl.max(tl.sum(which.to(tl.int32), 1), 0), 0)


@triton.jit
def _settled(x):
    """What may be taken off: 0 in place of `-inf`."""
    return tl.where(x == float("-inf"), 0.0, x)


@triton.jit
def _least(k, narrow: tl.constexpr):
    """The smallest sum that is trusted: what underflow may have taken from it is below its last digit."""
    tiny = 1e-290 if narrow == tl.float64 else 1e-30
    return k.to(narrow) * tiny


@triton.jit
def _grid(code, product, S: tl.constexpr):
    """How many rows and columns a product has, and how many tiles of each."""
    p = tl.load(code + product + at.DOWN).to(tl.int32)
    q = tl.load(code + product + at.ACROSS).to(tl.int32)
    return p, q, (p + S - 1) // S, (q + S - 1) // S


@triton.jit
def _tiles(code, product, S: tl.constexpr):
    """How many tiles of cells a product has."""
    high, wide = _grid(code, product, S)[2:]
    return tl.load(code + product + at.BOTH).to(tl.int32) * high * wide


@triton.jit
def _spot(here, product, n, S: tl.constexpr):
    """Of tile `n`: both sides, which of their pairs it is of, its first row and column, and where these end."""
    code = here[0]
    left, right = tl.load(code + product + at.LEFT), tl.load(code + product + at.RIGHT)
    p, q, high, wide = _grid(code, product, S)
    line = n // wide
    o = line // high
    return left, right, o, (line - o * high) * S, (n - line * wide) * S, p, q


@triton.jit
def _side(here, row, first, end, k, fields, charts, A: tl.constexpr, B: tl.constexpr):
    """Logarithms of a side, float64: its cells from `first` down, its summed entries from `k` across."""
    code = here[0]
    i = first + tl.arange(0, A)
    cells, live = three(i, code + row + at.SIZES)[0], i < end
    return tile(here, row, tl.load(code + row + at.FIRST_TERM), k, fields, charts, cells, i, live, SUM, A, B)[0]


@triton.jit
def _sides(here, spot, k, fields, charts, A: tl.constexpr, B: tl.constexpr):
    """Tiles of both sides: rows with what is taken off the columns, and columns without."""
    left, right, o, down, across, p, q = spot
    x = _side(here, left, o * p + down, o * p + p, k, fields, charts, A, B)
    y = _side(here, right, o * q + across, o * q + q, k, fields, charts, A, B)
    shift = tl.expand_dims(tl.max(y, 0), 0)
    return x + shift, y - _settled(shift)


@triton.jit
def _dot(a, b, c):
    return tl.dot(a, b, c, input_precision="ieee", out_dtype=c.dtype)


@triton.jit
def _masses(here, spot, k, fields, charts, S: tl.constexpr):
    """The largest alternative of each row, and the mass of each cell beside it."""
    narrow = fields.dtype.element_ty
    sharp = tl.load(here[3] + at.SHARPNESS).to(narrow)
    top, mass = tl.full([S], float("-inf"), tl.float64), tl.zeros([S, S], narrow)
    for s in range(0, k, S):
        x, y = _sides(here, spot, s, fields, charts, S, S)
        higher = tl.maximum(top, tl.max(x, 1))
        crest = _settled(higher)
        a = tl.exp((x - crest[:, None]).to(narrow) * sharp)
        b = tl.exp(y.to(narrow) * sharp)
        mass = _dot(a, tl.trans(b), mass * tl.exp((top - crest).to(narrow) * sharp)[:, None])
        top = higher
    return _settled(top), mass


@triton.jit
def _again(here, spot, k, fields, charts, S: tl.constexpr):
    """The largest alternative of each cell, and the mass beside it, from the logarithms."""
    narrow = fields.dtype.element_ty
    sharp = tl.load(here[3] + at.SHARPNESS).to(narrow)
    top, mass = tl.full([S, S], float("-inf"), tl.float64), tl.zeros([S, S], narrow)
    for s in range(k):
        x, y = _sides(here, spot, s, fields, charts, S, ONE)
        z = x + tl.trans(y)
        higher = tl.maximum(top, z)
        crest = _settled(higher)
        mass = mass * tl.exp((top - crest).to(narrow) * sharp) + tl.exp((z - crest).to(narrow) * sharp)
        top = higher
    return top, mass


@triton.jit
def _cells(here, product, spot, S: tl.constexpr):
    """Of a tile: indices of its rows and columns, which cells exist, and where they stand in the charts."""
    code = here[0]
    o, down, across, p, q = spot[2], spot[3], spot[4], spot[5], spot[6]
    row = tl.load(code + product + at.MADE)
    i, j = down + tl.arange(0, S), across + tl.arange(0, S)
    rows, columns = three(o * p + i, code + row + at.SIZES)[0], three(j, code + row + at.SIZES + 3)[0]
    strides = code + row + at.TO_STRIDES
    cell = target(here, row) + reach(rows, strides)[:, None] + reach(columns, strides + 3)[None, :]
    return row, rows, columns, (i < p)[:, None] & (j < q)[None, :], cell


@triton.jit
def _write(here, found, value, mask, fields, charts):
    """Cells and the factors that multiply their sums."""
    code = here[0]
    row, rows, columns, cell = found[0], found[1], found[2], found[4]
    first, end = tl.load(code + row + at.FIRST_LATE), tl.load(code + row + at.END_LATE)
    tl.store(charts + cell, times(value, here, first, end, fields, charts, rows, columns, mask), mask=mask)


@triton.jit
def product_forward(here, product, fields, charts, S: tl.constexpr):
    """All cells of a row that is a product."""
    code, rule = here[0], here[3]
    narrow = fields.dtype.element_ty
    t, k = tl.load(rule + at.TEMPERATURE), tl.load(code + product + at.SUMMED).to(tl.int32)
    for n in range(_tiles(code, product, S)):
        spot = _spot(here, product, n, S)
        found = _cells(here, product, spot, S)
        top, mass = _masses(here, spot, k, fields, charts, S)
        sure = mass >= _least(k, narrow)
        value = top[:, None] + t * tl.log(tl.where(sure, mass, 1.0).to(tl.float64))
        _write(here, found, value, found[3] & sure, fields, charts)
        weak = found[3] & (sure == 0)
        if _most(weak) > 0:
            crest, total = _again(here, spot, k, fields, charts, S)
            value = crest + t * tl.log(tl.where(total > 0.0, total, 1.0).to(tl.float64))
            _write(here, found, value, weak, fields, charts)
    tl.debug_barrier()


@triton.jit
def _gain(here, row, first, end, s, k, kept, adjoint, gained, A: tl.constexpr, B: tl.constexpr):
    """Add to the adjoints of a side, or write them where nothing is `kept`."""
    i, j = first + tl.arange(0, A), s + tl.arange(0, B)
    to = adjoint + target(here, row) + (i * k)[:, None] + j[None, :]
    live, old = (i < end)[:, None], j < tl.where(kept, k, 0)
    tl.store(to, tl.load(to, mask=live & old[None, :], other=0.0) + gained, mask=live & (j < k)[None, :])


@triton.jit
def _gains(here, spot, s, k, again, adjoint, to_left, to_right, A: tl.constexpr, B: tl.constexpr):
    """What a tile passes on to both sides; the first tile of a row or a column writes, unless it does so `again`."""
    left, right, o, down, across, p, q = spot
    _gain(here, left, o * p + down, o * p + p, s, k, across + again > 0, adjoint, to_left, A, B)
    _gain(here, right, o * q + across, o * q + q, s, k, down + again > 0, adjoint, to_right, A, B)
    tl.debug_barrier()


@triton.jit
def _flow(here, spot, k, top, flow, fields, charts, adjoint, S: tl.constexpr):
    """Adjoints of cells over their masses, passed on to both sides."""
    narrow = fields.dtype.element_ty
    sharp, none = tl.load(here[3] + at.SHARPNESS).to(narrow), tl.zeros([S, S], narrow)
    for s in range(0, k, S):
        x, y = _sides(here, spot, s, fields, charts, S, S)
        a = tl.exp((x - top[:, None]).to(narrow) * sharp)
        b = tl.exp(y.to(narrow) * sharp)
        to_left, to_right = a * _dot(flow, b, none), b * _dot(tl.trans(flow), a, none)
        _gains(here, spot, s, k, 0, adjoint, to_left, to_right, S, S)


@triton.jit
def _flow_again(here, spot, k, flow, fields, charts, adjoint, S: tl.constexpr):
    """The same from the logarithms, entry by entry, for cells that are not certified; others have no flow."""
    narrow = fields.dtype.element_ty
    sharp = tl.load(here[3] + at.SHARPNESS).to(narrow)
    top, mass = _again(here, spot, k, fields, charts, S)
    top, flow = _settled(top), tl.where(mass > 0.0, flow / tl.where(mass > 0.0, mass, 1.0), 0.0)
    for s in range(k):
        x, y = _sides(here, spot, s, fields, charts, S, ONE)
        w = flow * tl.exp((x + tl.trans(y) - top).to(narrow) * sharp)
        _gains(here, spot, s, k, 1, adjoint, tl.expand_dims(tl.sum(w, 1), 1), tl.expand_dims(tl.sum(w, 0), 1), S, ONE)


@triton.jit
def product_reverse(here, product, fields, charts, adjoint, S: tl.constexpr):
    """The adjoints of both sides of a row that is a product, from those of its cells; one tile after the other."""
    code = here[0]
    narrow = fields.dtype.element_ty
    k = tl.load(code + product + at.SUMMED).to(tl.int32)
    for n in range(_tiles(code, product, S)):
        spot = _spot(here, product, n, S)
        found = _cells(here, product, spot, S)
        top, mass = _masses(here, spot, k, fields, charts, S)
        flow = tl.load(adjoint + found[4], mask=found[3], other=0.0)
        sure = mass >= _least(k, narrow)
        h = tl.where(sure, flow / tl.where(sure, mass, 1.0), 0.0)
        _flow(here, spot, k, top, h, fields, charts, adjoint, S)
        rest = tl.where(sure, 0.0, flow)
        if _most(rest != 0.0) > 0:
            _flow_again(here, spot, k, rest, fields, charts, adjoint, S)
