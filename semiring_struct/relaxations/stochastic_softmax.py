"""Stochastic softmax tricks: random utilities, then a regularized argmax."""

from __future__ import annotations

from typing import Any

import torch

from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import fields_of
from semiring_struct.inference.finite import checked
from semiring_struct.ops import Utility
from semiring_struct.relaxations.regularized import Regularizer, regularized_argmax
from semiring_struct.structures import Structure


def stochastic_softmax(
    structure: Structure, theta: Any, utility: Any, regularizer: Regularizer, temperature: float = 1.0, *,
    generator: torch.Generator | None = None, lengths: Any = None,
) -> Any:  # fmt: skip
    """A random soft structure, like `theta`: `regularized_argmax` of utilities drawn around `theta`.

    `utility` is one of `Gumbel(), Gaussian(), NegativeExponential(), Logistic()`, or one per field, where None leaves a
    field's `theta` as it is. As the temperature falls the answer becomes the argmax of the drawn utilities, a draw of
    the perturbation model; train with the soft answer, evaluate with the hard one. Expand `theta` for several draws.

    Bias: of the gradient of the expected cost of discrete structures; none for that of soft ones. Needs: what the
    regularizer needs, and a cost defined and differentiable on soft events. Does not need: `log_prob`, `sample`.

    Differentiable in `theta`. A given `generator` leaves the global one untouched. Cost: that of the regularizer.
    Source: Paulus et al. 2020, definition 2 [paulus2020].
    """
    fields = fields_of(theta)
    laws = tuple(utility) if isinstance(utility, (tuple, list)) else (utility,) * len(fields)
    if len(laws) != len(fields) or not all(law is None or isinstance(law, Utility) for law in laws):
        raise TypeError(
            f"stochastic_softmax needs a utility such as Gumbel(), or one (or None) per field ({len(fields)}); "
            f"got {utility!r}"
        )
    door = checked(open_door(structure, theta, lengths))
    pairs = zip(laws, door.fields, strict=True)
    drawn = [f if law is None else law.draw(f, generator=generator) for law, f in pairs]
    return regularized_argmax(structure, door.pack(drawn), regularizer, temperature, lengths)
