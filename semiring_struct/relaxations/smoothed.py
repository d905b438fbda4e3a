"""Programs under smooth maxima: soft structures that the program itself defines."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference import evaluate, marginals
from semiring_struct.inference.door import open_door
from semiring_struct.inference.partition import slopes_of
from semiring_struct.ops import gumbel
from semiring_struct.semirings import GumbelSoftmaxSemiring, Semiring
from semiring_struct.structures import Structure


def smoothed(structure: Structure, log_potentials: Any, semiring: Semiring, lengths: Any = None) -> Any:
    """The gradient of the total under a semiring: the expected structure of a walk by the semiring's local choices.

    Shaped like the potentials and differentiable in them. `LogSemiring()` gives the marginals, `SparsemaxSemiring()`
    and `EntmaxSemiring()` sparse walks, which are not the global SparseMAP.
    Bias: does not apply, a deterministic map.  Needs: a program, a semiring whose total is differentiable twice.
    Does not need: samples.  Source: Mensch & Blondel 2018, sec. 3 [mensch2018].
    """
    door = open_door(structure, log_potentials, lengths)

    def summed(*fields: Tensor) -> Tensor:
        return evaluate(structure, semiring, door.pack(fields), lengths).sum()

    return door.pack(slopes_of(summed, door.fields))


def gumbel_crf(
    structure: Structure, log_potentials: Any, temperature: float = 1.0, hard: bool = False, lengths: Any = None, *,
    generator: torch.Generator | None = None,
) -> Any:  # fmt: skip
    """A relaxed draw from the Gibbs distribution, by Gumbel-softmax choices down the program; pathwise gradient.

    Shaped like the potentials. Where `hard`, an exact draw with the gradient of the relaxed choices (straight-through).
    Bias: of a relaxation, vanishing with the temperature.  Needs: a program.  Does not need: argmax.
    Source: Fu et al. 2020, sec. 4, algorithm 2 [fu2020].
    """
    return smoothed(structure, log_potentials, GumbelSoftmaxSemiring(temperature, hard, generator), lengths)


def gumbel_softmax(
    structure: Structure, log_potentials: Any, temperature: float = 1.0, lengths: Any = None, *,
    generator: torch.Generator | None = None,
) -> Any:  # fmt: skip
    """The marginals of the potentials under Gumbel noise, `marginals((phi + G) / temperature)`; pathwise gradient.

    For `OneOf` the Gumbel-softmax (Concrete) draw itself; for other structures its perturb-and-relax form. Shaped like
    the potentials.
    Bias: of a relaxation, vanishing with the temperature.  Needs: marginals.  Does not need: argmax.
    Raises `ValueError` for a temperature that is not above 0.
    Source: Jang, Gu & Poole 2017, sec. 2 [jang2017]; Paulus et al. 2020, sec. 5 [paulus2020].
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"gumbel_softmax needs a finite temperature above 0; got {temperature}")
    door = open_door(structure, log_potentials, lengths)
    noise = [gumbel(f.shape, generator=generator, dtype=f.dtype, device=f.device) for f in door.fields]
    return marginals(
        structure, door.pack([(f + e) / temperature for f, e in zip(door.fields, noise, strict=True)]), lengths
    )
