"""The expected cost of a prediction drawn from the model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from semiring_struct.inference import expectation
from semiring_struct.structures import Structure


def risk(structure: Structure, log_potentials: Any, cost: Any, lengths: Any = None) -> Tensor:
    """`E_p[<z, cost>]`: what a structure drawn from the model costs on average, for costs that add up over its parts.

    `cost` is shaped like the potentials (extra trailing dims allowed): for instance 1 where a part is wrong.
    `(*batch,)`, differentiable in both. For a cost that is no sum over parts, see the estimators.
    Bias: none.  Needs: marginals, differentiable.  Does not need: samples.
    Source: Li & Eisner 2009, sec. 2 [li2009].
    """
    return expectation(structure, log_potentials, cost, lengths)
