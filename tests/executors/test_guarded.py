"""No compiled code reads or writes outside of its buffers, and the guard that says so notices when some does."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from semiring_struct.ops import memory
from tests.executors.extremes import Case, cases, searched
from tests.executors.guarded import Guard, Overrun, agreed, bits_of
from tests.structures.families import Family, subset

numba = pytest.importorskip("numba")
native = pytest.importorskip("semiring_struct.executors.cpu.native")
states = pytest.importorskip("semiring_struct.executors.cpu.state")
columns = pytest.importorskip("semiring_struct.executors.cpu.columns")

KINDS = {torch.float32: np.float32, torch.float64: np.float64, torch.int32: np.int32, torch.int64: np.int64}
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


@numba.njit
def written(address, at, value):
    """Write to an entry of what lies at an address."""
    native.pointer(address, value)[at] = value


@numba.njit
def read(address, at, like):
    """Read it."""
    return native.pointer(address, like)[at]


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "cpu")


@every_kind
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("shape", [(5,), (1,), (2, 3)], ids=str)
def test_a_write_one_number_outside_is_noticed(shape: tuple[int, ...], kind: torch.dtype, zero: bool):
    size = int(np.prod(shape))
    for at in range(-2, size + 2):
        with Guard() as guard:
            x = memory.zeros(shape, kind, torch.device("cpu")) if zero else memory.empty(shape, kind)
            written(x.data_ptr(), at, KINDS[kind](7))
            if 0 <= at < size:
                guard.verify()
                assert x.flatten()[at] == 7
            else:
                with pytest.raises(Overrun, match=r"ops/memory.py:\d+"):
                    guard.verify()


@every_kind
def test_a_read_outside_or_of_what_was_never_written_is_noticed(kind: torch.dtype):
    def call(at: int, fill: bool) -> Any:
        x = memory.empty((5,), kind)
        return read((x.fill_(2) if fill else x).data_ptr(), at, KINDS[kind](0))

    assert agreed(lambda: call(4, True)) == 2
    for at, fill in ((5, True), (-1, True), (3, False)):
        with pytest.raises(Overrun, match="depends on"):
            agreed(lambda at=at, fill=fill: call(at, fill))


def test_what_is_only_read_must_stay_as_it_is():
    x = torch.arange(12.0).reshape(3, 4)[:, :3]
    for at, what in ((None, None), (2, "though it is an input"), (3, "though it is an input"), (11, "after")):
        with Guard() as guard:
            made = states.State(np.zeros(columns.HEAD, dtype=np.int64), torch.float32, 0)
            made.batched(columns.CHARTS_ALL, x)
            address = int(made.words[columns.CHARTS_ALL])
            assert address != x.data_ptr() and made.words[columns.CHARTS_ALL + 1] == 16
            assert [read(address, i, np.float32(0)) for i in (0, 1, 2, 4, 8, 10)] == [0, 1, 2, 4, 8, 10]
            if at is None:
                guard.verify()
            else:
                written(address, at, np.float32(7))
                with pytest.raises(Overrun, match=what):
                    guard.verify()
    assert torch.equal(x, torch.arange(12.0).reshape(3, 4)[:, :3])


@pytest.mark.parametrize("at", [0, -1])
def test_nothing_may_be_written_where_there_are_no_numbers(at: int):
    with Guard() as guard:
        made = states.State(np.zeros(columns.HEAD, dtype=np.int64), torch.float32, 0)
        made.batched(columns.VALUE_ALL, memory.empty((0, 3), torch.float64))
        written(int(made.words[columns.VALUE_ALL]), at, 7.0)
        with pytest.raises(Overrun, match="0 bytes"):
            guard.verify()


def test_all_is_as_before_once_the_guard_is_left():
    before = torch.empty, np.empty, torch.Tensor.data_ptr, states.address, memory.KEPT
    with Guard():
        assert torch.empty is not before[0]
    assert (torch.empty, np.empty, torch.Tensor.data_ptr, states.address, memory.KEPT) == before
    with pytest.raises(ZeroDivisionError), Guard():
        raise ZeroDivisionError
    assert torch.empty is before[0]


def test_random_calls():
    for case in islice(cases(0), 20):
        assert not [*searched(case)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(1, 41))
def test_many_random_calls(seed: int):
    for case in islice(cases(seed), 50):
        assert not [*searched(case)]


@pytest.mark.parametrize("family", [subset(n, 0, most) for n in (1, 5, 20) for most in (False, True)], ids=str)
def test_subsets_of_nothing(family: Family, monkeypatch: pytest.MonkeyPatch):
    """Their one derivation is copied from item to item."""
    for batch, k, samples in ((1, 1, 1), (3, 3, 70), (9, 64, 0)):
        case = Case(family, family.draw((batch,), seed=1), None, k, samples, str(family))
        assert not [*searched(case)]
        for name, call in case.queries():
            monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "eager")
            expected = call()
            monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "cpu")
            if name != "distinct":
                assert [*bits_of(call())] == [*bits_of(expected)], name
