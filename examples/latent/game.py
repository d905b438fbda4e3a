"""A communication game: one player sees an image and sends one word, another must pick the image among sixteen.

The word is a categorical latent variable of 64 values. Correia et al. 2020, sec. 5.2 [correia2020], at a reduced size
and on random images: dense and sparse marginalisation, the score function with each baseline, Gumbel relaxations.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import semiring_struct as ss
from semiring_struct import estimators as est

from .run import Options, Outcome, finish, options, train

IMAGES, SIZE, CHOICES, WORDS, HIDDEN, BATCH = 200, 64, 16, 64, 64, 64
STEPS, NOISE, RATE = 400, 0.1, 5e-3


class Players(nn.Module):
    """The sender's scores of words, and the receiver's log-probabilities of candidates."""

    def __init__(self, divide: float) -> None:
        super().__init__()
        self.divide = divide
        self.sender = nn.Sequential(nn.Linear(SIZE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WORDS, bias=False))
        self.words = nn.Linear(WORDS, HIDDEN, bias=False)
        nn.init.normal_(self.words.weight, std=HIDDEN**-0.5)  # as embeddings start: words sound different at once
        self.look = nn.Linear(SIZE, HIDDEN, bias=False)
        self.guess = nn.Linear(SIZE, 1)  # for a learned baseline

    def send(self, target: Tensor) -> Tensor:
        """Log-potentials `(batch, words)`."""
        return self.sender(target) / self.divide

    def receive(self, word: Tensor, candidates: Tensor) -> Tensor:
        """Words `(samples, batch, words)` and candidates `(batch, choices, size)` -> `(samples, batch, choices)`."""
        return torch.einsum("sbh,bch->sbc", self.words(word), self.look(candidates)).log_softmax(-1)


@dataclass(frozen=True)
class Round:
    """One batch of games: what the sender sees, what the receiver chooses from, which one is right."""

    target: Tensor
    candidates: Tensor
    right: Tensor


def play(images: Tensor, batch: int, generator: torch.Generator) -> Round:
    """Sixteen different images, each seen with noise by either player."""
    order = torch.rand(batch, IMAGES, generator=generator).argsort(-1)[:, :CHOICES]
    right = torch.randint(CHOICES, (batch,), generator=generator)
    shown = images[order]
    candidates = shown + NOISE * torch.randn(shown.shape, generator=generator)
    target = shown[torch.arange(batch), right]
    return Round(target + NOISE * torch.randn(target.shape, generator=generator), candidates, right)


Method = Callable[[Players, Round, torch.Generator, est.CountedCost], Tensor]


def cost_of(players: Players, game: Round) -> est.CountedCost:
    """Minus the log-probability of the right candidate, for words `(samples, batch, words)`."""

    def cost(word: Tensor) -> Tensor:
        said = players.receive(word, game.candidates)
        return -said.gather(-1, game.right.expand(said.shape[:2])[..., None]).squeeze(-1)

    return est.CountedCost(cost)


def score(samples: int, baseline: est.Baseline) -> Method:
    """The score function."""

    def loss(players: Players, game: Round, generator: torch.Generator, cost: est.CountedCost) -> Tensor:
        words = ss.StructDistribution(ss.OneOf(), players.send(game.target))
        return est.score_function(words, cost, samples, baseline, generator=generator)

    return loss


def listed(estimator: Callable[..., Tensor], *settings: Any) -> Method:
    """A method that lists all words, of torch's own distribution over them."""

    def loss(players: Players, game: Round, generator: torch.Generator, cost: est.CountedCost) -> Tensor:
        words = torch.distributions.OneHotCategorical(logits=players.send(game.target))
        return estimator(words, cost, *settings)

    return loss


def relaxed(draw: Callable[..., Tensor]) -> Method:
    """A method whose word has a gradient."""

    def loss(players: Players, game: Round, generator: torch.Generator, cost: est.CountedCost) -> Tensor:
        return cost(draw(ss.OneOf(), players.send(game.target), 1.0, generator=generator)[None])[0]

    return loss


def learned(players: Players, game: Round, generator: torch.Generator, cost: est.CountedCost) -> Tensor:
    """The score function with a baseline that a network learns from what the sender sees (NVIL)."""
    guess = est.Learned(players.guess(game.target).squeeze(-1))
    words = ss.StructDistribution(ss.OneOf(), players.send(game.target))
    return est.score_function(words, cost, 1, guess, generator=generator)


class Setting(NamedTuple):
    """A method, what the sender's scores are divided by, and the weight of the entropy of words, which is rewarded.

    Sparse scores are divided by 10, as in the paper, since a word that has no weight early is never tried again.
    """

    method: Method
    divide: float = 1.0
    entropy: float = 0.05


def methods() -> dict[str, Setting]:
    """By name; the weights of the entropy are close to those of the paper."""
    return {
        "dense": Setting(listed(est.exact), entropy=0.1),
        "sparsemax": Setting(listed(est.sparse_expectation, est.Sparsemax()), divide=10.0, entropy=0.0),
        "SFE": Setting(score(1, est.NoBaseline())),
        "SFE, moving average": Setting(score(1, est.MovingAverage())),
        "SFE, self-critic": Setting(score(1, est.SelfCritic())),
        "SFE, learned": Setting(learned),
        "SFE, leave one out of 4": Setting(score(4, est.LeaveOneOut())),
        "Gumbel": Setting(relaxed(ss.relaxations.gumbel_softmax), entropy=0.01),
        "ST-Gumbel": Setting(relaxed(ss.surrogates.gumbel_straight_through), entropy=0.01),
    }


def success(players: Players, images: Tensor, seed: int) -> float:
    """The share of 2000 games won when the likeliest word is sent and the likeliest candidate chosen."""
    with torch.no_grad():
        game = play(images, 2000, torch.Generator().manual_seed(seed))
        word = ss.argmax(ss.OneOf(), players.send(game.target))
        return float((players.receive(word[None], game.candidates)[0].argmax(-1) == game.right).float().mean())


def run(name: str, setting: Setting, images: Tensor, chosen: Options) -> Outcome:
    """Trains both players by one method."""
    torch.manual_seed(chosen.seed)
    generator = torch.Generator().manual_seed(chosen.seed + 1)
    players = Players(setting.divide)
    calls: list[int] = []

    def loss(step: int) -> Tensor:
        game = play(images, BATCH, generator)
        cost = cost_of(players, game)
        value = setting.method(players, game, generator, cost).mean()
        calls.append(cost.events)
        return value - setting.entropy * ss.entropy(ss.OneOf(), players.send(game.target)).float().mean()

    steps = chosen.steps(STEPS)
    curve = train(name, steps, list(players.parameters()), RATE, loss, lambda: success(players, images, 7), looks=5)
    late = calls[-max(1, len(calls) // 10) :]
    return Outcome(name, {"success": curve[-1][1], "calls": sum(late) / len(late)}, curve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays the game with every method."""
    chosen = options("game", "A communication game with one categorical word; chance is 1/16.", arguments)
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(chosen.seed)
    images = torch.randn(IMAGES, SIZE, generator=generator)
    outcomes = [run(name, setting, images, chosen) for name, setting in methods().items()]
    finish("game", "Games won (chance 0.062), and decoder calls per game at the end", outcomes, chosen, began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
