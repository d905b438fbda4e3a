"""One structure on one batch of potentials, with the truth about it: what every family of checks is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference.oracles import offered
from semiring_struct.testing._parts import Fields, Parts
from semiring_struct.testing._truth import NEG_INF, Truth, codes

Lengths = Tensor | tuple[Tensor, ...] | None


@dataclass(frozen=True)
class Case:
    """`structure` on flat potentials `(instances, parts)` in float64; `parts` says how they look to the structure.

    `complete`: does `truth` list the structures of score -inf too?
    """

    structure: Any
    parts: Parts
    phi: Tensor
    truth: Truth
    lengths: Lengths
    generator: torch.Generator = field(repr=False)
    complete: bool = True

    def offers(self, query: str) -> bool:
        """Does the structure answer this query? Scores need no structure at all."""
        return query == "score" or query in offered(self.structure)

    @cached_property
    def potentials(self) -> Fields:
        """The potentials as the structure takes them."""
        return self.parts.fields(self.phi)

    @cached_property
    def scores(self) -> Tensor:
        """`(s, instances)` from the enumeration."""
        return self.truth.scores(self.phi)

    @cached_property
    def counts(self) -> Tensor:
        """`(instances,)`: how many events have a finite score."""
        return (self.scores > NEG_INF).sum(0)

    @cached_property
    def feasible(self) -> Tensor:
        return self.counts > 0

    @cached_property
    def code(self) -> Callable[[Tensor], Tensor]:
        return codes(self.phi.shape[-1])

    @cached_property
    def event_codes(self) -> Tensor:
        """`(s, instances)`; nan for blanks and events of score -inf, which equals nothing."""
        return torch.where(self.scores > NEG_INF, self.code(self.truth.events), torch.nan)

    @cached_property
    def repeats(self) -> bool:
        """Do several derivations share one event, as tied parameters can make them?"""
        found = [column[~column.isnan()] for column in self.event_codes.T]
        return any(len(column.unique()) < len(column) for column in found)

    def batched(self, flat: Tensor) -> Tensor:
        """`(*lead, instances)` -> `(*lead, *batch)`."""
        return flat.reshape((*flat.shape[:-1], *self.parts.batch))

    def find(self, events: Fields) -> Tensor:
        """Index of each event `(*lead, *batch, ...)` in the enumeration, `(*lead, instances)`; -1 if it is none."""
        rows = self.code(self.parts.flat(events)).unsqueeze(-2)
        same = rows == self.event_codes
        return torch.where(same.any(-2), same.to(torch.uint8).argmax(-2), -1)

    @cached_property
    def event_probabilities(self) -> Tensor:
        """`(s, instances)`: the probability of each event, all of it on the first where derivations share one."""
        order = torch.arange(len(self.event_codes), device="cpu").unsqueeze(-1).expand_as(self.event_codes)
        first = self.find(self.parts.fields(self.truth.events)) if self.repeats else order
        found = self.truth.probabilities(self.phi)
        return torch.zeros_like(found).scatter_add_(0, torch.where(first < 0, order, first), found)

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64, device="cpu")

    def with_phi(self, phi: Tensor) -> Case:
        return replace(self, phi=phi)

    def select(self, instances: Tensor, batch: Sequence[int] | None = None) -> Case:
        """The same for some instances, laid out as `batch` (one batch dim if not given)."""
        chosen = Parts(self.parts.shapes, torch.Size((len(instances),) if batch is None else batch), self.parts.rebuild)
        lengths = map_lengths(self.lengths, lambda x: x.reshape(-1)[instances].reshape(chosen.batch))
        return replace(self, parts=chosen, phi=self.phi[instances], truth=self.truth.select(instances), lengths=lengths)

    def spread(self, count: int) -> tuple[Fields, Lengths]:
        """The potentials and lengths once more for each of `count` leading batch places."""
        potentials = self.parts.fields(self.phi.expand(count, *self.phi.shape))
        return potentials, map_lengths(self.lengths, lambda x: x.expand(count, *x.shape))


def map_lengths(lengths: Lengths, change: Callable[[Tensor], Tensor]) -> Lengths:
    """Change the lengths of every side."""
    if lengths is None:
        return None
    return tuple(change(side) for side in lengths) if isinstance(lengths, tuple) else change(lengths)
