"""What is measured: structures, sizes and queries, each named by a word and a size, such as `chain:32x128x32`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

import semiring_struct as ss

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """One structure: what its sizes are called, the sizes measured unless others are asked for, and its queries.

    `potentials(sizes, generator)` draws float32 log-potentials in this library's layout.
    """

    letters: str
    structure: ss.Structure
    potentials: Callable[[Sizes, Generator], Any]
    sizes: tuple[Sizes, ...]
    queries: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A family at one size; the first size is the batch."""

    family: str
    sizes: Sizes

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.family}:{'x'.join(map(str, self.sizes))}"

    @property
    def structure(self) -> ss.Structure:
        """What the queries are asked of."""
        return FAMILIES[self.family].structure

    def potentials(self, seed: int = 0) -> Any:
        """Standard normal log-potentials, the same for the same seed."""
        return FAMILIES[self.family].potentials(self.sizes, torch.Generator().manual_seed(seed))

    def tiny(self) -> Case:
        """The smallest case that runs the same code."""
        return Case(self.family, tuple(min(size, 3) for size in self.sizes))


def _normal(*shape: int, generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _chain(s: Sizes, g: Generator) -> ss.ChainPotentials:
    batch, n, c = s
    return ss.ChainPotentials(_normal(batch, n, c, generator=g), _normal(batch, n - 1, c, c, generator=g))


def _tagger(s: Sizes, g: Generator) -> ss.ChainPotentials:
    batch, n, c = s
    return ss.ChainPotentials(_normal(batch, n, c, generator=g), _normal(1, c, c, generator=g))


def _segments(s: Sizes, g: Generator) -> ss.SemiMarkovPotentials:
    batch, n, w, c = s
    return ss.SemiMarkovPotentials(_normal(batch, n, w, c, generator=g), _normal(batch, n, c, c, generator=g))


def _spans(s: Sizes, g: Generator) -> Tensor:
    batch, n = s
    return _normal(batch, n, n, generator=g)


def _arcs(s: Sizes, g: Generator) -> Tensor:
    batch, n = s
    return _normal(batch, n + 1, n + 1, generator=g)


def _alignment(s: Sizes, g: Generator) -> ss.AlignmentPotentials:
    batch, n, m = s
    shapes = (n, m), (n, m + 1), (n + 1, m)
    return ss.AlignmentPotentials(*(_normal(batch, *shape, generator=g) for shape in shapes))


EVERY = ("log_partition", "marginals", "argmax", "sample", "topk")

FAMILIES = {
    "chain": Family("batch n c", ss.LinearChain(), _chain, ((32, 128, 32), (16, 1024, 8), (8, 512, 64)), EVERY),
    "tagger": Family(
        "batch n c", ss.LinearChain(), _tagger, ((32, 128, 32), (16, 1024, 8), (8, 512, 64)), ("loss", "labels", *EVERY)
    ),
    "semi-markov": Family("batch n w c", ss.SemiMarkov(), _segments, ((8, 128, 8, 8),), EVERY),
    "spans": Family("batch n", ss.SpanTree(labelled=False), _spans, ((16, 40),), EVERY),
    "projective": Family("batch n", ss.ProjectiveTree(), _arcs, ((16, 40),), EVERY),
    "alignment": Family("batch n m", ss.Alignment(), _alignment, ((8, 100, 100),), EVERY),
}


def parse(text: str) -> list[Case]:
    """`chain` is every usual size of the chain, `chain:16x64x8` one of your own; `all` is everything."""
    if text == "all":
        return [case for family in FAMILIES for case in parse(family)]
    family, _, sizes = text.partition(":")
    if family not in FAMILIES:
        raise ValueError(f"no case is called {family!r}; there are {', '.join(FAMILIES)}")
    if not sizes:
        return [Case(family, usual) for usual in FAMILIES[family].sizes]
    given = tuple(int(size) for size in sizes.split("x"))
    letters = FAMILIES[family].letters
    if len(given) != len(letters.split()) or min(given) < 1:
        raise ValueError(f"{family} takes sizes {letters.replace(' ', ' x ')}, all at least 1; got {sizes!r}")
    return [Case(family, given)]


def queries(case: Case, wanted: Sequence[str]) -> list[str]:
    """Those of the wanted queries that the family measures; all of them where none are named."""
    return [query for query in FAMILIES[case.family].queries if not wanted or query in wanted]
