"""A distribution over the structures of one family, as a torch.distributions object."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint, dependent_property

from semiring_struct import inference
from semiring_struct.distributions.checked import (
    check_event,
    checked_lengths,
    checked_potentials,
    full_support,
)
from semiring_struct.distributions.queries import Queries
from semiring_struct.distributions.spread import part_variances
from semiring_struct.distributions.support import StructureSupport, log_potentials_constraint
from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import are_labels, fields_of, map_fields, pack_like
from semiring_struct.ops import refuse_where
from semiring_struct.structures import Structure


class StructDistribution(Queries, Distribution):
    r"""`p(event) \propto exp <event, log_potentials>` over the structures of a family.

    Args:
        structure: the family, such as `LinearChain()`, or the user's own `DynamicProgram`.
        log_potentials: one tensor or a (named) tuple of them, each `(*batch, ...)`; batch dims of fields broadcast.
        lengths: None, integers `(*batch,)`, a prefix mask `(*batch, n)`, or a pair for two-sided structures.
        validate_args: as in torch: whether `log_prob` refuses events outside the support.

    Shape:
        - event: that of the log-potentials, after `(*sample, *batch)`; `log_prob` takes integer labels too.
        - event_shape: a `torch.Size`, or the same kind of tuple of them as the potentials. (torch's `Independent` takes
          distributions whose events are one tensor only.)

    Every query of the library is a method; nothing is cached, so each call builds its own graph. Bad potentials and
    lengths are refused here, by `ShapeError`, `TypeError` or `ValueError`, whatever `validate_args` says.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"log_potentials": log_potentials_constraint}
    has_rsample = False
    has_enumerate_support = True

    def __init__(
        self, structure: Structure, log_potentials: Any, lengths: Any = None, validate_args: bool | None = None
    ):
        door = open_door(structure, log_potentials, lengths)
        self.structure: Structure = door.structure
        self.log_potentials = checked_potentials(door, log_potentials)
        self.lengths = None if lengths is None else checked_lengths(door)
        event_shape = pack_like(log_potentials, [Size(shape) for shape in door.events])
        super().__init__(Size(door.batch), event_shape, validate_args=validate_args)

    @dependent_property(is_discrete=True)
    def support(self) -> Constraint:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The events that are structures of these shapes and lengths."""
        return StructureSupport(self.structure, self.log_potentials, self.lengths)

    @property
    def mean(self) -> Any:
        """The expected event, shaped like the log-potentials: the marginals."""
        return self.marginals()

    @property
    def mode(self) -> Any:
        """One best event, the first of tied ones."""
        return self.argmax()

    @property
    def variance(self) -> Any:
        """The variance of each part, shaped like the log-potentials. Cost: see `part_variances`."""
        return part_variances(self.structure, self.log_potentials, self.lengths)

    @property
    def stddev(self) -> Any:
        """The square root of `variance`, with gradient 0 where that is 0."""
        return map_fields(_sqrt, self.variance)

    def entropy(self) -> Tensor:
        """Shannon entropy in nats, `(*batch,)`."""
        return inference.entropy(self.structure, self.log_potentials, self.lengths)

    def sample(
        self, sample_shape: int | Sequence[int] = (), *, generator: torch.Generator | None = None, labels: bool = False
    ) -> Any:
        """Exact, independent draws `(*sample_shape, *batch, ...)`, as events or as integer labels."""
        return inference.sample(
            self.structure, self.log_potentials, sample_shape, generator=generator, labels=labels, lengths=self.lengths
        )

    def log_prob(self, value: Any) -> Tensor:
        """Log-probability `(*sample, *batch)` of events, or of integer labels; `-inf` where a forbidden part is used.

        Raises `ShapeError` for a wrong shape and, with validation on, `ValueError` for an event or labels that form no
        structure; without validation their value is `-inf`, and the rest of the batch has its own.
        """
        if not are_labels(value):
            check_event(self, value)
        out = inference.log_prob(self.structure, self.log_potentials, value, self.lengths)
        if self._validate_args and bool((out == -torch.inf).any()):
            self._validate_sample(value)
        return out

    def _validate_sample(self, value: Any) -> None:
        """Raise `ValueError` for an event or labels outside the support, naming the first instance."""
        if are_labels(value):
            cut = value.dim() - self._label_rank()
            lead = torch.broadcast_shapes(value.shape[:cut], self._batch_shape)
            self.from_labels(value.expand((*lead, *value.shape[cut:])))
            return
        refuse_where(
            ~self.support.check(value),
            f"Expected value to be within the support ({self.support!r}) of the distribution {self!r}: it holds an "
            "event that is no structure",
        )

    def enumerate_support(self, expand: bool = True) -> Any:
        """Every structure `(s, *batch, ...)`, forbidden or not; with `expand=False`, `(s, 1, .., 1, ...)`.

        Raises `UnsupportedQueryError` (a `NotImplementedError`) where lengths differ within the batch, `ValueError`
        for more than 10000 structures. `enumerate_events` lists those of finite score, whatever the lengths.
        """
        events = full_support(open_door(self.structure, self.log_potentials, self.lengths))
        ones = [1] * len(self._batch_shape)
        batch = self._batch_shape if expand else ones
        return map_fields(lambda e: e.reshape(len(e), *ones, *e.shape[1:]).expand(len(e), *batch, *e.shape[1:]), events)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same distribution with its batch dims expanded; takes no memory and keeps type and lengths."""
        new = copy.copy(self) if _instance is None else _instance
        batch = Size(batch_shape)
        shapes = fields_of(self._event_shape)
        fields = [f.expand(*batch, *s) for f, s in zip(fields_of(self.log_potentials), shapes, strict=True)]
        new.structure = self.structure
        new.log_potentials = pack_like(self.log_potentials, fields)
        new.lengths = None if self.lengths is None else map_fields(lambda x: x.expand(batch), self.lengths)
        super(StructDistribution, new).__init__(batch, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Any:
        """The shape of a sample: a `torch.Size`, or one per field."""
        lead = Size(sample_shape) + self._batch_shape
        return pack_like(self.log_potentials, [lead + shape for shape in fields_of(self._event_shape)])

    def __repr__(self) -> str:
        fields = zip(self.structure.field_names, fields_of(self.log_potentials), strict=True)
        shown = [repr(self.structure), *(f"{name}: {tuple(f.shape)} {f.dtype}" for name, f in fields)]
        if self.lengths is not None:
            shown.append(f"lengths: {' and '.join(str(tuple(x.shape)) for x in fields_of(self.lengths))}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _sqrt(x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)
