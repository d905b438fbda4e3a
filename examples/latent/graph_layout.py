"""Latent graphs of a layout: points move as a spring layout of an unknown tree moves them; which edges has the tree?

Paulus et al. 2020, sec. 8.1 [paulus2020] (neural relational inference), and the estimator of Struminsky et al. 2021,
sec. 5.2 [struminsky2021], at a reduced size: six vertices, ten frames, one step predicted at a time, and no messages
where there is no edge. Pairs without an edge tell something of the motion as well, and some starts settle on those:
each method has several, the one of best bound on graphs held out is shown, with the precision of all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

import semiring_struct as ss
from semiring_struct import estimators as est
from semiring_struct import relaxations as rel

from .run import Options, Outcome, finish, options, train

VERTICES, FRAMES, HIDDEN, BATCH = 6, 10, 64, 32
TRAIN, TEST, STEPS, STARTS, VARIANCE, DRAWS = 5000, 300, 300, 4, 5e-5, 8
ROWS, COLUMNS = torch.triu_indices(VERTICES, VERTICES, 1)


class Layouts(NamedTuple):
    """Positions `(graphs, frames, vertices, 2)` in [-1, 1], and the edges `(graphs, vertices, vertices)`, both ways."""

    frames: Tensor
    edges: Tensor


def layouts(graphs: int, generator: torch.Generator) -> Layouts:
    """Trees of least weight under random weights, and the frames of their layout, from random positions."""
    kruskal = ss.traces.Kruskal()
    rates = torch.zeros(graphs, VERTICES, VERTICES)
    tree = kruskal.event(kruskal.sample(rates, generator=generator)).float()
    edges = tree + tree.mT
    place = torch.randn(graphs, VERTICES, 2, generator=generator, dtype=torch.float64)
    frames = []
    for _ in range(FRAMES):
        place = moved(place, edges.double())
        frames.append(place)
    return Layouts(torch.stack(frames, 1).float(), edges)


def moved(place: Tensor, edges: Tensor) -> Tensor:
    """One step of the Fruchterman-Reingold layout as networkx takes it: a unit step along the force, then rescaling."""
    apart = place[..., :, None, :] - place[..., None, :, :]
    distance = apart.norm(dim=-1).clamp(min=0.01)
    n = place.shape[-2]
    pull = 1 / (n * distance.square()) - edges * distance * n**0.5
    force = (apart * pull[..., None]).sum(-2)
    length = force.norm(dim=-1, keepdim=True)
    length = torch.where(length < 0.01, 0.1, length)
    step = 0.1 * (place.amax(-2) - place.amin(-2)).amax(-1)
    place = place + force / length * step[..., None, None]
    place = place - place.mean(-2, keepdim=True)
    return place / place.abs().amax((-1, -2), keepdim=True)


def two_layers(width: int, out: int) -> nn.Sequential:
    """A perceptron."""
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, out), nn.ELU())


class Normalised(nn.Module):
    """A perceptron whose outputs are normalised over the batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers, self.norm = two_layers(width, HIDDEN), nn.BatchNorm1d(HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layers(x).flatten(0, -2)).unflatten(0, x.shape[:-1])


def pairs(vertex: Tensor) -> Tensor:
    """Features `(..., n, h)` of vertices to `(..., n, n, 2 h)` of ordered pairs."""
    wide = (*vertex.shape[:-1], vertex.shape[-2], vertex.shape[-1])
    return torch.cat((vertex[..., :, None, :].expand(wide), vertex[..., None, :, :].expand(wide)), -1)


class Model(nn.Module):
    """The encoder, from frames to scores of edges, and the decoder, from a frame and edges to the next frame."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = Normalised(2 * FRAMES), Normalised(2 * HIDDEN)
        self.second, self.third = Normalised(HIDDEN), Normalised(3 * HIDDEN)
        self.edge = nn.Linear(HIDDEN, 1)
        self.message = two_layers(4, HIDDEN)
        self.move = nn.Sequential(nn.Linear(2 + HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
        self.apart = 1 - torch.eye(VERTICES)

    def scores(self, frames: Tensor) -> Tensor:
        """One score for each ordered pair, `(batch, n, n)`."""
        vertex = self.embed(frames.transpose(1, 2).flatten(2))
        edge = self.first(pairs(vertex))
        vertex = self.second((edge * self.apart[..., None]).sum(-3))
        return self.edge(self.third(torch.cat((pairs(vertex), edge), -1))).squeeze(-1)

    def error(self, frames: Tensor) -> Callable[[Tensor], Tensor]:
        """Minus the log-likelihood per vertex `(draws, batch)`, but for a constant, given edges `(draws, batch, n, n)`.

        Each frame is predicted from the true one before it.
        """
        now, target = frames[:, :-1], frames[:, 1:]
        messages = self.message(pairs(now))

        def given(edges: Tensor) -> Tensor:
            heard = torch.einsum("sbij,btijh->sbtjh", edges * self.apart, messages)
            guess = now + self.move(torch.cat((now.expand(len(edges), *now.shape), heard), -1))
            return (guess - target).square().sum((-1, -2, -3)) / (2 * VARIANCE * VERTICES)

        return given


class Method(NamedTuple):
    """How edges are drawn while learning, how hard ones are for the test, the divergence from the prior, and the rate.

    The learning rate is the best of 0.002, 0.005 and 0.01 by the bound that one start reached.
    """

    loss: Callable[[Tensor, Callable[[Tensor], Tensor], torch.Generator], Tensor]
    hard: Callable[[Tensor, torch.Generator], Tensor]
    divergence: Callable[[Tensor], Tensor]
    rate: float


def both_ways(edges: Tensor) -> Tensor:
    """Edges `[i, j]`, i < j, in both directions."""
    return edges + edges.mT


def as_matrix(entries: Tensor) -> Tensor:
    """Entries `(..., pairs)`, i < j, as a symmetric matrix."""
    flat = entries.new_zeros(*entries.shape[:-1], VERTICES, VERTICES)
    flat[..., ROWS, COLUMNS] = entries
    return both_ways(flat)


def undirected(theta: Tensor) -> Tensor:
    """The scores `(batch, pairs)` of unordered pairs."""
    return ((theta + theta.mT) / 2)[..., ROWS, COLUMNS]


def gumbel_divergence(theta: Tensor) -> Tensor:
    """Of the utilities of unordered pairs; that of exponential noise is the same."""
    return rel.Gumbel().kl(undirected(theta)).sum(-1)


def independent() -> Method:
    """Every ordered pair has an edge or not."""
    bits, law = ss.BitVector(), rel.Logistic()

    def loss(theta: Tensor, error: Callable[[Tensor], Tensor], generator: torch.Generator) -> Tensor:
        soft = rel.stochastic_softmax(bits, theta.flatten(1), law, rel.BinaryEntropy(), generator=generator)
        return error(soft.unflatten(1, theta.shape[1:])[None])[0]

    def hard(theta: Tensor, generator: torch.Generator) -> Tensor:
        return ss.argmax(bits, law.draw(theta.flatten(1), generator=generator)).unflatten(1, theta.shape[1:])

    def divergence(theta: Tensor) -> Tensor:
        return (law.kl(theta) * (1 - torch.eye(VERTICES))).sum((-1, -2))

    return Method(loss, hard, divergence, 0.002)


def relaxed(structure: ss.Structure, part: Callable[[Tensor], Tensor], edges: Callable[[Tensor], Tensor]) -> Method:
    """Unordered pairs with Gumbel utilities: a soft structure to learn, the best one to test."""
    law = rel.Gumbel()

    def loss(theta: Tensor, error: Callable[[Tensor], Tensor], generator: torch.Generator) -> Tensor:
        soft = rel.stochastic_softmax(structure, part(theta), law, rel.ExponentialFamily(), generator=generator)
        return error(edges(soft)[None])[0]

    def hard(theta: Tensor, generator: torch.Generator) -> Tensor:
        return edges(ss.argmax(structure, law.draw(part(theta), generator=generator)))

    return Method(loss, hard, gumbel_divergence, 0.01)


def traced() -> Method:
    """Trees that Kruskal's algorithm builds on noise, learnt by the score of its trace (T-REINFORCE+)."""

    def trees(theta: Tensor) -> ss.TraceDistribution:
        return ss.TraceDistribution(ss.traces.Kruskal(), (theta + theta.mT) / 2)

    def loss(theta: Tensor, error: Callable[[Tensor], Tensor], generator: torch.Generator) -> Tensor:
        return est.trace_score(trees(theta), lambda tree: error(both_ways(tree)), DRAWS, generator=generator)

    def hard(theta: Tensor, generator: torch.Generator) -> Tensor:
        law = trees(theta)
        return both_ways(law.event(law.sample(generator=generator)))

    return Method(loss, hard, gumbel_divergence, 0.005)


def methods() -> dict[str, Method]:
    """By name."""
    return {
        "independent edges": independent(),
        "top |V| - 1": relaxed(ss.Subset(k=VERTICES - 1), undirected, as_matrix),
        "spanning tree": relaxed(ss.SpanningTree(), lambda theta: (theta + theta.mT) / 2, both_ways),
        "T-REINFORCE+": traced(),
    }


class Data(NamedTuple):
    """Graphs to learn from, to choose a start by, and to judge it."""

    learn: Layouts
    choose: Layouts
    test: Layouts


def judged(model: Model, method: Method, graphs: Layouts) -> dict[str, float]:
    """The bound, precision and recall of one hard draw per graph."""
    model.eval()
    with torch.no_grad():
        theta = model.scores(graphs.frames)
        edges = method.hard(theta, torch.Generator().manual_seed(7)) * (1 - torch.eye(VERTICES))
        error = model.error(graphs.frames)(edges[None])[0]
        bound = -(error + method.divergence(theta) / VERTICES).mean()
    model.train()
    right = (edges * graphs.edges).sum()
    scores = {"bound": bound, "precision": right / edges.sum().clamp(min=1), "recall": right / graphs.edges.sum()}
    return {key: float(score) for key, score in scores.items()}


def start(name: str, method: Method, data: Data, seed: int, steps: int) -> tuple[float, Outcome]:
    """Trains one model; its bound on the graphs to choose by, and its scores on the others."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    model = Model()

    def loss(step: int) -> Tensor:
        frames = data.learn.frames[torch.randint(TRAIN, (BATCH,), generator=generator)]
        theta = model.scores(frames)
        error = method.loss(theta, model.error(frames), generator)
        return (error + method.divergence(theta) / VERTICES).mean()

    def precision() -> float:
        return judged(model, method, data.test)["precision"]

    curve = train(name, steps, list(model.parameters()), method.rate, loss, precision, looks=3)
    return judged(model, method, data.choose)["bound"], Outcome(name, judged(model, method, data.test), curve)


def run(name: str, method: Method, data: Data, chosen: Options) -> Outcome:
    """The start of best bound, and the precision of all starts."""
    starts = [
        start(f"{name} {number + 1}", method, data, chosen.seed + 100 * number, chosen.steps(STEPS))
        for number in range(chosen.few(STARTS))
    ]
    best = max(starts, key=lambda found: found[0])[1]
    precision = [outcome.scores["precision"] for _, outcome in starts]
    found = {"least prec.": min(precision), "mean prec.": sum(precision) / len(precision)}
    return Outcome(name, {**best.scores, **found}, best.curve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains a model for every method."""
    chosen = options("graph_layout", "The edges of trees, from the way their layout moves.", arguments)
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(chosen.seed)
    data = Data(*(layouts(graphs, generator) for graphs in (TRAIN, TEST, TEST)))
    outcomes = [run(name, method, data, chosen) for name, method in methods().items()]
    title = "Edges of held-out graphs, best start of some: one hard draw each (chance precision 0.333)"
    finish("graph_layout", title, outcomes, chosen, began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
