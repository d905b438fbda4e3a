"""Instances shared out among threads: compiled code holds no lock, so plain Python threads run it side by side."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

SMALL = 1 << 14  # alternatives, over the batch, that one thread does in less time than it takes to wake another


@lru_cache(maxsize=8)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="semiring_struct")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork, so a child starts its own; Windows has none
    os.register_at_fork(after_in_child=_pool.cache_clear)


def threads_for(batch: int, small: bool) -> int:
    """As many as torch may use, and none idle; one where `small`."""
    return 1 if small else max(1, min(torch.get_num_threads(), batch))


def share_out(run: Callable[[int, int], None], batch: int, small: bool) -> None:
    """Call `run(start, end)` on pieces of `0 .. batch - 1`, one for each thread."""
    pieces = threads_for(batch, small)
    if pieces <= 1:
        run(0, batch)
        return
    bounds = [batch * i // pieces for i in range(pieces + 1)]
    others = [_pool(pieces - 1).submit(run, s, e) for s, e in itertools.pairwise(bounds[1:])]
    run(bounds[0], bounds[1])
    for other in others:
        other.result()
