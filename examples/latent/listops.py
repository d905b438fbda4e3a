"""Latent trees of expressions such as `[MAX 2 [MIN 7 4 ] 0 ]`: only the value is seen, the tree is to be found.

Paulus et al. 2020, sec. 8.2 [paulus2020], at a reduced size: at most two operators deep and twelve tokens long. A
network that passes messages from dependents to heads computes the value, along arcs drawn from another's scores.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

import semiring_struct as ss
from semiring_struct import relaxations as rel

from .run import Options, Outcome, finish, options, train

DEPTH, LENGTH, MOST_ARGUMENTS, NESTED = 2, 12, 4, 0.25
TRAIN, TEST, BATCH, HIDDEN, ROUNDS, STEPS, RATE = 8000, 500, 64, 60, 3, 400, 2e-3
OPERATORS = (min, max, lambda values: int(statistics.median(values)))
CLOSE, PAD = 13, 14  # tokens 0..9 are digits, 10..12 open an operator


class Expression(NamedTuple):
    """Tokens, the place of each token's head (-1 for the first token's), and the value."""

    tokens: tuple[int, ...]
    heads: tuple[int, ...]
    value: int


class Batch(NamedTuple):
    """Expressions: tokens and heads `(batch, length)`, lengths and values `(batch,)`."""

    tokens: Tensor
    heads: Tensor
    lengths: Tensor
    values: Tensor


def grow(depth: int, head: int, place: int, source: random.Random) -> Expression:
    """An operator at `place`, hung from `head`, with all that is inside it: everything hangs from it."""
    operator = source.randrange(len(OPERATORS))
    tokens, heads, values = [10 + operator], [head], []
    for _ in range(source.randint(2, MOST_ARGUMENTS)):
        if depth > 1 and source.random() < NESTED:
            inner = grow(depth - 1, place, place + len(tokens), source)
        else:
            digit = source.randrange(10)
            inner = Expression((digit,), (place,), digit)
        tokens += inner.tokens
        heads += inner.heads
        values.append(inner.value)
    return Expression((*tokens, CLOSE), (*heads, place), OPERATORS[operator](values))


def expressions(seed: int) -> tuple[Batch, Batch]:
    """Different expressions to learn from and to judge by."""
    source, found = random.Random(seed), {}
    while len(found) < TRAIN + TEST:
        one = grow(DEPTH, -1, 0, source)
        if len(one.tokens) <= LENGTH:
            found[one.tokens] = one
    every = list(found.values())
    source.shuffle(every)
    return stacked(every[:TRAIN]), stacked(every[TRAIN:])


def stacked(some: Sequence[Expression]) -> Batch:
    """Padded to the full length."""
    tokens = [one.tokens + (PAD,) * (LENGTH - len(one.tokens)) for one in some]
    heads = [one.heads + (-1,) * (LENGTH - len(one.heads)) for one in some]
    sizes, values = [len(one.tokens) for one in some], [one.value for one in some]
    return Batch(torch.tensor(tokens), torch.tensor(heads), torch.tensor(sizes), torch.tensor(values))


def possible(batch: Batch) -> Tensor:
    """Arcs `(batch, head, dependent)` between different tokens, none into the first."""
    real = torch.arange(LENGTH) < batch.lengths[:, None]
    return real[:, :, None] & real[:, None] & ~torch.eye(LENGTH, dtype=torch.bool) & (torch.arange(LENGTH) > 0)


def true_arcs(batch: Batch) -> Tensor:
    """The tree, `(batch, head, dependent)`."""
    return (torch.arange(LENGTH)[:, None] == batch.heads[:, None]).float()


class Model(nn.Module):
    """Scores of arcs, and the value given arcs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Embedding(PAD + 1, HIDDEN)
        self.as_head, self.as_dependent = (nn.LSTM(HIDDEN, HIDDEN, batch_first=True) for _ in range(2))
        self.meaning = nn.Embedding(PAD + 1, HIDDEN)
        self.child, self.parent, self.told = (nn.Linear(HIDDEN, HIDDEN) for _ in range(3))
        self.answer = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))

    def scores(self, batch: Batch) -> Tensor:
        """Log-potentials of arcs `(batch, head, dependent)`."""
        seen = self.seen(batch.tokens)
        return self.as_head(seen)[0] @ self.as_dependent(seen)[0].mT

    def values(self, batch: Batch, arcs: Tensor) -> Tensor:
        """Scores `(batch, 10)` of the value: in each round, heads hear what their dependents know."""
        known = self.meaning(batch.tokens)
        for _ in range(ROUNDS):
            said = (self.parent(known)[:, :, None] + self.child(known)[:, None]).relu()
            known = known + self.told(torch.einsum("bhd,bhdk->bhk", arcs, said)).relu()
        return self.answer(known[:, 0])


class Method(NamedTuple):
    """Soft arcs to learn by, and hard ones to judge by, given scores."""

    soft: Callable[[Tensor, Batch, torch.Generator], Tensor]
    hard: Callable[[Tensor, Batch], Tensor]


def independent() -> Method:
    """Every arc is there or not."""
    bits = ss.BitVector()

    def entries(theta: Tensor, batch: Batch) -> Tensor:
        return torch.where(possible(batch), theta, float("-inf")).flatten(1)

    def soft(theta: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        given, law, kind = entries(theta, batch), rel.Logistic(), rel.BinaryEntropy()
        return rel.stochastic_softmax(bits, given, law, kind, generator=generator).view_as(theta)

    return Method(soft, lambda theta, batch: ss.argmax(bits, entries(theta, batch)).view_as(theta))


def arborescence() -> Method:
    """A tree below the first token; Gumbel utilities, marginals of trees."""
    trees = ss.Arborescence()

    def soft(theta: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        law, kind = rel.Gumbel(), rel.ExponentialFamily()
        return rel.stochastic_softmax(trees, theta, law, kind, generator=generator, lengths=batch.lengths - 1)

    return Method(soft, lambda theta, batch: ss.argmax(trees, theta, lengths=batch.lengths - 1))


def methods() -> dict[str, Method]:
    """By name; the true tree is there to compare with."""
    return {
        "true tree": Method(lambda theta, batch, generator: true_arcs(batch), lambda theta, batch: true_arcs(batch)),
        "independent arcs": independent(),
        "arborescence": arborescence(),
    }


def judged(model: Model, method: Method, test: Batch) -> dict[str, float]:
    """With hard arcs: precision and recall over arcs that touch no closing bracket, and the share of right values."""
    with torch.no_grad():
        arcs = method.hard(model.scores(test), test)
        accuracy = (model.values(test, arcs).argmax(-1) == test.values).float().mean()
    inner = test.tokens != CLOSE
    arcs, truth = (x * inner[:, :, None] * inner[:, None] for x in (arcs, true_arcs(test)))
    right = (arcs * truth).sum()
    scores = {"accuracy": accuracy, "precision": right / arcs.sum().clamp(min=1), "recall": right / truth.sum()}
    return {key: float(score) for key, score in scores.items()}


def run(name: str, method: Method, learn: Batch, test: Batch, chosen: Options) -> Outcome:
    """Trains one model on the values alone."""
    torch.manual_seed(chosen.seed)
    generator = torch.Generator().manual_seed(chosen.seed + 1)
    model = Model()

    def loss(step: int) -> Tensor:
        which = torch.randint(TRAIN, (BATCH,), generator=generator)
        batch = Batch(*(field[which] for field in learn))
        arcs = method.soft(model.scores(batch), batch, generator)
        return nn.functional.cross_entropy(model.values(batch, arcs), batch.values)

    steps = chosen.steps(STEPS)
    curve = train(
        name, steps, list(model.parameters()), RATE, loss, lambda: judged(model, method, test)["accuracy"], looks=5
    )
    return Outcome(name, judged(model, method, test), curve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains a model for every method."""
    chosen = options("listops", "Trees of expressions, from their values.", arguments)
    began = time.perf_counter()
    learn, test = expressions(chosen.seed)
    outcomes = [run(name, method, learn, test, chosen) for name, method in methods().items()]
    finish("listops", "Held-out expressions, with hard arcs", outcomes, chosen, began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
