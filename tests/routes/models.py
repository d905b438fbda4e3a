"""The structures of the contract at any size: how each is built, its potentials' shapes, the sides of its lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import torch
from torch import Generator, Tensor

import semiring_struct as ss
from tests.programs.unshipped import Choose, Grammar, GrammarPotentials, Nussinov, WordPotentials, Words
from tests.structures.families import EVEN, FAMILIES, NATIVE, SPACED, Family, fields_of, only

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 13, 20, 40)
TAGS = (1, 2, 3, 5, 7, 8, 9, 16, 31, 32, 33, 40)
FEW_TAGS = (1, 2, 3, 7, 8, 9)


@dataclass(frozen=True)
class Model:
    """One structure at one size.

    `build(*rows)` gives the structure for instances whose own data are `rows`, drawn by `rows_for(batch, generator)`;
    most have none. `steps` bounds the parts that a structure uses, `least` the lengths that are drawn. `told` says that
    an event determines its labels: no part is tied. `events(*lengths)` lists all events where these are few.
    """

    name: str
    build: Callable[..., Any]
    kind: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    steps: int
    labelled: bool = True
    told: bool = True
    least: int = 0
    rows_for: Callable[[int, Generator], tuple[Tensor, ...]] = lambda batch, generator: ()
    events: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return self.name

    def listed(self, lengths: tuple[int, ...]) -> tuple[Tensor, ...]:
        """All events for these lengths, per field `(s, *shape)` in float64."""
        return _listed(self, lengths)


@lru_cache(maxsize=1024)
def _listed(model: Model, lengths: tuple[int, ...]) -> tuple[Tensor, ...]:
    assert model.events is not None
    return tuple(field.double() for field in fields_of(model.events(*lengths)))


def _tuple(*fields: Tensor) -> tuple[Tensor, ...]:
    return fields


def _whole(structure: Any) -> Callable[..., Any]:
    return lambda: structure


def listed(rng: Random, turn: int) -> Model:
    """The families that tests list by enumeration, one after the other."""
    every = (*FAMILIES, *NATIVE)
    family: Family = every[turn % len(every)]
    structure = family.structure
    tied = "tied" in family.name or isinstance(structure, ss.PCFG)
    return Model(
        family.name, _whole(structure), family.kind, family.shapes, family.sizes, 2 * sum(family.sizes) + 2,
        labelled=not isinstance(structure, ss.DTW | ss.LowRankPCFG), told=not tied, events=family.events,
    )  # fmt: skip


def one_of(rng: Random, turn: int) -> Model:
    k = rng.choice(TAGS)
    return Model(f"one-of({k})", _whole(ss.OneOf()), only, ((k,),), (), 1)


def bits(rng: Random, turn: int) -> Model:
    d = rng.choice(SIZES)
    return Model(f"bits({d})", _whole(ss.BitVector()), only, ((d,),), (d,), d)


def chain(rng: Random, turn: int) -> Model:
    n, c, tied = rng.choice(SIZES), rng.choice(TAGS), rng.random() < 0.4
    shapes = (n, c), (1 if tied else n - 1, c, c)
    name = f"chain(n={n}, c={c}{', tied' * tied})"
    return Model(name, _whole(ss.LinearChain()), ss.ChainPotentials, shapes, (n,), 2 * n, told=not tied)


def segments(rng: Random, turn: int) -> Model:
    n, c, tied = rng.choice(SIZES), rng.choice(FEW_TAGS), rng.random() < 0.4
    w = min(n, rng.choice((1, 2, 4, 9)))
    shapes = (n, w, c), (1 if tied else n, c, c)
    name = f"segments(n={n}, w={w}, c={c}{', tied' * tied})"
    return Model(name, _whole(ss.SemiMarkov()), ss.SemiMarkovPotentials, shapes, (n,), 2 * n, told=not tied)


def spans(rng: Random, turn: int) -> Model:
    n = rng.choice(SIZES)
    if rng.random() < 0.5:
        return Model(f"spans(n={n})", _whole(ss.SpanTree(labelled=False)), only, ((n, n),), (n,), 2 * n)
    n, c = min(n, 13), rng.choice(FEW_TAGS)
    return Model(f"spans(n={n}, c={c})", _whole(ss.SpanTree(labelled=True)), only, ((n, n, c),), (n,), 2 * n)


def heads(rng: Random, turn: int) -> Model:
    n, single = rng.choice(SIZES[:-1]), rng.random() < 0.5
    structure = ss.ProjectiveTree(single_root=single)
    return Model(f"heads(n={n}{', single' * single})", _whole(structure), only, ((n + 1, n + 1),), (n,), n)


def alignment(rng: Random, turn: int) -> Model:
    n, m, tied = rng.choice(SIZES), rng.choice(FEW_TAGS), rng.random() < 0.3
    shapes = ((n, m), (1, 1), (1, 1)) if tied else ((n, m), (n, m + 1), (n + 1, m))
    name = f"alignment(n={n}, m={m}{', tied' * tied})"
    return Model(name, _whole(ss.Alignment()), ss.AlignmentPotentials, shapes, (n, m), n + m, told=not tied)


def affine(rng: Random, turn: int) -> Model:
    n, m = rng.choice(SIZES[:-1]), rng.choice(FEW_TAGS)
    tied, local = rng.random() < 0.3, rng.random() < 0.5
    gaps = ((1, 1), (1, 1)) if tied else ((n, m + 1), (n + 1, m))
    shapes = (n, m), gaps[0], gaps[0], gaps[1], gaps[1]
    name = f"affine(n={n}, m={m}{', local' * local}{', tied' * tied})"
    structure = ss.AffineAlignment(local=local)
    return Model(name, _whole(structure), ss.AffineAlignmentPotentials, shapes, (n, m), n + m, told=not tied)


def warping(rng: Random, turn: int) -> Model:
    n, m = rng.choice(SIZES), rng.choice(FEW_TAGS)
    return Model(f"warping(n={n}, m={m})", _whole(ss.DTW()), only, ((n, m),), (n, m), n + m, labelled=False)


def frames(rng: Random, turn: int) -> Model:
    """CTC, with one target for all instances or one for each."""
    t, v = rng.choice(SIZES), rng.choice((2, 3, 8, 33))
    width, blank, own = min(rng.choice((0, 1, 2, 3, 8)), max(t // 2, 1)), rng.choice((0, v - 1)), rng.random() < 0.6
    symbols = torch.tensor([s for s in range(v) if s != blank])

    def targets(batch: int, generator: Generator) -> tuple[Tensor, ...]:
        picked = symbols[torch.randint(0, len(symbols), (batch, width), generator=generator)]
        return (picked, torch.randint(0, width + 1, (batch,), generator=generator)) if own else ()

    shared = symbols[torch.tensor([rng.randrange(len(symbols)) for _ in range(width)], dtype=torch.int64)]

    def build(*rows: Tensor) -> ss.CTC:
        return ss.CTC(*rows, blank=blank) if rows else ss.CTC(shared, blank=blank)

    name = f"ctc(t={t}, v={v}, blank={blank}, {'targets' if own else 'target'} of {width})"
    return Model(name, build, only, ((t, v),), (t,), t, rows_for=targets)


def held(rng: Random, turn: int) -> Model:
    t = rng.choice(SIZES)
    l = min(t, rng.choice(FEW_TAGS))  # noqa: E741
    return Model(f"held(t={t}, l={l})", _whole(ss.MonotonicAlignment()), only, ((t, l),), (t, l), t)


def subset(rng: Random, turn: int) -> Model:
    n, most = rng.choice(SIZES), rng.random() < 0.5
    k = rng.choice((0, 1, 2, n // 2, n))
    structure = ss.Subset(at_most=k) if most else ss.Subset(k)
    return Model(f"subset(n={n}, {'at most ' * most}{k})", _whole(structure), only, ((n,),), (n,), n)


def neighbours(rng: Random, turn: int) -> Model:
    n, tied = rng.choice(SIZES), rng.random() < 0.3
    k = rng.choice((0, 1, 2, n // 2, n))
    shapes = (n,), (1 if tied else n - 1,)
    name = f"neighbours(n={n}, k={k}{', tied' * tied})"
    return Model(name, _whole(ss.CorrelatedSubset(k)), ss.SubsetPotentials, shapes, (n,), 2 * n, told=not tied)


def grammar(rng: Random, turn: int) -> Model:
    n, (nt, t), placed = rng.choice((1, 2, 3, 5, 8)), rng.choice(((1, 1), (2, 3), (5, 4), (8, 8))), rng.random() < 0.4
    shapes = (nt,), (nt, nt + t, nt + t), (n, t), (n, n, nt)
    name = f"grammar(n={n}, nt={nt}, t={t}{', spans' * placed})"
    structure = ss.PCFG(spans=placed)
    fields = shapes if placed else shapes[:3]
    return Model(name, _whole(structure), ss.PCFGPotentials, fields, (n,), 3 * n, told=False)


def low_rank(rng: Random, turn: int) -> Model:
    n, (nt, t, r) = rng.choice((1, 2, 3, 5, 8)), rng.choice(((1, 1, 1), (2, 3, 2), (5, 4, 9)))
    placed = rng.random() < 0.4
    shapes = (nt,), (nt, r), (nt + t, r), (nt + t, r), (n, t), (n, n, nt)
    name = f"low-rank(n={n}, nt={nt}, t={t}, r={r}{', spans' * placed})"
    fields = shapes if placed else shapes[:5]
    structure = ss.LowRankPCFG(spans=placed)
    return Model(name, _whole(structure), ss.LowRankPCFGPotentials, fields, (n,), 5 * n, labelled=False, told=False)


def graph(rng: Random, turn: int) -> Model:
    equation = rng.choice(("ab,bc,cd", "ab,bc,cd,ad", "abc,bd", "a,ab,b"))
    sizes = {x: rng.choice((1, 2, 3, 8, 9)) for x in "abcd"}
    shapes = tuple(tuple(sizes[x] for x in factor) for factor in equation.split(","))
    return Model(f"graph({equation}, {shapes})", _whole(ss.FactorGraph(equation)), _tuple, shapes, (), len(shapes))


def arborescence(rng: Random, turn: int) -> Model:
    n, single = rng.choice((1, 2, 3, 4, 5, 8, 9)), rng.random() < 0.5
    structure = ss.Arborescence(single_root=single)
    return Model(f"arborescence(n={n}{', single' * single})", _whole(structure), only, ((n + 1, n + 1),), (n,), n)


def spanning(rng: Random, turn: int) -> Model:
    n = rng.choice((1, 2, 3, 4, 5, 8, 9))
    return Model(f"spanning(n={n})", _whole(ss.SpanningTree()), only, ((n, n),), (n,), n)


def matching(rng: Random, turn: int) -> Model:
    n = rng.choice((1, 2, 3, 4, 5, 7))
    return Model(f"matching(n={n})", _whole(ss.Matching()), only, ((n, n),), (n,), n)


def accepted(rng: Random, turn: int) -> Model:
    """Chains and sets whose strings an automaton accepts."""
    n, tied = rng.choice(SIZES[:-1]), rng.random() < 0.4
    if rng.random() < 0.5:
        shapes = (n, 3), (1 if tied else n - 1, 3, 3)
        structure = ss.constraints.AcceptedChain(EVEN)
        name = f"accepted-chain(n={n}{', tied' * tied})"
        return Model(name, _whole(structure), ss.ChainPotentials, shapes, (n,), 2 * n, told=not tied)
    k = rng.choice((0, 1, 2, (n + 1) // 2))
    structure = ss.constraints.AcceptedSubset(SPACED, k=k)
    return Model(f"accepted-subset(n={n}, k={k})", _whole(structure), only, ((n,),), (n,), n)


def own(rng: Random, turn: int) -> Model:
    """Programs that ship nowhere."""
    n = rng.choice((0, 1, 2, 3, 5, 8, 13))
    match rng.randrange(4):
        case 0:
            return Model(f"pairings(n={n})", _whole(Nussinov()), only, ((n, n),), (n,), n, labelled=False)
        case 1:
            return Model(f"words(n={n})", _whole(Words()), WordPotentials, ((n, n), (n,)), (n,), 2 * n, labelled=False)
        case 2:
            k = rng.choice((0, 1, 2, n))
            return Model(f"choose(n={n}, k={k})", _whole(Choose(k)), only, ((n,),), (n,), n, labelled=False)
    n, c = max(1, min(n, 8)), rng.choice((1, 2, 3, 8))
    name, shapes = f"trees(n={n}, c={c})", ((n, c), (c, c, c))
    return Model(name, _whole(Grammar()), GrammarPotentials, shapes, (n,), 2 * n, labelled=False, told=False, least=1)


MAKERS = (
    listed, chain, segments, listed, spans, heads, listed, alignment, affine, chain, listed, warping, frames, held,
    listed, subset, neighbours, chain, listed, grammar, low_rank, graph, listed, arborescence, spanning, matching,
    one_of, bits, accepted, own,
)  # fmt: skip
"""One after the other, so that every family occurs in every round; chains have most machine code of their own."""
