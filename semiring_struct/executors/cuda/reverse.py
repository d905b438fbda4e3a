"""Backward kernels: every cell of every factor collects its own share of the adjoints, each choice computed again.

Every sum over tied dims is made by the lanes that own its target, in a fixed order: there is no atomic operation, and
two runs agree bit by bit. A second channel carries the tangents of the adjoints.
"""

from __future__ import annotations

import triton
import triton.language as tl

from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.cuda.chains import chain_reverse
from semiring_struct.executors.cuda.choices import gumbel, kept, leverage, tile, weights
from semiring_struct.executors.cuda.places import (
    alive,
    digits,
    place,
    reach,
    reach_all,
    reach_both,
    target,
    three,
    times,
    times_all,
)  # fmt: skip
from semiring_struct.executors.cuda.products import product_reverse

NONE, ONE, YES, NO = tl.constexpr(0), tl.constexpr(1), tl.constexpr(True), tl.constexpr(False)


@triton.jit
def _mean(
    here, row, fields, charts, tangents, dots, left, cell, live, crest, mass, KIND: tl.constexpr, A: tl.constexpr,
    B: tl.constexpr,
):  # fmt: skip
    """The mean of the tangents of a cell's alternatives, each counted as much as its weight yields."""
    code, rule = here[0], here[3]
    narrow = fields.dtype.element_ty
    total, mean = tl.zeros([A], tl.float64), tl.zeros([A], tl.float64)
    for term in range(tl.load(code + row + at.FIRST_TERM), tl.load(code + row + at.END_TERM), at.TERM):
        first, end = tl.load(code + term + at.FIRST_FACTOR), tl.load(code + term + at.END_FACTOR)
        for k in range(0, tl.load(code + term).to(tl.int32), B):
            found = tile(here, row, term, k, fields, charts, left, cell, live, KIND, A, B)
            right, mask = found[2], found[3]
            s = tl.where(mask, leverage(found[0], crest[:, None], mass[:, None], rule, narrow, KIND), 0.0)
            moved = times(tl.zeros([A, B], narrow), here, first, end, tangents, dots, left, right, mask)
            total += tl.sum(s, 1)
            mean += tl.sum(s * moved.to(tl.float64), 1)
    return tl.where(total > 0.0, mean / tl.where(total > 0.0, total, 1.0), 0.0)


@triton.jit
def _keep(
    here, row, exists, fields, charts, tangents, dots, scratch, DUAL: tl.constexpr, KIND: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Write what the weights of a row's alternatives need to know of their cells."""
    code = here[0]
    count, room = tl.load(code + row + at.COUNT).to(tl.int32), tl.load(code + at.ROOM)
    for start in range(0, count, A):
        i = start + tl.arange(0, A)
        live = i < tl.where(exists, count, 0)
        left = three(i, code + row + at.SIZES)[0]
        cell = target(here, row) + reach(left, code + row + at.TO_STRIDES)
        crest, mass = kept(here, row, fields, charts, left, cell, live, DUAL, KIND, A, B)
        tl.store(scratch + at.CREST * room + i, crest, mask=i < count)
        if DUAL or KIND == at.TSALLIS:
            tl.store(scratch + at.MASS * room + i, mass, mask=i < count)
        if DUAL:
            mean = _mean(here, row, fields, charts, tangents, dots, left, cell, live, crest, mass, KIND, A, B)
            tl.store(scratch + at.MEAN * room + i, mean, mask=i < count)
    tl.debug_barrier()


@triton.jit
def _shares(
    here, row, term, fields, charts, tangents, dots, scratch, left, right, cell, mask, flow, flow_dot,
    DUAL: tl.constexpr, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """The adjoints of alternatives, and their tangents where there is a second channel, from those of their cells."""
    code, rule = here[0], here[3]
    narrow = fields.dtype.element_ty
    first, end = tl.load(code + term + at.FIRST_FACTOR), tl.load(code + term + at.END_FACTOR)
    own = tl.load(code + term + at.START) + reach_both(left, right, code + term + at.ORDER)
    kept_at = scratch + reach_both(left, right, code + row + at.NUMBERS)
    room = tl.load(code + at.ROOM)
    crest = tl.load(kept_at + at.CREST * room, mask=mask, other=-1.0)
    mass = tl.full([A, B], 1.0, tl.float64)
    if DUAL or KIND == at.TSALLIS:
        mass = tl.load(kept_at + at.MASS * room, mask=mask, other=1.0)
    x = tl.zeros([A, B], tl.float64)
    if DUAL or not (KIND == at.MOST or KIND == at.DRAW or KIND == at.HARD):
        x = times_all(x, here, first, end, fields, charts, left, right, mask)
        if KIND == at.GUMBEL or KIND == at.HARD:
            x += gumbel(here, row, cell, own)
    w = weights(x, own, crest, mass, rule, narrow, KIND)
    if DUAL:
        mean = tl.load(kept_at + at.MEAN * room, mask=mask, other=0.0)
        moved = times_all(tl.zeros([A, B], narrow), here, first, end, tangents, dots, left, right, mask).to(tl.float64)
        s = leverage(x, crest, mass, rule, narrow, KIND)
        bend = (s * (moved - mean) * tl.load(rule + at.SHARPNESS)).to(narrow)
        flow_dot = bend * flow + w * flow_dot
    return flow * w, flow_dot


@triton.jit
def _add(to, mine, gained):
    """Add to cells that no other lane owns."""
    tl.store(to, tl.load(to, mask=mine, other=0.0) + gained, mask=mine)


@triton.jit
def _pull(
    here, pull, exists, fields, charts, tangents, dots, scratch, source, source_dot, adjoint, adjoint_dot, slopes,
    DUAL: tl.constexpr, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Every cell of a factor collects its share of the adjoints `source` of a row's cells."""
    code, turn, own = here[0], here[1], here[2]
    narrow = fields.dtype.element_ty
    row = tl.load(code + pull + at.OF_ROW)
    lanes = tl.where(exists, tl.load(code + pull + at.LANES), 0).to(tl.int32)
    tied = tl.load(code + pull + at.TIED).to(tl.int32)
    term, f = tl.load(code + pull + at.OF_TERM), tl.load(code + pull + at.TO_FACTOR)
    for z in range(tl.load(code + pull + at.SERIAL).to(tl.int32)):
        apart = digits(z, code + pull + at.SERIAL_SIZES)
        for start in range(0, lanes, A):
            i = start + tl.arange(0, A)
            d = digits(i, code + pull + at.LANE_SIZES)
            left = (
                d[0] + apart[0], d[1] + apart[1], d[2] + apart[2], d[3] + apart[3], d[4] + apart[4], d[5] + apart[5],
            )  # fmt: skip
            gained, gained_dot = tl.zeros([A], narrow), tl.zeros([A], narrow)
            for k in range(0, tied, B):
                r = k + tl.arange(0, B)
                right = digits(r, code + pull + at.TIED_SIZES)
                mask = (i < lanes)[:, None] & (r < tied)[None, :]
                cell = target(here, row) + reach_both(left, right, code + row + at.TO_STRIDES)
                flow = tl.load(source + cell, mask=mask, other=0.0)
                flow_dot = flow
                if DUAL:
                    flow_dot = tl.load(source_dot + cell, mask=mask, other=0.0)
                if term >= 0:
                    flow, flow_dot = _shares(
                        here, row, term, fields, charts, tangents, dots, scratch, left, right, cell, mask, flow,
                        flow_dot, DUAL, KIND, A, B,
                    )  # fmt: skip
                gained += tl.sum(tl.where(mask, flow, 0.0), 1)
                if DUAL:
                    gained_dot += tl.sum(tl.where(mask, flow_dot, 0.0), 1)
            to, mine = place(code, f, turn, own) + reach_all(left, code + f + at.STRIDES), i < lanes
            if tl.load(code + f + at.CHARTED) != 0:
                _add(adjoint + to, mine, gained)
                if DUAL:
                    _add(adjoint_dot + to, mine, gained_dot)
            else:
                _add(slopes + to, mine, gained_dot if DUAL else gained)
        tl.debug_barrier()


@triton.jit
def _back(
    here, row, exists, fields, charts, tangents, dots, scratch, source, source_dot, adjoint, adjoint_dot, slopes,
    DUAL: tl.constexpr, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr, PULL_A: tl.constexpr,
    PULL_B: tl.constexpr, PRODUCT: tl.constexpr,
):  # fmt: skip
    """Pass the adjoints of a row's cells on to all its factors."""
    code = here[0]
    first, end = tl.load(code + row + at.FIRST_PULL), tl.load(code + row + at.END_PULL)
    if PRODUCT > 0:
        product = tl.load(code + row + at.AS_PRODUCT)
        if product > 0:
            product_reverse(here, product, fields, charts, adjoint, PRODUCT)
            first, end = tl.load(code + product + at.FIRST_OF_PULLS), tl.load(code + product + at.END_OF_PULLS)
        else:
            _keep(here, row, exists, fields, charts, tangents, dots, scratch, DUAL, KIND, A, B)
    else:
        _keep(here, row, exists, fields, charts, tangents, dots, scratch, DUAL, KIND, A, B)
    for pull in range(first, end, at.PULL):
        if tl.load(code + pull + at.TIED) == 1:
            _pull(
                here, pull, exists, fields, charts, tangents, dots, scratch, source, source_dot, adjoint,
                adjoint_dot, slopes, DUAL, KIND, PULL_A * PULL_B, ONE,
            )  # fmt: skip
        else:
            _pull(
                here, pull, exists, fields, charts, tangents, dots, scratch, source, source_dot, adjoint,
                adjoint_dot, slopes, DUAL, KIND, PULL_A, PULL_B,
            )  # fmt: skip


@triton.jit
def _sweep(
    code, own, rule, key, fields, charts, tangents, dots, scratch, seed, seed_dot, adjoint, adjoint_dot, slopes,
    DUAL: tl.constexpr, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr, PULL_A: tl.constexpr,
    PULL_B: tl.constexpr, CHAIN: tl.constexpr, PRODUCT: tl.constexpr,
):  # fmt: skip
    """The table backwards, from the answer."""
    there = (code, 0, own, rule, key)
    last = tl.load(code + at.ANSWER)
    for row in range(tl.load(code + last + at.FIRST_ROW), tl.load(code + last + at.END_ROW), at.ROW):
        _back(
            there, row, alive(code, own), fields, charts, tangents, dots, scratch, seed, seed_dot, adjoint,
            adjoint_dot, slopes, DUAL, KIND, A, B, PULL_A, PULL_B, NONE,
        )  # fmt: skip
    every = tl.load(code + at.SIDES) >= 0
    first, end = tl.load(code + at.FIRST_BLOCK), tl.load(code + at.END_BLOCK)
    for q in range(at.BLOCK, end - first + at.BLOCK, at.BLOCK):
        block = end - q
        turns = tl.load(code + block + at.TURNS)
        first_row, end_row = tl.load(code + block + at.FIRST_ROW), tl.load(code + block + at.END_ROW)
        if CHAIN > 0:  # noqa: SIM102, reason: settled when the kernel is compiled, unlike the next
            if tl.load(code + block + at.VECTOR) > 0:
                chain_reverse(code, block, own, rule, fields, charts, adjoint, slopes, KIND, CHAIN)
                turns = turns * 0
        for t in range(1, turns + 1):
            here = (code, turns - t, own, rule, key)
            for r in range(at.ROW, end_row - first_row + at.ROW, at.ROW):
                _back(
                    here, end_row - r, every, fields, charts, tangents, dots, scratch, adjoint, adjoint_dot, adjoint,
                    adjoint_dot, slopes, DUAL, KIND, A, B, PULL_A, PULL_B, PRODUCT,
                )  # fmt: skip


@triton.jit
def reverse(
    code, fields, lengths, rule, key, charts, seed, scratch, adjoint, slopes, LAYOUT: tl.constexpr,
    KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr, PULL_A: tl.constexpr, PULL_B: tl.constexpr,
    CHAIN: tl.constexpr, PRODUCT: tl.constexpr,
):  # fmt: skip
    """`seed` times the gradient of one instance's answer, added to `slopes`; `adjoint` starts as zeros."""
    b = tl.program_id(0).to(tl.int64)
    fields += b * tl.load(code + at.FIELDS)
    slopes += b * tl.load(code + at.FIELDS)
    charts += b * tl.load(code + at.CELLS)
    adjoint += b * tl.load(code + at.ADJOINTS)
    seed += b * tl.load(code + at.OUT)
    scratch += b * tl.load(code + at.ROOM) * at.PLANES
    own = lengths + b * tl.load(code + at.SIDES)
    _sweep(
        code, own, rule, tl.load(key) + (b << 32), fields, charts, fields, charts, scratch, seed, seed, adjoint,
        adjoint, slopes, NO, KIND, A, B, PULL_A, PULL_B, CHAIN, PRODUCT,
    )  # fmt: skip


@triton.jit
def dual(
    code, fields, lengths, rule, key, charts, seed, scratch, adjoint, slopes, tangents, dots, seed_dot, adjoint_dot,
    LAYOUT: tl.constexpr, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr, PULL_A: tl.constexpr,
    PULL_B: tl.constexpr,
):  # fmt: skip
    """`seed` times the Hessian of one instance's answer times `tangents`, added to `slopes`; adjoints start as 0."""
    b = tl.program_id(0).to(tl.int64)
    fields += b * tl.load(code + at.FIELDS)
    slopes += b * tl.load(code + at.FIELDS)
    tangents += b * tl.load(code + at.FIELDS)
    charts += b * tl.load(code + at.CELLS)
    dots += b * tl.load(code + at.CELLS)
    adjoint += b * tl.load(code + at.ADJOINTS)
    adjoint_dot += b * tl.load(code + at.ADJOINTS)
    seed += b * tl.load(code + at.OUT)
    seed_dot += b * tl.load(code + at.OUT)
    scratch += b * tl.load(code + at.ROOM) * at.PLANES
    own = lengths + b * tl.load(code + at.SIDES)
    _sweep(
        code, own, rule, tl.load(key) + (b << 32), fields, charts, tangents, dots, scratch, seed, seed_dot, adjoint,
        adjoint_dot, slopes, YES, KIND, A, B, PULL_A, PULL_B, NONE, NONE,
    )  # fmt: skip
