"""Every query of the library as a method: each calls the function of its name with this distribution's arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.distributions.aligned import aligned
from semiring_struct.inference import Plan
from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import map_fields
from semiring_struct.programs import Program
from semiring_struct.semirings import Semiring
from semiring_struct.structures import Structure
from semiring_struct.types import DistinctSamples, TopK


class Queries:
    """What a distribution over structures answers beyond torch's contract. See the functions for shapes and costs."""

    structure: Structure
    log_potentials: Any
    lengths: Any

    def log_partition(self) -> Tensor:
        """Log of the summed weights of all structures, `(*batch,)`."""
        return inference.log_partition(self.structure, self.log_potentials, self.lengths)

    def marginals(self) -> Any:
        """The expected event, shaped like the log-potentials; the same as `mean`."""
        return inference.marginals(self.structure, self.log_potentials, self.lengths)

    def max_score(self) -> Tensor:
        """The score of a best structure, `(*batch,)`."""
        return inference.max_score(self.structure, self.log_potentials, self.lengths)

    def argmax(self, labels: bool = False) -> Any:
        """One best event, or its labels; the same as `mode`."""
        return inference.argmax(self.structure, self.log_potentials, labels, self.lengths)

    def topk(self, k: int, *, labels: bool = False) -> TopK:
        """The `k` best events (or labels), best first: scores, events `(k, *batch, ...)` and which are no blanks."""
        return inference.topk(self.structure, self.log_potentials, k, self.lengths, labels=labels)

    def sample_without_replacement(self, k: int, *, generator: torch.Generator | None = None) -> DistinctSamples:
        """`k` distinct events `(k, *batch, ...)` with their log-probabilities and perturbed log-probabilities."""
        return inference.sample_without_replacement(
            self.structure, self.log_potentials, k, generator=generator, lengths=self.lengths
        )

    def cross_entropy(self, other: Queries) -> Tensor:
        """`E[-log other]` under this distribution, `(*batch,)`; `other` is over the same structure and lengths."""
        p, q = aligned(self, other)
        return inference.cross_entropy(self.structure, p, q, self.lengths)

    def kl(self, other: Queries) -> Tensor:
        """The divergence of this distribution from `other`, `(*batch,)`, as `torch.distributions.kl_divergence`."""
        p, q = aligned(self, other)
        return inference.kl(self.structure, p, q, self.lengths)

    def renyi_entropy(self, alpha: float) -> Tensor:
        """Rényi entropy of order `alpha >= 0` in nats, `(*batch,)`."""
        return inference.renyi_entropy(self.structure, self.log_potentials, alpha, self.lengths)

    def expectation(self, values: Any) -> Tensor:
        """E of the additive function with part values `values` (like an event, extra trailing dims allowed)."""
        return inference.expectation(self.structure, self.log_potentials, values, self.lengths)

    def variance_of(self, values: Any) -> Tensor:
        """Variance `(*batch,)` of the additive function with part values `values`: the query `ss.variance`.

        Its own name, because `variance` is torch's property: the variance of each part.
        """
        return inference.variance(self.structure, self.log_potentials, values, self.lengths)

    def covariance_vp(self, vector: Any) -> Any:
        """The covariance of the event times `vector`, shaped like the log-potentials."""
        return inference.covariance_vp(self.structure, self.log_potentials, vector, self.lengths)

    def count(self) -> Tensor:
        """The number of structures of finite score, `(*batch,)` float64."""
        return inference.count(self.structure, self.log_potentials, self.lengths)

    def enumerate_events(self, limit: int = 10_000) -> Any:
        """All events of finite score `(s, *batch, ...)`, padded with all-zero events; raises when over `limit`."""
        return inference.enumerate_events(self.structure, self.log_potentials, limit, self.lengths)

    def score(self, event: Any) -> Tensor:
        """`<event, log_potentials>`, `(*sample, *batch)`, with `0 * -inf = 0`."""
        return inference.score(self.structure, self.log_potentials, event)

    def contains(self, event: Any) -> Tensor:
        """Whether an event is a structure, forbidden or not, `(*sample, *batch)`; the same as `support.check`."""
        return inference.contains(self.structure, self.log_potentials, event, self.lengths)

    def evaluate(self, semiring: Semiring) -> Tensor:
        """What any semiring, the user's own included, reads in the program's total."""
        return inference.evaluate(self.structure, semiring, self.log_potentials, self.lengths)

    def from_labels(self, labels: Tensor) -> Any:
        """The event `(*sample, *batch, ...)` of integer labels; raises `ValueError` where they form no structure."""
        return self.structure.from_labels(labels, self.log_potentials, self._lengths_of(labels))

    def _lengths_of(self, labels: Tensor) -> Any:
        """Lengths that also have the sample dims of some labels."""
        if self.lengths is None:
            return None
        lead = labels.shape[: labels.dim() - self._label_rank()]
        return map_fields(lambda x: x.expand(lead), self.lengths)

    def _label_rank(self) -> int:
        door = open_door(self.structure, self.log_potentials, self.lengths)
        return len(door.structure.label_shape(door.sizes) or ())

    def to_labels(self, event: Any) -> Tensor:
        """The integer labels `(*sample, *batch, *label_shape)` of an event."""
        return self.structure.to_labels(event, self.lengths)

    def explain(self, query: str | Callable = "log_partition") -> Plan:
        """The printable plan of a query, given by name or as the function itself."""
        return inference.explain(self.structure, self.log_potentials, query, self.lengths)

    def program(self) -> Program:
        """The recorded program: it prints as equations and counts its products."""
        return inference.program(self.structure, self.log_potentials, self.lengths)
