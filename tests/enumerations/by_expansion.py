"""Any program's derivations, by running its `inside` on NumPy arrays of sums of products, multiplied out.

Nothing of the recorder or of a machine takes part: indexing, broadcasting and summing are NumPy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Rows:
    """A sum of products: one row of counts per product, `(products, parts)`."""

    def __init__(self, counts: np.ndarray):
        self.counts = counts

    def __add__(self, other: object) -> Any:
        if isinstance(other, int):  # the sum of no cells at all
            return self
        return Rows(np.concatenate([self.counts, other.counts])) if isinstance(other, Rows) else NotImplemented

    __radd__ = __add__

    def __mul__(self, other: object) -> Any:
        if isinstance(other, int):
            return Rows(self.counts[:0])
        if not isinstance(other, Rows):
            return NotImplemented
        pairs = self.counts[:, None] + other.counts
        return Rows(pairs.reshape(len(self.counts) * len(other.counts), -1) if pairs.size else self.counts[:0])

    __rmul__ = __mul__

    def sum(self, dim: object = None) -> Rows:
        """NumPy gives the cell itself where it has no dims left."""
        return self


class Expansion:
    """Stands in for the recorder `p`, at one length."""

    def __init__(self, parts: int, *lengths: int):
        self.parts, self.lengths = parts, lengths

    @property
    def length(self) -> int:
        return self.lengths[0]

    @property
    def one(self) -> Rows:
        return Rows(np.zeros((1, self.parts), dtype=np.int64))

    @property
    def zero(self) -> Rows:
        return Rows(np.zeros((0, self.parts), dtype=np.int64))

    def chart(self, *sizes: int) -> np.ndarray:
        cells = np.empty(sizes, dtype=object)
        cells[...] = self.zero
        return cells


def expanded(structure: Any, shapes: tuple[tuple[int, ...], ...], *lengths: int) -> tuple[Tensor, ...]:
    """All derivations of `structure.inside` as events, one tensor `(derivations, *shape)` per field."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    p, fields, start = Expansion(sum(sizes), *lengths), [], 0
    for shape, size in zip(shapes, sizes, strict=True):
        field = np.empty(size, dtype=object)
        for i in range(size):
            unit = np.zeros((1, sum(sizes)), dtype=np.int64)
            unit[0, start + i] = 1
            field[i] = Rows(unit)
        fields.append(field.reshape(shape))
        start += size
    total = structure.inside(p, *fields)
    total = total.item() if isinstance(total, np.ndarray) else total
    rows = torch.from_numpy(total.counts).double()
    pieces = rows.split(sizes, 1)
    return tuple(piece.reshape(len(rows), *shape) for piece, shape in zip(pieces, shapes, strict=True))
