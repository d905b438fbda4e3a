"""Paths of a linear chain: every assignment of a tag to every position."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def chain_events(n: int, c: int, *, tied: bool = False, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Every tagging of the first `length` of `n` positions with `c` tags.

    Returns emission events `(c ** length, n, c)` and transition events `(c ** length, n - 1, c, c)`, or
    `(c ** length, 1, c, c)` counts where `tied`.
    """
    length = n if length is None else length
    paths = list(itertools.product(range(c), repeat=length))
    emission = torch.zeros(len(paths), n, c, dtype=torch.float64)
    transition = torch.zeros(len(paths), 1 if tied else n - 1, c, c, dtype=torch.float64)
    for row, tags in enumerate(paths):
        for i, tag in enumerate(tags):
            emission[row, i, tag] = 1
        for i, (before, after) in enumerate(itertools.pairwise(tags)):
            transition[row, 0 if tied else i, before, after] += 1
    return emission, transition
