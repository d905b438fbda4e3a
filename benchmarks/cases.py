"""What is measured: structures, sizes and queries, each named by a word and a size, such as `chain:32x128x32`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

import semiring_struct as ss
from benchmarks.nussinov import Nussinov

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """One structure: what its sizes are called, the sizes measured unless others are asked for, and its queries.

    `structure(sizes)` makes it, `potentials(sizes, generator)` draws float32 log-potentials in this library's layout.
    """

    letters: str
    structure: Callable[[Sizes], ss.Structure]
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
        return FAMILIES[self.family].structure(self.sizes)

    def potentials(self, seed: int = 0) -> Any:
        """Standard normal log-potentials, the same for the same seed."""
        return FAMILIES[self.family].potentials(self.sizes, torch.Generator().manual_seed(seed))

    def tiny(self) -> Case:
        """The smallest case that runs the same code."""
        return Case(self.family, tuple(min(size, 3) for size in self.sizes))

    def grown(self, letter: str, factor: int) -> Case:
        """The case with one size, `letter` of the family's, multiplied."""
        at = FAMILIES[self.family].letters.split().index(letter)
        return Case(self.family, tuple(s * factor if i == at else s for i, s in enumerate(self.sizes)))


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


def _normal_field(*keep: int) -> Callable[[Sizes, Generator], Tensor]:
    """One tensor, shaped by the sizes at these places."""
    return lambda s, g: _normal(*(s[i] for i in keep), generator=g)


def _grammar(s: Sizes, g: Generator) -> Any:
    """Roots and rules as log-probabilities, which SynJax makes of any; words as drawn."""
    batch, n, nt, t = s
    root, rule = _normal(batch, nt, generator=g), _normal(batch, nt, (nt + t) ** 2, generator=g)
    rule = rule.log_softmax(-1).reshape(batch, nt, nt + t, nt + t)
    return ss.PCFGPotentials(root.log_softmax(-1), rule, _normal(batch, n, t, generator=g))


def targets(s: Sizes) -> Tensor:
    """`(batch, l)` symbols but the blank, 0; the same for the same sizes."""
    batch, t, size, v = s
    return torch.randint(1, v, (batch, min(size, t // 2)), generator=torch.Generator().manual_seed(2))


def _frames(s: Sizes, g: Generator) -> Tensor:
    batch, t, _, v = s
    return _normal(batch, t, v, generator=g).log_softmax(-1)


EVERY = ("log_partition", "marginals", "argmax", "sample", "topk")
DRAWN = (*EVERY, "labels", "samples")
SUMS = ("log_partition", "marginals", "argmax")

CHAINS = ((32, 128, 32), (16, 1024, 8), (8, 512, 64))
FAMILIES = {
    "chain": Family("batch n c", lambda s: ss.LinearChain(), _chain, CHAINS, DRAWN),
    "tagger": Family("batch n c", lambda s: ss.LinearChain(), _tagger, CHAINS, ("loss", *DRAWN)),
    "semi-markov": Family("batch n w c", lambda s: ss.SemiMarkov(), _segments, ((8, 128, 8, 8),), DRAWN),
    "spans": Family("batch n", lambda s: ss.SpanTree(labelled=False), _spans, ((16, 40),), EVERY),
    "projective": Family("batch n", lambda s: ss.ProjectiveTree(), _arcs, ((16, 40),), DRAWN),
    "pcfg": Family("batch n nt t", lambda s: ss.PCFG(), _grammar, ((8, 25, 20, 20),), SUMS),
    "alignment": Family(
        "batch n m", lambda s: ss.Alignment(), _alignment, ((8, 100, 100), (8, 512, 512)), DRAWN
    ),
    "dtw": Family("batch n m", lambda s: ss.DTW(), _normal_field(0, 1, 2), ((8, 100, 100), (8, 512, 512)), EVERY),
    "ctc": Family(
        "batch t l v", lambda s: ss.CTC(targets(s)), _frames, ((16, 200, 40, 64),), ("loss", *SUMS)
    ),
    "subset": Family("batch n k", lambda s: ss.Subset(s[2]), _normal_field(0, 1), ((32, 256, 15),), EVERY),
    "arborescence": Family("batch n", lambda s: ss.Arborescence(), _arcs, ((32, 40),), DRAWN),
    "nussinov": Family("batch n", lambda s: Nussinov(), _spans, ((16, 60),), EVERY),
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
