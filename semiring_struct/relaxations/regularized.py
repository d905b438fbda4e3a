"""The best point of a convex hull of events under a strongly concave objective, by regularizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.inference import marginals
from semiring_struct.inference.door import open_door
from semiring_struct.inference.fields import map_fields
from semiring_struct.inference.finite import checked
from semiring_struct.inference.infeasible import refuse_infeasible
from semiring_struct.inference.projection import project
from semiring_struct.ops import NEG_INF, capped, clipped, exponential_up_to_one, logistic, prefix_mask
from semiring_struct.ops.capped import Response
from semiring_struct.structures import BitVector, OneOf, Structure, Subset


class Regularizer(ABC):
    """A strongly convex `f` on the convex hull of events."""

    @abstractmethod
    def argmax(self, structure: Structure, utilities: Any, lengths: Any = None) -> Any:
        """`argmax <utilities, x> - f(x)` over conv(events), like the utilities, differentiable."""


@final
@dataclass(frozen=True)
class ExponentialFamily(Regularizer):
    """Minus the entropy of the Gibbs distribution with mean `x`: the answer is its marginals.

    Needs: a partition function. Source: Paulus et al. 2020, eq. 8 [paulus2020].
    """

    def argmax(self, structure: Structure, utilities: Any, lengths: Any = None) -> Any:
        """`marginals`."""
        return marginals(structure, utilities, lengths)


@final
@dataclass(frozen=True)
class Euclidean(Regularizer):
    """Half the squared norm, one coordinate per part: the answer is the projection, exactly 0 or 1 in places.

    Needs: `argmax`. `OneOf`, `BitVector` and `Subset` have a closed form. Source: Paulus et al. 2020, sec. 5
    [paulus2020]; Niculae et al. 2018, sec. 3 [niculae2018].
    """

    def argmax(self, structure: Structure, utilities: Any, lengths: Any = None) -> Any:
        """`sparsemap(...).mean`."""
        if _cut(structure) is None:
            return project(structure, utilities, lengths).mean
        return _items(structure, utilities, lengths, clipped, 0.0)


@final
@dataclass(frozen=True)
class CategoricalEntropy(Regularizer):
    """`sum x log x`: for `OneOf` (softmax), `BitVector`, and `Subset` (softmax with entries capped at 1).

    Source: Paulus et al. 2020, sec. 5 [paulus2020]; Martins & Kreutzer 2017, sec. 3 (the capped softmax) [martins2017].
    """

    def argmax(self, structure: Structure, utilities: Any, lengths: Any = None) -> Any:
        """In closed form but for one bisection."""
        return _items(structure, utilities, lengths, exponential_up_to_one, 1.0)


@final
@dataclass(frozen=True)
class BinaryEntropy(Regularizer):
    """`sum x log x + (1 - x) log(1 - x)`: for `OneOf`, `BitVector` (the sigmoid), and `Subset`.

    Source: Paulus et al. 2020, sec. 5 [paulus2020]; Amos et al. 2019, sec. 3 [amos2019].
    """

    def argmax(self, structure: Structure, utilities: Any, lengths: Any = None) -> Any:
        """In closed form but for one bisection."""
        return _items(structure, utilities, lengths, logistic, 0.0)


def regularized_argmax(
    structure: Structure, utilities: Any, regularizer: Regularizer, temperature: float = 1.0, lengths: Any = None
) -> Any:
    r"""A soft structure, like the utilities: the best point of the convex hull of events under a regularizer `f`.

    .. math:: \operatorname*{argmax}_{x \in \operatorname{conv}(\text{events})} \langle u, x \rangle - t f(x)

    `ExponentialFamily()` (any structure with a partition function), `Euclidean()` (any structure with `argmax`),
    `CategoricalEntropy()` and `BinaryEntropy()` (`OneOf`, `BitVector`, `Subset`).

    Bias: a soft event; as the temperature falls it becomes `argmax`. Needs: what the regularizer needs. Does not need:
    samples.

    Differentiable in the utilities; its Jacobian is symmetric. Raises `UnsupportedQueryError` where regularizer and
    structure do not go together, `InfeasibleError` where an instance of a set has no event. Cost: one query, or a
    bisection. Source: Paulus et al. 2020, eq. 6 [paulus2020].
    """
    if not isinstance(regularizer, Regularizer):
        raise TypeError(f"regularized_argmax needs a regularizer, such as Euclidean(); got {regularizer!r}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"regularized_argmax needs a finite temperature above 0; got {temperature}")
    return regularizer.argmax(structure, map_fields(lambda f: f / temperature, utilities), lengths)


def _cut(structure: Structure) -> tuple[int, bool] | None:
    """The sum of the items of an event, and whether it is only a bound: where conv(events) is the cube cut by that."""
    if isinstance(structure, OneOf):
        return 1, False
    if isinstance(structure, Subset):
        return structure.most, structure.k is None
    return (-1, False) if isinstance(structure, BitVector) else None


def _items(structure: Structure, utilities: Any, lengths: Any, response: Response, shift: float) -> Tensor:
    """A separable regularizer on the cube, cut or not."""
    cut = _cut(structure)
    if cut is None:
        raise UnsupportedQueryError(
            f"this entropy has a closed form on OneOf, BitVector and Subset only; for {type(structure).__name__} use "
            "ExponentialFamily() (where it has a partition function) or Euclidean(); sinkhorn for matchings"
        )
    door = checked(open_door(structure, utilities, lengths))
    (item,), (total, at_most) = door.fields, cut
    if door.lengths.shape[-1]:
        item = torch.where(prefix_mask(door.lengths[:, 0].reshape(door.batch), item.shape[-1]), item, NEG_INF)
    if total < 0:
        return door.pack([torch.where(item == NEG_INF, 0.0, response(torch.where(item == NEG_INF, 0.0, item) - shift))])
    if not at_most:
        refuse_infeasible(door, (item > NEG_INF).sum(-1) >= total)
    return door.pack([capped(item - shift, response, total, at_most).to(item.dtype)])
