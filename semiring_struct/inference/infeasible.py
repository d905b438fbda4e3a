"""The refusal of instances without a structure."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.errors import InfeasibleError
from semiring_struct.inference.door import Door
from semiring_struct.inference.oracles import meets
from semiring_struct.ops import known_all, refuse_where


def refuse_infeasible(door: Door, feasible: Tensor, what: str = "an instance has no structure of finite score") -> None:
    """Raise `InfeasibleError` where `feasible (*batch,)` is False.

    The message names the first such instance, what it lacks if the structure can tell, and a query to ask beforehand.
    """
    if known_all(feasible):
        return
    test = ", or test max_score for -inf first" if meets(door.structure, "best") else ""
    hint = _hint(door, feasible) or "allow more parts"
    refuse_where(~feasible, f"{type(door.structure).__name__}: {what}; {hint}{test}", InfeasibleError)


def _hint(door: Door, feasible: Tensor) -> str | None:
    """What the structure says of the first such instance; None where a compiled graph or `vmap` hides which it is."""
    if torch.compiler.is_compiling():
        return None
    try:
        instance = int((~feasible).flatten().int().argmax())
        lengths = tuple(int(n) for n in door.lengths[instance])
    except RuntimeError:
        return None
    return door.structure.over(door.batch).infeasible_hint(door.sizes, lengths, instance)
