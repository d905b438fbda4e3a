"""Plain PyTorch: the specification, for every program and every semiring, on any device."""

from semiring_struct.executors.eager.generic import total as generic
from semiring_struct.executors.eager.machine import Eager

__all__ = ["Eager", "generic"]
