"""Forward kernels: one program per instance walks the table, row after row, in tiles of cells and their alternatives.

What a row writes others read back, hence a barrier after each row.
"""

# Triton declares that its compiled functions never return
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.cuda.chains import chain_forward
from semiring_struct.executors.cuda.choices import kept, tile, value, weights
from semiring_struct.executors.cuda.places import alive, late, reach, target, three, times
from semiring_struct.executors.cuda.products import product_forward

NO = tl.constexpr(False)


@triton.jit
def _fill(here, row, exists, fields, charts, out, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    """Write a row's cells to `out`; 0 where the instance is the empty structure."""
    code = here[0]
    count = tl.load(code + row + at.COUNT).to(tl.int32)
    for start in range(0, count, A):
        i = start + tl.arange(0, A)
        left = three(i, code + row + at.SIZES)[0]
        live = i < tl.where(exists, count, 0)
        cell = target(here, row) + reach(left, code + row + at.TO_STRIDES)
        found = value(here, row, fields, charts, left, cell, live, KIND, A, B)
        found = late(found, here, row, fields, charts, left, live)
        tl.store(out + cell, tl.where(exists, found, 0.0), mask=i < count)
    tl.debug_barrier()


@triton.jit
def forward(
    code, fields, lengths, rule, charts, answer, LAYOUT: tl.constexpr, KIND: tl.constexpr, A: tl.constexpr,
    B: tl.constexpr, CHAIN: tl.constexpr, PRODUCT: tl.constexpr,
):  # fmt: skip
    """All charts and the answer of one instance; `fields` holds those of an instance one after the other."""
    b = tl.program_id(0).to(tl.int64)
    fields += b * tl.load(code + at.FIELDS)
    charts += b * tl.load(code + at.CELLS)
    answer += b * tl.load(code + at.OUT)
    own = lengths + b * tl.load(code + at.SIDES)
    every = tl.load(code + at.SIDES) >= 0
    for block in range(tl.load(code + at.FIRST_BLOCK), tl.load(code + at.END_BLOCK), at.BLOCK):
        turns = tl.load(code + block + at.TURNS)
        if CHAIN > 0:  # noqa: SIM102, reason: settled when the kernel is compiled, unlike the next
            if tl.load(code + block + at.VECTOR) > 0:
                chain_forward(code, block, own, rule, fields, charts, KIND, CHAIN)
                turns = turns * 0
        for turn in range(turns):
            here = (code, turn, own, rule, b)
            for row in range(tl.load(code + block + at.FIRST_ROW), tl.load(code + block + at.END_ROW), at.ROW):
                if PRODUCT > 0:
                    product = tl.load(code + row + at.AS_PRODUCT)
                    if product > 0:
                        product_forward(here, product, fields, charts, PRODUCT)
                    else:
                        _fill(here, row, every, fields, charts, charts, KIND, A, B)
                else:
                    _fill(here, row, every, fields, charts, charts, KIND, A, B)
    last = tl.load(code + at.ANSWER)
    there = (code, 0, own, rule, b)
    for row in range(tl.load(code + last + at.FIRST_ROW), tl.load(code + last + at.END_ROW), at.ROW):
        _fill(there, row, alive(code, own), fields, charts, answer, KIND, A, B)


@triton.jit
def _rise(
    here, row, fields, charts, tangents, dots, left, cell, live, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr
):  # fmt: skip
    """The tangents of the sums of `A` cells: those of their alternatives, weighted."""
    code, rule = here[0], here[3]
    narrow = fields.dtype.element_ty
    crest, mass = kept(here, row, fields, charts, left, cell, live, NO, KIND, A, B)
    rise = tl.zeros([A], narrow)
    for term in range(tl.load(code + row + at.FIRST_TERM), tl.load(code + row + at.END_TERM), at.TERM):
        first, end = tl.load(code + term + at.FIRST_FACTOR), tl.load(code + term + at.END_FACTOR)
        for k in range(0, tl.load(code + term).to(tl.int32), B):
            x, number, right, mask = tile(here, row, term, k, fields, charts, left, cell, live, KIND, A, B)
            w = weights(x, number[None, :], crest[:, None], mass[:, None], rule, narrow, KIND)
            moved = times(tl.zeros([A, B], narrow), here, first, end, tangents, dots, left, right, mask)
            rise += tl.sum(tl.where(mask, w * moved, 0.0), 1)
    return rise


@triton.jit
def _lift(
    here, row, exists, fields, charts, tangents, dots, out, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr
):  # fmt: skip
    """Write the tangents of a row's cells to `out`; 0 where the instance is the empty structure."""
    code = here[0]
    count = tl.load(code + row + at.COUNT).to(tl.int32)
    for start in range(0, count, A):
        i = start + tl.arange(0, A)
        left = three(i, code + row + at.SIZES)[0]
        live = i < tl.where(exists, count, 0)
        cell = target(here, row) + reach(left, code + row + at.TO_STRIDES)
        found = _rise(here, row, fields, charts, tangents, dots, left, cell, live, KIND, A, B)
        found = late(found, here, row, tangents, dots, left, live)
        tl.store(out + cell, tl.where(exists, found, 0.0), mask=i < count)
    tl.debug_barrier()


@triton.jit
def tangent(
    code, fields, lengths, rule, charts, tangents, dots, rise, LAYOUT: tl.constexpr, KIND: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """The derivatives of all cells (`dots`) and of the answer (`rise`) of one instance along `tangents`."""
    b = tl.program_id(0).to(tl.int64)
    fields += b * tl.load(code + at.FIELDS)
    tangents += b * tl.load(code + at.FIELDS)
    charts += b * tl.load(code + at.CELLS)
    dots += b * tl.load(code + at.CELLS)
    rise += b * tl.load(code + at.OUT)
    own = lengths + b * tl.load(code + at.SIDES)
    every = tl.load(code + at.SIDES) >= 0
    for block in range(tl.load(code + at.FIRST_BLOCK), tl.load(code + at.END_BLOCK), at.BLOCK):
        for turn in range(tl.load(code + block + at.TURNS)):
            here = (code, turn, own, rule, b)
            for row in range(tl.load(code + block + at.FIRST_ROW), tl.load(code + block + at.END_ROW), at.ROW):
                _lift(here, row, every, fields, charts, tangents, dots, dots, KIND, A, B)
    last = tl.load(code + at.ANSWER)
    there = (code, 0, own, rule, b)
    for row in range(tl.load(code + last + at.FIRST_ROW), tl.load(code + last + at.END_ROW), at.ROW):
        _lift(there, row, alive(code, own), fields, charts, tangents, dots, rise, KIND, A, B)
