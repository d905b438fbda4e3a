"""Small problems: a distribution and a cost made of parameters that may have extra leading dims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical

import semiring_struct as ss


def flat(event: Any, batch: int) -> Tensor:
    """All entries of an event `(lead, *batch, entries)`."""
    fields = event if isinstance(event, tuple) else (event,)
    return torch.cat([f.flatten(1 + batch) for f in fields], -1)


@dataclass(frozen=True)
class Problem:
    """`make(*parameters)` gives the distribution; the last parameter weighs the entries of the event in the cost."""

    name: str
    make: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    entries: int
    batch: tuple[int, ...] = (2,)

    def __str__(self) -> str:
        return self.name

    def parameters(self, seed: int = 0) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = [*self.shapes, (self.entries,)]
        return [torch.randn(*self.batch, *s, generator=generator, dtype=torch.float64) for s in shapes]

    def __call__(self, *parameters: Tensor) -> tuple[Any, Callable[[Any], Tensor]]:
        """A cost that is no polynomial of the event, with weights of its own, and looks at the potentials too."""
        *potentials, weights = parameters
        distribution = self.make(*potentials)
        batch = len(distribution.batch_shape)

        def cost(event: Any) -> Tensor:
            used = (flat(event, batch) * weights).sum(-1)
            return 3.0 + used * (1 + used.sin()) + 0.3 * potentials[0].flatten(batch).tanh().sum(-1)

        return distribution, cost


def indices(logits: Tensor) -> Categorical:
    return Categorical(logits=logits)


class OneHotIndex:
    """The cost of an index is that of its one-hot vector."""

    def __init__(self, problem: Problem):
        self.problem = problem

    def __call__(self, *parameters: Tensor) -> tuple[Any, Callable[[Any], Tensor]]:
        distribution, cost = self.problem(*parameters)
        size = parameters[0].shape[-1]
        return distribution, lambda event: cost(torch.nn.functional.one_hot(event, size).to(parameters[0].dtype))


CATEGORICAL = Problem("one-hot categorical", lambda x: OneHotCategorical(logits=x), ((4,),), 4)
INDEX = Problem("categorical", indices, ((4,),), 4)
BITS = Problem("3 bits", lambda x: Independent(Bernoulli(logits=x), 1), ((3,),), 3)
ONE_OF = Problem("OneOf", lambda x: ss.StructDistribution(ss.OneOf(), x), ((4,),), 4)
CHAIN = Problem(
    "LinearChain",
    lambda e, t: ss.StructDistribution(ss.LinearChain(), ss.ChainPotentials(e, t)),
    ((3, 2), (1, 2, 2)),
    10,
)
TREE = Problem("ProjectiveTree", lambda x: ss.StructDistribution(ss.ProjectiveTree(), x), ((4, 4),), 16, ())
BIT_VECTOR = Problem("BitVector", lambda x: ss.StructDistribution(ss.BitVector(), x), ((3,),), 3)
SUBSET = Problem("Subset", lambda x: ss.StructDistribution(ss.Subset(2), x), ((4,),), 4)
SPANNING_TREE = Problem("SpanningTree", lambda x: ss.StructDistribution(ss.SpanningTree(), x), ((4, 4),), 16, ())
ARBORESCENCE = Problem("Arborescence", lambda x: ss.StructDistribution(ss.Arborescence(), x), ((4, 4),), 16, ())
MATCHING = Problem("Matching", lambda x: ss.StructDistribution(ss.Matching(), x), ((3, 3),), 9, ())

STRUCTURES = [ONE_OF, BIT_VECTOR, SUBSET, CHAIN, TREE, SPANNING_TREE, ARBORESCENCE, MATCHING]
FLOATING = [CATEGORICAL, BITS, *STRUCTURES]
NOISY = [CATEGORICAL, BITS, ONE_OF, BIT_VECTOR]
