"""Examples as padded tensors, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PAD, UNKNOWN = 0, 1


class Vocabulary:
    """Numbers for symbols; 0 is padding, 1 whatever the training files never showed."""

    def __init__(self, sequences: Sequence[Sequence[str]]):
        known = sorted({symbol for sequence in sequences for symbol in sequence})
        self.index = {symbol: i for i, symbol in enumerate(known, start=UNKNOWN + 1)}

    def __len__(self) -> int:
        return len(self.index) + UNKNOWN + 1

    def encode(self, sequence: Sequence[str]) -> list[int]:
        return [self.index.get(symbol, UNKNOWN) for symbol in sequence]


@dataclass(frozen=True)
class Batch:
    """`symbols` and `targets` are `(batch, n)`, zero past each instance's own length; `lengths` is `(batch,)`."""

    symbols: Tensor
    targets: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """`(batch, n)`, True on real positions."""
        return torch.arange(self.symbols.shape[1]) < self.lengths[:, None]


@dataclass(frozen=True)
class Dataset:
    """Encoded examples: a symbol and an integer target at each position."""

    symbols: list[list[int]]
    targets: list[list[int]]

    def __len__(self) -> int:
        return len(self.symbols)

    def batch(self, chosen: Sequence[int]) -> Batch:
        """The chosen examples, padded to the longest of them."""
        lengths = torch.tensor([len(self.symbols[i]) for i in chosen])
        symbols = torch.full((len(chosen), int(lengths.max())), PAD)
        targets = torch.zeros_like(symbols)
        for row, i in enumerate(chosen):
            symbols[row, : lengths[row]] = torch.tensor(self.symbols[i])
            targets[row, : lengths[row]] = torch.tensor(self.targets[i])
        return Batch(symbols, targets, lengths)

    def in_order(self, size: int) -> Iterator[Batch]:
        """Every example once, shortest first."""
        order = sorted(range(len(self)), key=lambda i: len(self.symbols[i]))
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size])

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Batches without end. Sixteen are drawn at once and dealt by length: little of a batch is padding."""
        while True:
            pool = torch.randperm(len(self), generator=generator)[: 16 * size].tolist()
            pool.sort(key=lambda i: len(self.symbols[i]))
            starts = range(0, len(pool), size)
            for deal in torch.randperm(len(starts), generator=generator).tolist():
                yield self.batch(pool[starts[deal] : starts[deal] + size])
