"""What surrogates share: events with a stated gradient, steps down a gradient, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct import ops
from semiring_struct.inference.door import Door
from semiring_struct.ops import Pullback


def stated(door: Door, event: Any, pullback: Pullback) -> Any:
    """`event`, in the form of the potentials, whose gradient reaches the potentials through `pullback`: once only."""
    return door.pack(ops.stated(door.unpack(event, "a surrogate's event"), door.fields, pullback))


def moved(door: Door, step: float, grads: Sequence[Tensor]) -> Any:
    """The potentials after one step down the gradient, `phi - step * g`; a forbidden part stays forbidden."""
    return door.pack([(f - step * g).detach() for f, g in zip(door.fields, grads, strict=True)])


def check_step(step: float, who: str) -> None:
    """Refuse a step that is not finite and above 0."""
    if not 0 < step < float("inf"):
        raise ValueError(f"{who} needs a finite step above 0; got {step}")


def difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> list[Tensor]:
    """Field by field `a - b`."""
    return [torch.sub(x, y) for x, y in zip(a, b, strict=True)]
