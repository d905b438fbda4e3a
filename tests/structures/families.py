"""The structures under test at small sizes: how to draw potentials for each, and its enumeration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from tests.enumerations.affine_alignment import affine_events
from tests.enumerations.alignment import alignment_events
from tests.enumerations.arborescence import arborescence_events
from tests.enumerations.factor_graph import factor_graph_events
from tests.enumerations.frames import ctc_events, monotonic_events, warping_events
from tests.enumerations.linear_chain import chain_events
from tests.enumerations.matching import matching_events
from tests.enumerations.one_of import one_of_events
from tests.enumerations.pcfg import low_rank_events, pcfg_events
from tests.enumerations.projective_tree import projective_tree_events
from tests.enumerations.semi_markov import segmentation_events
from tests.enumerations.sets import bit_events, correlated_subset_events, subset_events
from tests.enumerations.span_tree import span_events
from tests.enumerations.spanning_tree import spanning_tree_events

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

    def lengths(self, batch: int, seed: int, *, feasible: bool = False) -> Tensor | tuple[Tensor, ...] | None:
        """Random lengths of every side, 0 and the full length among them; None where the structure has no sides.

        With `feasible`, lengths at which there are no structures are left out in favour of the full ones.
        """
        if not self.sizes:
            return None
        generator = torch.Generator().manual_seed(seed)
        sides = []
        for side, size in enumerate(self.sizes):
            drawn = torch.randint(0, size + 1, (batch,), generator=generator)
            drawn[side % batch], drawn[-1] = 0, size
            sides.append(drawn)
        if feasible:
            for b in range(batch):
                if not len(fields_of(self.events(*(int(side[b]) for side in sides)))[0]):
                    for side, size in zip(sides, self.sizes, strict=True):
                        side[b] = size
        return sides[0] if len(sides) == 1 else tuple(sides)


def fields_of(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


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


def bits(d: int) -> Family:
    return Family(f"bits-{d}", ss.BitVector(), only, ((d,),), (d,), lambda length=d: bit_events(d, length=length))


def subset(n: int, k: int, at_most: bool = False) -> Family:
    sizes = range(k + 1) if at_most else (k,)
    return Family(
        f"subset-{n}-{'most-' * at_most}{k}",
        ss.Subset(at_most=k) if at_most else ss.Subset(k),
        only,
        ((n,),),
        (n,),
        lambda length=n: subset_events(n, sizes, length=length),
    )


def neighbours(n: int, k: int, tied: bool = False) -> Family:
    return Family(
        f"neighbours-{n}-{k}{'-tied' * tied}",
        ss.CorrelatedSubset(k),
        ss.SubsetPotentials,
        ((n,), (1 if tied else n - 1,)),
        (n,),
        lambda length=n: correlated_subset_events(n, k, tied=tied, length=length),
    )


def held(t: int, l: int) -> Family:  # noqa: E741
    return Family(
        f"held-{t}-{l}",
        ss.MonotonicAlignment(),
        only,
        ((t, l),),
        (t, l),
        lambda a=t, b=l: monotonic_events(t, l, lengths=(a, b)),
    )


def warping(n: int, m: int) -> Family:
    return Family(
        f"warping-{n}-{m}",
        ss.DTW(),
        only,
        ((n, m),),
        (n, m),
        lambda a=n, b=m: warping_events(n, m, lengths=(a, b)),
    )


def ctc(t: int, v: int, target: tuple[int, ...], blank: int = 0) -> Family:
    return Family(
        f"ctc-{t}-{v}-{''.join(map(str, target))}",
        ss.CTC(torch.tensor(target, dtype=torch.int64), blank=blank),
        only,
        ((t, v),),
        (t,),
        lambda length=t: ctc_events(t, v, target, blank=blank, length=length),
    )


def grammar(n: int, nt: int, t: int, spans: bool = False) -> Family:
    shapes = ((nt,), (nt, nt + t, nt + t), (n, t), (n, n, nt))
    return Family(
        f"grammar-{n}-{nt}-{t}-{'spans' if spans else 'tied'}",
        ss.PCFG(spans=spans),
        ss.PCFGPotentials,
        shapes if spans else shapes[:3],
        (n,),
        lambda length=n: pcfg_events(n, nt, t, spans=spans, length=length),
    )


def low_rank_grammar(n: int, nt: int, t: int, r: int, spans: bool = False) -> Family:
    shapes = ((nt,), (nt, r), (nt + t, r), (nt + t, r), (n, t), (n, n, nt))
    return Family(
        f"low-rank-grammar-{n}-{nt}-{t}-{r}{'-spans' * spans}",
        ss.LowRankPCFG(spans=spans),
        ss.LowRankPCFGPotentials,
        shapes if spans else shapes[:5],
        (n,),
        lambda length=n: low_rank_events(n, nt, t, r, spans=spans, length=length),
    )


def graph(equation: str, *shapes: tuple[int, ...], **sizes: int) -> Family:
    every = tuple(tuple(sizes[x] for x in factor) for factor in equation.split(","))
    return Family(
        f"graph-{equation}{'-tied' * bool(shapes)}",
        ss.FactorGraph(equation),
        lambda *fields: fields,
        shapes or every,
        (),
        lambda: factor_graph_events(equation, sizes, *shapes),
    )


def affine(n: int, m: int, local: bool = False, tied: bool = False) -> Family:
    gaps = ((1, 1), (1, 1)) if tied else ((n, m + 1), (n + 1, m))
    return Family(
        f"affine-{n}-{m}{'-local' * local}{'-tied' * tied}",
        ss.AffineAlignment(local=local),
        ss.AffineAlignmentPotentials,
        ((n, m), gaps[0], gaps[0], gaps[1], gaps[1]),
        (n, m),
        lambda a=n, b=m: affine_events(n, m, local=local, lengths=(a, b), tied=tied),
    )


EVEN = ss.Automaton(torch.tensor([[0, 1, 1], [1, 0, -1]]), torch.tensor([True, False]))  # 1 and 2 come in pairs
SPACED = ss.Automaton(torch.tensor([[0, 1], [0, -1]]), torch.tensor([True, True]))  # no two neighbours


def accepts(automaton: ss.Automaton, string: list[int]) -> bool:
    state = 0
    for symbol in string:
        state = int(automaton.moves[state, symbol])
        if state < 0:
            return False
    return bool(automaton.accepting[state])


def accepted_chain(n: int, tied: bool = False) -> Family:
    def events(length: int = n) -> tuple[Tensor, ...]:
        emission, transition = chain_events(n, 3, tied=tied, length=length)
        kept = torch.tensor([accepts(EVEN, row[:length].argmax(-1).tolist()) for row in emission], dtype=torch.bool)
        return emission[kept], transition[kept]

    return Family(
        f"accepted-chain-{n}{'-tied' * tied}",
        ss.constraints.AcceptedChain(EVEN),
        ss.ChainPotentials,
        ((n, 3), (1 if tied else n - 1, 3, 3)),
        (n,),
        events,
    )


def accepted_subset(n: int, k: int, at_most: bool = False) -> Family:
    sizes = range(k + 1) if at_most else (k,)

    def events(length: int = n) -> Tensor:
        listed = subset_events(n, sizes, length=length)
        return listed[torch.tensor([accepts(SPACED, row[:length].int().tolist()) for row in listed], dtype=torch.bool)]

    return Family(
        f"accepted-subset-{n}-{'most-' * at_most}{k}",
        ss.constraints.AcceptedSubset(SPACED, **({"at_most": k} if at_most else {"k": k})),
        only,
        ((n,),),
        (n,),
        events,
    )


def arborescence(m: int, single_root: bool = False) -> Family:
    return Family(
        f"arborescence-{m - 1}-{'single' if single_root else 'multi'}",
        ss.Arborescence(single_root=single_root),
        only,
        ((m, m),),
        (m - 1,),
        lambda length=m - 1: arborescence_events(m, single_root=single_root, length=length),
    )


def matching(n: int) -> Family:
    def events(length: int = n) -> Tensor:
        return matching_events(n, length=length)

    return Family(f"matching-{n}", ss.Matching(), only, ((n, n),), (n,), events)


def spanning(n: int) -> Family:
    def events(length: int = n) -> Tensor:
        return spanning_tree_events(n, length=length)

    return Family(f"spanning-{n}", ss.SpanningTree(), only, ((n, n),), (n,), events)


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
    bits(3),
    accepted_chain(3),
    accepted_chain(3, tied=True),
    accepted_chain(1),
    accepted_subset(5, 2),
    accepted_subset(3, 2, at_most=True),
    subset(4, 2),
    subset(3, 2, at_most=True),
    subset(1, 1),
    neighbours(4, 2),
    neighbours(4, 3, tied=True),
    neighbours(1, 1),
    held(4, 2),
    held(2, 2),
    warping(3, 2),
    warping(1, 1),
    affine(2, 2),
    affine(3, 2, local=True),
    affine(1, 1, local=True),
    affine(2, 3, tied=True),
    ctc(4, 3, (1, 1)),
    ctc(3, 3, (2, 1), blank=0),
    ctc(3, 2, (0,), blank=1),
    grammar(3, 1, 2),
    grammar(3, 2, 1, spans=True),
    grammar(4, 1, 1),
    low_rank_grammar(3, 1, 1, 2),
    low_rank_grammar(3, 2, 1, 1, spans=True),
    graph("ab,bc,cd", a=2, b=2, c=3, d=2),
    graph("ab,bc,ac,c", a=2, b=3, c=2),
    graph("abc,ad", a=2, b=2, c=2, d=3),
    graph("ab,cd", a=2, b=2, c=2, d=2),
    graph("ab,bc,a", (2, 2), (1, 3), (2,), a=2, b=2, c=3),
    matching(3),
    matching(4),
    matching(1),
)
SIDED = tuple(family for family in FAMILIES if family.sizes)
NATIVE = (
    arborescence(4),
    arborescence(4, single_root=True),
    arborescence(2),
    spanning(4),
    spanning(1),
)
"""Structures without a program, whose queries are native."""
LABELLED = tuple(family for family in FAMILIES if not isinstance(family.structure, ss.DTW | ss.LowRankPCFG))
