"""Threads of the CPU machine never work in each other's memory, however their turns fall."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

pytest.importorskip("numba")

import semiring_struct as ss
from semiring_struct.executors.cpu import threads
from semiring_struct.executors.cpu.state import State
from tests.structures.families import spans


def test_buffers_of_two_threads_are_apart(monkeypatch: pytest.MonkeyPatch):
    """Both threads have their buffers before either goes on, so that neither can hand its own to the other."""
    family, both, held = spans(9, 5), threading.Barrier(2, timeout=60), dict[int, list[tuple[int, int]]]()
    phi = family.draw((2,), seed=3)
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "cpu")
    plain = ss.marginals(family.structure, phi)
    passing = State.passing

    def noting(state: State, slot: int, x: torch.Tensor, first: int) -> None:
        passing(state, slot, x, first)
        mine = held.setdefault(threading.get_ident(), [])
        mine.append((x.data_ptr(), x.data_ptr() + x.nbytes))
        if len(mine) == 1:
            both.wait()

    def in_two(run: Any, batch: int, small: bool) -> None:
        pair = [threading.Thread(target=run, args=ends) for ends in ((0, batch // 2), (batch // 2, batch))]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()

    monkeypatch.setattr(State, "passing", noting)
    monkeypatch.setattr(threads, "share_out", in_two)
    shared = ss.marginals(family.structure, phi)
    one, other = held.values()
    assert one and other
    assert all(end <= start or till <= begin for begin, end in one for start, till in other)
    assert torch.equal(plain, shared)
