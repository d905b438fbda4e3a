"""What a thread works on: a group of instances side by side, its fields gathered into lanes, its slopes given back.

Entry `e` of lane `l` stands at `e * LANES + l`. The last group may be short; its lanes then repeat the last instance.
Charts are kept instance by instance where they are asked for: what batch an instance was part of is not known later.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from torch import Tensor

from semiring_struct.executors.cpu import columns as col
from semiring_struct.executors.cpu import reuse
from semiring_struct.executors.cpu.columns import LANES
from semiring_struct.executors.cpu.encode import encode
from semiring_struct.executors.cpu.lanes.vectors import turn_away, turn_in
from semiring_struct.executors.cpu.native import ahead, cast, exact, pointer
from semiring_struct.executors.cpu.sheets import fill
from semiring_struct.executors.cpu.state import address, head_of
from semiring_struct.ops import Layout, borrow, give_back
from semiring_struct.programs import Program

# the words of a state: buffers of a thread; the group that is present, whose products are open, where it stands;
# whether slopes are asked for; tensors of the whole batch
(
    FIELDS, SLOPES, ADJOINT, X, WEIGHTS, VALUES, FLOW, SHARE, CHARTS, PICKS, CHANCES,
    LEFT_LOG, LEFT_EXP, LEFT_BAR, LEFT_DONE, RIGHT_LOG, RIGHT_EXP, RIGHT_BAR, RIGHT_DONE, TOPS, SHIFT, FILLED,
    PRESENT, OPENED, FIRST, COUNT, BACK,
    BATCH, BANKS, BANK, SHARED, KEPT, LENGTHS, SIDES, VALUE, SEED, OUT, REFUSED, WORDS,
) = range(39)  # fmt: skip
# of each field: address, bytes from one instance to the next, entries, where they start, address of its slopes, and
# the buffer that holds them until they are given away: SLOPES, or FIELDS where they take the place of the entries
ADDRESS, BYTES, SIZE, START, SLOPE, HELD, ENTRY = range(7)

_WORD, _WIDE = np.int64(0), np.float64(0)


@lru_cache(maxsize=256)
def _buffers(
    head: tuple[int, ...], entries: int, size: int, back: bool, noted: bool, both: bool
) -> tuple[list[int], Layout]:
    """A thread's buffers by a code's head, `size` being the bytes of a narrow number: their slots and their bytes."""
    cells, tile, most, widest = (head[i] for i in (col.CELLS, col.LARGEST, col.MOST, col.WIDEST))
    narrow = {FIELDS: entries, SLOPES: entries * back, ADJOINT: cells * back, WEIGHTS: tile}
    narrow |= {FLOW: widest, SHARE: widest * back}
    narrow |= dict.fromkeys((LEFT_LOG, LEFT_EXP), head[col.LEFT])
    narrow |= dict.fromkeys((LEFT_BAR, LEFT_DONE), head[col.LEFT] * back)
    narrow |= dict.fromkeys((RIGHT_LOG, RIGHT_EXP), head[col.RIGHT])
    narrow |= dict.fromkeys((RIGHT_BAR, RIGHT_DONE), head[col.RIGHT] * back)
    if both and head[col.CHOICES] * LANES * size <= col.KEPT_BYTES:
        narrow[CHANCES] = head[col.CHOICES]
    wide = {X: max(tile, most), VALUES: widest, TOPS: widest, SHIFT: head[col.SHIFTS], CHARTS: cells}
    small = {PICKS: cells} if noted else {}
    each = [b * LANES * n for buffers, b in ((narrow, size), (wide, 8), (small, 4)) for n in buffers.values()]
    return [*narrow, *wide, *small, FILLED], Layout((*each, 8 * head[col.SLOTS]))


class State:
    """One thread's words, and the buffers whose addresses they are, which are borrowed until it is left."""

    def __init__(
        self, program: Program, fields: list[Tensor], lengths: Tensor, charts: Tensor | None,
        value: Tensor | None, seed: Tensor | None, slopes: list[Tensor], noted: bool = False,
    ):  # fmt: skip
        self.code = code = encode(program, LANES)
        batch, sizes, size = len(fields[0]), [f.shape[1] for f in fields], fields[0].element_size()
        answers = seed if value is None else value
        out = 0 if answers is None else answers.shape[1]
        starts = [*itertools.accumulate(sizes, initial=0)]
        given = [s.data_ptr() for s in slopes] or [0] * len(fields)
        where = [(f.data_ptr(), f.stride(0) * size) for f in fields]
        held_in = [FIELDS if over else SLOPES for over in reuse.over_entries(program)]
        rest = zip(where, sizes, starts, given, held_in, strict=False)
        bank = np.array([(*w, n, start, s, own) for w, n, start, s, own in rest])
        slots, layout = _buffers(
            head_of(code), starts[-1], size, len(slopes) > 0, noted, value is not None and len(slopes) > 0
        )
        self._scratch = borrow(layout)
        self.words = np.zeros(WORDS, dtype=np.int64)
        self.words[slots] = self._scratch.addresses
        held = {BANK: bank, KEPT: charts, LENGTHS: lengths, VALUE: value, SEED: seed}
        for slot, buffer in held.items():
            self.words[slot] = 0 if buffer is None else address(buffer)
        for slot, word in (
            (BATCH, batch), (BANKS, len(fields)), (SIDES, lengths.shape[1]), (OUT, out),
            (PRESENT, -1), (OPENED, -1), (BACK, len(slopes) > 0),
        ):  # fmt: skip
            self.words[slot] = word
        self._keep = held, fields, slopes

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        give_back(self._scratch)


@exact
def words(state, slot):
    """A buffer of integers."""
    return pointer(state[slot], _WORD)


@exact
def charts_of(state):
    """The charts of the present group."""
    return pointer(state[CHARTS], _WIDE)


@exact
def chances_of(state, at, like):
    """The chances of alternatives of the present group from number `at` on, as far as the passes share them."""
    return ahead(pointer(state[CHANCES], like), at * LANES)


@exact
def picks_of(state):
    """Which alternatives of the present group's cells are the largest, int32."""
    return pointer(state[PICKS], np.int32(0))


@exact
def open_group(state, group, like):
    """Make a group the present one and gather its fields, if they are not there from another pass.

    Notes whether a field holds NaN or +inf.
    """
    first = group * LANES
    count = min(LANES, state[BATCH] - first)
    state[FIRST], state[COUNT] = first, count
    if state[PRESENT] == group:
        return
    state[PRESENT], fields = group, pointer(state[FIELDS], like)
    for i in range(state[BANKS]):
        f = ahead(words(state, BANK), i * ENTRY)
        out, size = ahead(fields, f[START] * LANES), f[SIZE]
        if f[BYTES] == 0:
            if not state[SHARED] or f[HELD] == FIELDS:
                state[REFUSED] |= turn_in(out, pointer(f[ADDRESS], like), 0, size, 1)
        else:
            x = pointer(f[ADDRESS] + f[BYTES] * first, like)
            state[REFUSED] |= turn_in(out, x, f[BYTES] // _bytes(like), size, count)
    state[SHARED] = 1


@exact
def _kept(code, state):
    return pointer(state[KEPT] + state[FIRST] * code[col.CELLS] * 8, _WIDE)


@exact
def keep_charts(code, state):
    """Put the charts of the present group where they are kept, if they are."""
    if state[KEPT] != 0:
        turn_away(_kept(code, state), charts_of(state), code[col.CELLS], state[COUNT])


@exact
def find_charts(code, state):
    """Take the charts of the present group from where they are kept, if they are."""
    if state[KEPT] != 0:
        turn_in(charts_of(state), _kept(code, state), code[col.CELLS], code[col.CELLS], state[COUNT])


@exact
def slopes_of(state, field, like):
    """The buffer in which slopes of a field stand, at the places that its entries have."""
    return pointer(state[words(state, BANK)[field * ENTRY + HELD]], like)


@exact
def clear_slopes(state, like):
    """No slopes so far, where they are added up."""
    for i in range(state[BANKS]):
        f = ahead(words(state, BANK), i * ENTRY)
        if f[HELD] != FIELDS:
            fill(ahead(slopes_of(state, i, like), f[START] * LANES), 1, 1, f[SIZE] * LANES, cast(0, like))


@exact
def give_slopes(state, like):
    """Write the slopes of the present group to those of its instances."""
    for i in range(state[BANKS]):
        f = ahead(words(state, BANK), i * ENTRY)
        x, size = ahead(slopes_of(state, i, like), f[START] * LANES), f[SIZE]
        turn_away(pointer(f[SLOPE] + state[FIRST] * size * _bytes(like), like), x, size, state[COUNT])
    state[PRESENT] = -1


@exact
def _bytes(like):
    return 4 if cast(1e-60, like) == 0 else 8
