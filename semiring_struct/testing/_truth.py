"""What enumeration says: every answer from the list of all events, in float64, by dense sums anyone can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.testing._parts import Fields, Parts, fields_of

NEG_INF = float("-inf")


def event_scores(events: Tensor, log_potentials: Tensor) -> Tensor:
    """`<event, phi>` over the last dim of broadcast `(..., parts)`, `0 * -inf = 0`; differentiable in phi."""
    forbidden = log_potentials == NEG_INF
    total = (events * torch.where(forbidden, 0.0, log_potentials)).sum(-1)
    return torch.where(((events != 0) & forbidden).any(-1), NEG_INF, total)


def safe_logsumexp(x: Tensor, dim: int) -> Tensor:
    """-inf, with gradient 0, where every entry is -inf."""
    top = x.detach().amax(dim, keepdim=True)
    top = torch.where(top.isfinite(), top, 0.0)
    mass = (x - top).exp().sum(dim)
    return torch.where(mass == 0, NEG_INF, torch.where(mass == 0, 1.0, mass).log() + top.squeeze(dim))


@dataclass(frozen=True)
class Truth:
    """All events of every instance, padded to one number: events `(s, instances, parts)`, listed `(s, instances)`."""

    events: Tensor
    listed: Tensor

    @staticmethod
    def gather(parts: Parts, per_instance: Sequence[Fields]) -> Truth:
        """`per_instance[b]` holds the events `(s_b, *field)` of instance b."""
        single = parts.with_batch(())
        rows = [
            single.flat(tuple(field.double() for field in fields_of(events))).squeeze(-2) for events in per_instance
        ]
        most = max((len(row) for row in rows), default=0)
        width = sum(shape.numel() for shape in parts.shapes)
        events = torch.zeros(most, len(rows), width, dtype=torch.float64, device="cpu")
        listed = torch.zeros(most, len(rows), dtype=torch.bool, device="cpu")
        for b, row in enumerate(rows):
            events[: len(row), b] = row
            listed[: len(row), b] = True
        return Truth(events, listed)

    def select(self, instances: Tensor) -> Truth:
        return Truth(self.events[:, instances], self.listed[:, instances])

    def scores(self, phi: Tensor) -> Tensor:
        """`(s, instances)`, -inf for blanks and events that use a forbidden part; `phi` is `(instances, parts)`."""
        return torch.where(self.listed, event_scores(self.events, phi), NEG_INF)

    def log_partition(self, phi: Tensor) -> Tensor:
        return safe_logsumexp(self.scores(phi), 0)

    def probabilities(self, phi: Tensor) -> Tensor:
        """`(s, instances)`; all 0 where no event has a finite score."""
        scores, total = self.scores(phi), self.log_partition(phi)
        return torch.where(scores == NEG_INF, 0.0, (scores - torch.where(total == NEG_INF, 0.0, total)).exp())

    def marginals(self, phi: Tensor) -> Tensor:
        return torch.einsum("sb,sbd->bd", self.probabilities(phi), self.events)

    def mean(self, phi: Tensor, values: Tensor) -> Tensor:
        """Expectation of per-event `values` `(s, instances, ...)`, never touching events of probability 0."""
        p = self.probabilities(phi)
        p = p.reshape(*p.shape, *(1,) * (values.ndim - 2))
        return (p * torch.where(p > 0, values, 0.0)).sum(0)

    def log_probabilities(self, phi: Tensor) -> Tensor:
        scores = self.scores(phi)
        return torch.where(scores == NEG_INF, NEG_INF, scores - self.log_partition(phi))

    def entropy(self, phi: Tensor) -> Tensor:
        return -self.mean(phi, self.log_probabilities(phi))

    def cross_entropy(self, phi: Tensor, psi: Tensor) -> Tensor:
        return -self.mean(phi, self.log_probabilities(psi))

    def renyi(self, phi: Tensor, alpha: float) -> Tensor:
        scaled = torch.where(self.scores(phi) == NEG_INF, NEG_INF, alpha * self.log_probabilities(phi))
        return safe_logsumexp(scaled, 0) / (1 - alpha)

    def covariance_vp(self, phi: Tensor, v: Tensor) -> Tensor:
        """The covariance of the parts times `v` `(instances, parts)`."""
        along = torch.einsum("sbd,bd->sb", self.events, v)
        centred = along - self.mean(phi, along)
        return torch.einsum("sb,sb,sbd->bd", self.probabilities(phi), centred, self.events)


def codes(parts: int, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """A map from 0/1 or count rows `(..., parts)` to numbers, exact in float64, that tells different rows apart."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randint(1, 2**45, (parts,), generator=generator, device="cpu").double()
    return lambda rows: (rows.double() * weights).sum(-1)
