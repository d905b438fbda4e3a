"""Scratch: nobody's content, never handed out twice, and no more of it kept than is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semiring_struct.ops import Layout, borrow, give_back, memory, release


@pytest.fixture(autouse=True)
def none_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_spare", [])


def of(*sizes: int) -> memory.Scratch:
    return borrow(Layout(sizes))


def test_scratch_is_as_large_as_asked_and_not_shared():
    one, other = of(100), of(100)
    assert min(one.piece.nbytes, other.piece.nbytes) >= 100 and not np.shares_memory(one.piece, other.piece)
    assert of(0).piece.nbytes == of().piece.nbytes == 0


def test_buffers_do_not_overlap():
    sizes = (100, 0, 64, 1, 8)
    scratch = of(*sizes)
    first, end = scratch.piece.ctypes.data, scratch.piece.ctypes.data + scratch.piece.nbytes
    starts = [int(a) for a in scratch.addresses]
    assert starts[0] == first and all((s - first) % memory.LINE == 0 for s in starts)
    assert all(s + n <= t for s, n, t in zip(starts, sizes, (*starts[1:], end), strict=True))


def test_scratch_is_used_again():
    scratch = of(4096)
    give_back(scratch)
    again = of(1000)
    assert again.piece is scratch.piece
    give_back(again)
    release()
    assert of(4096).piece is not scratch.piece
    give_back(scratch)
    assert of(8192).piece.nbytes == 8192 and not memory._spare


def test_scratch_is_poisoned_where_torch_fills_memory():
    scratch = of(64)
    scratch.piece.fill(1.0)
    give_back(scratch)
    assert torch.are_deterministic_algorithms_enabled() and bool(np.isnan(of(64).piece).all())


def test_no_more_is_kept_than_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    pieces = [of(64) for _ in range(3)]
    for piece in pieces:
        give_back(piece)
    assert len(memory._spare) == 2
    monkeypatch.setattr(memory, "KEPT", 100)
    memory._spare.clear()
    give_back(of(128))
    assert not memory._spare
