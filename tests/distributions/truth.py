"""Exact answers for a distribution by listing its events."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import Family


def fields(value: Any) -> tuple[Tensor, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def flat(value: Any, lead: int) -> Tensor:
    """All fields side by side `(*lead, parts)`."""
    return torch.cat([f.flatten(lead) for f in fields(value)], -1)


def of(family: Family, batch: tuple[int, ...], seed: int = 0, *, forbidden: float = 0.0) -> ss.StructDistribution:
    return ss.StructDistribution(family.structure, family.draw(batch, seed, forbidden=forbidden))


class Truth:
    """Events `(s, parts)` of one instance, and their log-probabilities `(s, *batch)`, by the definition."""

    def __init__(self, family: Family, log_potentials: Any, *lengths: int):
        batch = fields(log_potentials)[0].dim() - len(family.shapes[0])
        listed = family.events(*lengths)
        self.events = flat(listed, 1)
        phi = flat(log_potentials, batch)
        used = self.events.reshape(-1, *[1] * batch, self.events.shape[-1])
        scores = torch.where(used == 0, 0.0, used * phi).sum(-1)
        self.log_partition = scores.logsumexp(0)
        self.log_probs = scores - self.log_partition
        self.packed = listed

    @property
    def mean(self) -> Tensor:
        return torch.einsum("s...,sp->...p", self.log_probs.exp(), self.events)

    @property
    def variance(self) -> Tensor:
        return torch.einsum("s...,sp->...p", self.log_probs.exp(), self.events**2) - self.mean**2

    @property
    def entropy(self) -> Tensor:
        return torch.special.entr(self.log_probs.exp()).sum(0)


def rows(events: Tensor) -> set[tuple[int, ...]]:
    """Events `(s, parts)` as a set."""
    return {tuple(row) for row in events.round().long().tolist()}
