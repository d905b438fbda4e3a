"""Random instances by the thousand (by the million with the marker `exhaustive`), any length, any share of `-inf`.

Compared with enumeration: partition, best score, marginals, entropy, count, the three best.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import FAMILIES, NATIVE, NEG_INF, Family

CHUNK, CASES, BEST = 5_000, 1_000_000, 3


def flat(value: Any, lead: int) -> Tensor:
    fields = value if isinstance(value, tuple) else (value,)
    return torch.cat([field.flatten(lead) for field in fields], -1).double()


def compare(family: Family, batch: int, seed: int) -> int:
    """How many of `batch` random instances disagree; scale, share of `-inf` and length vary with the seed."""
    scale, forbidden = (0.1, 1.0, 30.0)[seed % 3], (0.0, 0.2, 0.5, 0.8)[seed % 4]
    every = list(itertools.product(*(range(size + 1) for size in family.sizes)))
    lengths = every[-1 - (seed // 4) % len(every)]
    how = tuple(torch.full((batch,), n) for n in lengths)
    given = {"lengths": how if len(how) > 1 else how[0]} if how else {}
    phi = family.draw((batch,), seed, forbidden=forbidden, scale=scale)
    events = flat(family.events(*lengths), 1)
    scores = torch.cat([scores_of(events, flat(phi, 1)), torch.full((batch, 1), NEG_INF)], 1)
    log_z, probabilities = normalise(scores)
    ranked = torch.cat([scores, scores.new_full((batch, BEST), NEG_INF)], 1).sort(1, descending=True).values[:, :BEST]
    best = ss.topk(family.structure, phi, BEST, **given)
    reached = scores_of(flat(best.events, 2), flat(phi, 1))
    near = [
        close(ss.log_partition(family.structure, phi, **given), log_z, 1e-10),
        close(ss.max_score(family.structure, phi, **given), scores.amax(1), 1e-12),
        close(flat(ss.marginals(family.structure, phi, **given), 1), probabilities[:, :-1] @ events, 1e-9).all(-1),
        close(ss.entropy(family.structure, phi, **given), torch.special.entr(probabilities).sum(1), 1e-9),
        ss.count(family.structure, phi, **given) == (scores > NEG_INF).sum(1),
        close(best.scores.T, ranked, 1e-12).all(1),
        ((ranked > NEG_INF) == best.valid.T).all(1),
        close(torch.where(best.valid, reached.T, NEG_INF).T, ranked, 1e-12).all(1),
    ]
    return int((~torch.stack(near).all(0)).sum())


def scores_of(events: Tensor, parts: Tensor) -> Tensor:
    """`(batch, s)` for events `(s, parts)` shared by all, or `(s, batch, parts)` of each instance's own."""
    barred = parts == NEG_INF
    safe = torch.where(barred, 0.0, parts)
    equation = "bp,sp->bs" if events.dim() == 2 else "bp,sbp->bs"
    scores = torch.einsum(equation, safe, events)
    return scores.masked_fill(torch.einsum(equation, barred.double(), events) > 0, NEG_INF)


def normalise(scores: Tensor) -> tuple[Tensor, Tensor]:
    """`(batch,)` log-partitions, `-inf` where nothing is feasible, and probabilities `(batch, s)`, 0 there."""
    best = scores.amax(1)
    feasible = best > NEG_INF
    weights = (scores - torch.where(feasible, best, 0.0)[:, None]).exp()
    mass = torch.where(feasible, weights.sum(1), 1.0)
    return torch.where(feasible, mass.log() + best, NEG_INF), weights / mass[:, None]


def close(one: Tensor, other: Tensor, tolerance: float) -> Tensor:
    """True for equal infinities, False for nan."""
    return (one == other) | ((one - other).abs() <= tolerance * other.abs().clamp_min(1))


@pytest.mark.parametrize("family", FAMILIES + NATIVE, ids=str)
def test_thousands(family: Family):
    assert sum(compare(family, 100, seed) for seed in range(24)) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("family", FAMILIES + NATIVE, ids=str)
def test_a_million(family: Family):
    assert sum(compare(family, CHUNK, seed) for seed in range(CASES // CHUNK)) == 0
