"""Random instances by the thousand (by the million with the marker `exhaustive`): partition, best score, marginals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import FAMILIES, NEG_INF, Family

CHUNK, CASES = 5_000, 1_000_000


def flat(value: object, lead: int) -> Tensor:
    fields = value if isinstance(value, tuple) else (value,)
    return torch.cat([field.flatten(lead) for field in fields], -1).double()


def compare(family: Family, batch: int, seed: int) -> int:
    """How many of `batch` random instances disagree with enumeration; scale and share of `-inf` vary by seed."""
    scale, forbidden = (0.1, 1.0, 30.0)[seed % 3], (0.0, 0.2, 0.5, 0.8)[seed % 4]
    phi = family.draw((batch,), seed, forbidden=forbidden, scale=scale)
    events, parts = flat(family.events(), 1), flat(phi, 1)
    barred = parts == NEG_INF
    scores = torch.where(barred, 0.0, parts) @ events.T
    scores = scores.masked_fill((barred.double() @ events.T) > 0, NEG_INF)
    best = scores.max(1).values
    feasible = best > NEG_INF
    weights = (scores - torch.where(feasible, best, 0.0).unsqueeze(1)).exp()
    mass = weights.sum(1)
    total = torch.where(feasible, mass.clamp_min(1e-300).log() + best, NEG_INF)
    marginals = (weights / mass.clamp_min(1e-300).unsqueeze(1)) @ events
    near = [
        close(ss.log_partition(family.structure, phi), total, 1e-10),
        close(ss.max_score(family.structure, phi), best, 1e-12),
        close(flat(ss.marginals(family.structure, phi), 1), marginals, 1e-9).all(-1),
    ]
    return int((~torch.stack(near).all(0)).sum())


def close(one: Tensor, other: Tensor, tolerance: float) -> Tensor:
    """True for equal infinities, False for nan."""
    return (one == other) | ((one - other).abs() <= tolerance * other.abs().clamp_min(1))


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_thousands(family: Family):
    assert sum(compare(family, 500, seed) for seed in range(4)) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_million(family: Family):
    assert sum(compare(family, CHUNK, seed) for seed in range(CASES // CHUNK)) == 0
