"""Constraints: what log-potentials may be, and which events are structures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from semiring_struct import inference
from semiring_struct.inference.fields import fields_of, map_fields
from semiring_struct.structures import Structure


class LogPotentials(Constraint):
    """Finite, or `-inf` for a forbidden part: no NaN and no `+inf`, in any field."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Any) -> Tensor:
        """One flag for all fields together."""
        return torch.stack([(f < torch.inf).all() for f in fields_of(value)]).all()


class StructureSupport(Constraint):
    """The events of a structure, of the shapes and lengths of one distribution, forbidden parts or not.

    `event_dim` is the structure's: the number of trailing dims of an event, or a tuple with one number per field.
    """

    is_discrete = True

    def __init__(self, structure: Structure, log_potentials: Any, lengths: Any = None):
        self.structure, self.lengths = structure, lengths
        self.log_potentials = map_fields(Tensor.detach, log_potentials)
        self.event_dim = structure.event_dim  # pyright: ignore[reportAttributeAccessIssue], reason: a number per field

    def check(self, value: Any) -> Tensor:
        """Whether each event `(*sample, *batch, ...)` is a structure, `(*sample, *batch)`. Cost: as `ss.contains`."""
        return inference.contains(self.structure, self.log_potentials, value, self.lengths)

    def __repr__(self) -> str:
        return f"StructureSupport({self.structure!r})"


log_potentials_constraint = LogPotentials()
