"""The structures under test at small sizes: how to draw potentials for each, and its enumeration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from tests.enumerations.alignment import alignment_events
from tests.enumerations.linear_chain import chain_events
from tests.enumerations.one_of import one_of_events
from tests.enumerations.projective_tree import projective_tree_events
from tests.enumerations.semi_markov import segmentation_events
from tests.enumerations.span_tree import span_events

NEG_INF = float("-inf")


@dataclass(frozen=True)
class Family:
    """One structure at one size. `events(*lengths)` lists its events, all lengths full if none are given."""

    name: str
    structure: Any
    kind: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    events: Callable[..., Any]

    def __str__(self) -> str:
        return self.name

    def draw(self, batch: tuple[int, ...], seed: int, *, forbidden: float = 0.0, scale: float = 1.0) -> Any:
        """Normal potentials in float64, each part `-inf` with chance `forbidden`."""
        generator = torch.Generator().manual_seed(seed)
        fields = []
        for shape in self.shapes:
            field = scale * torch.randn(*batch, *shape, generator=generator, dtype=torch.float64)
            drop = torch.rand(field.shape, generator=generator) < forbidden
            fields.append(field.masked_fill(drop, NEG_INF))
        return self.kind(*fields)

    def lengths(self, batch: int, seed: int) -> Tensor | tuple[Tensor, ...] | None:
        """Random lengths of every side, 0 and the full length among them; None where the structure has no sides."""
        if not self.sizes:
            return None
        generator = torch.Generator().manual_seed(seed)
        sides = []
        for side, size in enumerate(self.sizes):
            drawn = torch.randint(0, size + 1, (batch,), generator=generator)
            drawn[side % batch], drawn[-1] = 0, size
            sides.append(drawn)
        return sides[0] if len(sides) == 1 else tuple(sides)


def only(field: Tensor) -> Tensor:
    return field


def chain(n: int, c: int, tied: bool = False) -> Family:
    return Family(
        f"chain-{n}-{c}{'-tied' * tied}",
        ss.LinearChain(),
        ss.ChainPotentials,
        ((n, c), (1 if tied else n - 1, c, c)),
        (n,),
        lambda length=n: chain_events(n, c, tied=tied, length=length),
    )


def segments(n: int, w: int, c: int, tied: bool = False) -> Family:
    return Family(
        f"segments-{n}-{w}-{c}{'-tied' * tied}",
        ss.SemiMarkov(),
        ss.SemiMarkovPotentials,
        ((n, w, c), (1 if tied else n, c, c)),
        (n,),
        lambda length=n: segmentation_events(n, w, c, tied=tied, length=length),
    )


def spans(n: int, c: int | None = None) -> Family:
    return Family(
        f"spans-{n}-{c or 'plain'}",
        ss.SpanTree() if c is None else ss.SpanTree(labelled=True),
        only,
        ((n, n) if c is None else (n, n, c),),
        (n,),
        lambda length=n: span_events(n, c, length=length),
    )


def heads(m: int, single_root: bool = False) -> Family:
    return Family(
        f"heads-{m - 1}-{'single' if single_root else 'multi'}",
        ss.ProjectiveTree(single_root=single_root),
        only,
        ((m, m),),
        (m - 1,),
        lambda length=m - 1: projective_tree_events(m, single_root=single_root, length=length),
    )


def alignment(n: int, m: int, *shapes: tuple[int, int]) -> Family:
    shapes = shapes or ((n, m), (n, m + 1), (n + 1, m))
    tied = shapes != ((n, m), (n, m + 1), (n + 1, m))
    return Family(
        f"alignment-{n}-{m}{'-tied' * tied}",
        ss.Alignment(),
        ss.AlignmentPotentials,
        shapes,
        (n, m),
        lambda a=n, b=m: alignment_events(n, m, lengths=(a, b), shapes=shapes),  # type: ignore[arg-type]
    )


def one_of(k: int) -> Family:
    return Family(f"one-of-{k}", ss.OneOf(), only, ((k,),), (), lambda: one_of_events(k))


FAMILIES = (
    one_of(4),
    one_of(1),
    chain(3, 2),
    chain(1, 3),
    chain(3, 2, tied=True),
    segments(3, 2, 2),
    segments(1, 1, 2),
    segments(2, 4, 1),
    segments(3, 3, 2, tied=True),
    spans(4),
    spans(1),
    spans(3, 2),
    heads(4),
    heads(4, single_root=True),
    heads(2),
    alignment(2, 2),
    alignment(1, 1),
    alignment(2, 3, (2, 3), (1, 1), (1, 3)),
)
SIDED = tuple(family for family in FAMILIES if family.sizes)
