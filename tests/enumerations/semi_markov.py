"""Labelled segmentations: every way to cut positions into labelled segments of bounded width."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor


def compositions(total: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Every ordered way to write `total` as a sum of parts from 1 to `largest`."""
    for parts in range(total + 1):
        for widths in itertools.product(range(1, largest + 1), repeat=parts):
            if sum(widths) == total:
                yield widths


def segmentation_events(
    n: int, w: int, c: int, *, tied: bool = False, length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Every labelled segmentation of the first `length` of `n` positions, widths at most `w`, labels `c`.

    Returns segment events `(s, n, w, c)` (`[i, k, l]`: label l on i..i+k) and transition events `(s, n or 1, c, c)`
    (`[i, a, b]`: a segment labelled b starts at i right after one labelled a; index 0 is never used).
    """
    length = n if length is None else length
    found = [
        (widths, labels)
        for widths in compositions(length, w)
        for labels in itertools.product(range(c), repeat=len(widths))
    ]
    segment = torch.zeros(len(found), n, w, c, dtype=torch.float64)
    transition = torch.zeros(len(found), 1 if tied else n, c, c, dtype=torch.float64)
    for row, (widths, labels) in enumerate(found):
        starts = [sum(widths[:i]) for i in range(len(widths))]
        for start, width, label in zip(starts, widths, labels, strict=True):
            segment[row, start, width - 1, label] = 1
        for i in range(1, len(widths)):
            transition[row, 0 if tied else starts[i], labels[i - 1], labels[i]] += 1
    return segment, transition
