"""Scratch: nobody's content, never handed out twice, and no more of it kept than is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semiring_struct.ops import borrow, give_back, memory, release


@pytest.fixture(autouse=True)
def none_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_spare", [])


def test_scratch_is_as_large_as_asked_and_not_shared():
    one, other = borrow(100), borrow(100)
    assert min(one.nbytes, other.nbytes) >= 100 and not np.shares_memory(one, other)
    assert borrow(0).nbytes == 0


def test_scratch_is_used_again():
    piece = borrow(4096)
    give_back(piece)
    again = borrow(1000)
    assert again is piece
    give_back(again)
    release()
    assert borrow(4096) is not piece
    give_back(piece)
    assert borrow(8192).nbytes == 8192 and not memory._spare


def test_scratch_is_poisoned_where_torch_fills_memory():
    piece = borrow(64)
    piece.fill(1.0)
    give_back(piece)
    assert torch.are_deterministic_algorithms_enabled() and bool(np.isnan(borrow(64)).all())


def test_no_more_is_kept_than_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    pieces = [borrow(64) for _ in range(3)]
    for piece in pieces:
        give_back(piece)
    assert len(memory._spare) == 2
    monkeypatch.setattr(memory, "KEPT", 100)
    memory._spare.clear()
    give_back(borrow(128))
    assert not memory._spare
