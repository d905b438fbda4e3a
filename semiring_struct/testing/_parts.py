"""One flat view of potentials, events and marginals of any number of fields: `(*lead, instances, parts)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

Fields = Tensor | tuple[Tensor, ...]


def fields_of(value: Fields) -> tuple[Tensor, ...]:
    """A tensor or tuple as a tuple."""
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class Parts:
    """Shapes of one structure's fields, and how to put fields together again."""

    shapes: tuple[torch.Size, ...]
    batch: torch.Size
    rebuild: Callable[[Sequence[Tensor]], Fields]

    @staticmethod
    def of(structure: Any, log_potentials: Fields) -> Parts:
        """Read the shapes off `structure.event_dim` and the potentials; all fields have the same batch dims."""
        fields = fields_of(log_potentials)
        dims = structure.event_dim
        dims = (dims,) * len(fields) if isinstance(dims, int) else tuple(dims)
        if len(dims) != len(fields):
            raise ValueError(f"{type(structure).__name__} has {len(dims)} fields; got {len(fields)} tensors.")
        batches = {field.shape[: field.ndim - dim] for field, dim in zip(fields, dims, strict=True)}
        if len(batches) != 1:
            raise ValueError(f"all fields need the same batch dims; got {sorted(map(tuple, batches))}.")
        shapes = tuple(field.shape[field.ndim - dim :] for field, dim in zip(fields, dims, strict=True))
        kind = type(log_potentials)
        if not isinstance(log_potentials, tuple):
            return Parts(shapes, batches.pop(), lambda tensors: tensors[0])
        named = hasattr(kind, "_fields")
        return Parts(shapes, batches.pop(), lambda tensors: kind(*tensors) if named else kind(tensors))

    @property
    def instances(self) -> int:
        return prod(self.batch)

    def flat(self, value: Fields) -> Tensor:
        """`(*lead, *batch, *field)` tensors as one `(*lead, instances, parts)` tensor."""
        fields = fields_of(value)
        if len(fields) != len(self.shapes):
            raise AssertionError(f"{len(fields)} fields came back where {len(self.shapes)} went in")
        rows = []
        for field, shape in zip(fields, self.shapes, strict=True):
            lead = field.shape[: field.ndim - len(shape) - len(self.batch)]
            if field.shape != (*lead, *self.batch, *shape):
                raise AssertionError(f"a field of shape {tuple(field.shape)} does not end in {(*self.batch, *shape)}")
            rows.append(field.reshape(*lead, self.instances, prod(shape)))
        return torch.cat(rows, -1)

    def fields(self, flat: Tensor, batch: Sequence[int] | None = None) -> Fields:
        """`(*lead, instances, parts)` -> fields of shape `(*lead, *batch, *field)`."""
        batch = self.batch if batch is None else batch
        pieces = flat.split([prod(shape) for shape in self.shapes], -1)
        return self.rebuild(
            [
                piece.reshape((*flat.shape[:-2], *batch, *shape))
                for piece, shape in zip(pieces, self.shapes, strict=True)
            ]
        )

    def stacked(self, columns: Sequence[Tensor]) -> Fields:
        """Fields with one trailing dim more, from one `(instances, parts)` tensor per place of it."""
        values = [fields_of(self.fields(column)) for column in columns]
        return self.rebuild([torch.stack(same, -1) for same in zip(*values, strict=True)])

    def with_batch(self, batch: Sequence[int]) -> Parts:
        return Parts(self.shapes, torch.Size(batch), self.rebuild)
