"""Where cells and alternatives stand, and what is read there."""

# Triton declares that its compiled functions never return
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

from semiring_struct.executors.cuda import columns as at


@triton.jit
def digits(i, sizes):
    """The index along each of six dims of entries numbered `i`."""
    n2 = tl.load(sizes + 2).to(tl.int32)
    n1 = tl.load(sizes + 1).to(tl.int32)
    near, rest = three(i, sizes + 3)
    i2 = rest // n2
    i1 = i2 // n1
    return i1, i2 - i1 * n1, rest - i2 * n2, near[0], near[1], near[2]


@triton.jit
def three(i, sizes):
    """The index along each of three dims of entries numbered `i`, and how often all were run through before."""
    n2 = tl.load(sizes + 2).to(tl.int32)
    n1 = tl.load(sizes + 1).to(tl.int32)
    n0 = tl.load(sizes).to(tl.int32)
    i1 = i // n2
    i0 = i1 // n1
    rest = i0 // n0
    return (i0 - rest * n0, i1 - i0 * n1, i - i1 * n2), rest


@triton.jit
def reach(d, strides):
    """How far indices along the first three dims lead."""
    return d[0] * tl.load(strides) + d[1] * tl.load(strides + 1) + d[2] * tl.load(strides + 2)


@triton.jit
def reach_all(d, strides):
    """How far six indices lead."""
    return reach(d, strides) + reach((d[3], d[4], d[5]), strides + 3)


@triton.jit
def reach_both(left, right, strides):
    """How far the six indices `left` (down) and the six `right` (across) lead together."""
    return reach_all(left, strides)[:, None] + reach_all(right, strides)[None, :]


@triton.jit
def place(code, f, turn, own):
    """Where a factor starts at a turn of its loop, for the instance's own lengths."""
    start = tl.load(code + f + at.OFFSET) + tl.load(code + f + at.STEP) * turn
    for i in range(tl.load(code + f + at.FIRST_LENGTH), tl.load(code + f + at.END_LENGTH), at.LENGTH):
        start += tl.load(own + tl.load(code + i)) * tl.load(code + i + 1)
    return start


# the sums below are spelled out in both branches: a branch that yields a tile for a later sum costs a spill
@triton.jit
def times(x, here, first, end, fields, charts, cells, summed, mask):
    """`x` plus the factors `first .. end` at three indices of cells (down) and three of summed dims (across)."""
    code, turn, own = here[0], here[1], here[2]
    for f in range(first, end, at.FACTOR):
        strides = code + f + at.STRIDES
        spot = place(code, f, turn, own) + reach(cells, strides)[:, None] + reach(summed, strides + 3)[None, :]
        if tl.load(code + f + at.CHARTED) != 0:
            x += tl.load(charts + spot, mask=mask, other=0.0).to(x.dtype)
        else:
            x += tl.load(fields + spot, mask=mask, other=0.0).to(x.dtype)
    return x


@triton.jit
def times_all(x, here, first, end, fields, charts, left, right, mask):
    """The same with six indices down and six across."""
    code, turn, own = here[0], here[1], here[2]
    for f in range(first, end, at.FACTOR):
        spot = place(code, f, turn, own) + reach_both(left, right, code + f + at.STRIDES)
        if tl.load(code + f + at.CHARTED) != 0:
            x += tl.load(charts + spot, mask=mask, other=0.0).to(x.dtype)
        else:
            x += tl.load(fields + spot, mask=mask, other=0.0).to(x.dtype)
    return x


@triton.jit
def late(x, here, row, fields, charts, cells, mask):
    """`x`, one number per cell, plus the factors that multiply the sum of a row's alternatives."""
    code, turn, own = here[0], here[1], here[2]
    for f in range(tl.load(code + row + at.FIRST_LATE), tl.load(code + row + at.END_LATE), at.FACTOR):
        spot = place(code, f, turn, own) + reach(cells, code + f + at.STRIDES)
        if tl.load(code + f + at.CHARTED) != 0:
            x += tl.load(charts + spot, mask=mask, other=0.0).to(x.dtype)
        else:
            x += tl.load(fields + spot, mask=mask, other=0.0).to(x.dtype)
    return x


@triton.jit
def target(here, row):
    """Where a row's cells start at a turn of its loop."""
    code, turn = here[0], here[1]
    return tl.load(code + row + at.TO) + tl.load(code + row + at.TO_STEP) * turn


@triton.jit
def alive(code, own):
    """Whether the answer's cells exist at the instance's lengths; else it is the empty structure."""
    least = code + tl.load(code + at.LEAST)
    most = tl.load(code + at.SIDES) * 0
    for side in range(tl.load(code + at.SIDES)):
        most = tl.maximum(most, tl.load(least + side) - tl.load(own + side))
    return most <= 0
