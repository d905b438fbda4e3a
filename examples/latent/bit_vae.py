"""A variational autoencoder whose code is a vector of bits, on scikit-learn's handwritten digits (8x8, values 0..16).

Correia et al. 2020, sec. 5.3 [correia2020], at a reduced size: sparse distributions over codes against samples of
independent bits, in the plane of rate and distortion. With 12 bits all codes can be listed, so that the likelihood of
test images is exact.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from sklearn.datasets import load_digits
from torch import Tensor, nn

import semiring_struct as ss
from semiring_struct import estimators as est

from .run import Options, Outcome, finish, options, train

PIXELS, LEVELS, BITS, HIDDEN, BATCH = 64, 16, 12, 64, 64
TRAIN, STEPS, DRAWS, KEPT = 1500, 1000, 16, 10
PRIOR = BITS * math.log(2)  # minus the log-probability of any code: the prior is uniform


class Images(NamedTuple):
    """Counts `(images, pixels)` in 0..16."""

    train: Tensor
    test: Tensor


def digits(seed: int) -> Images:
    """1500 images to learn from, the other 297 held out, in an order that the seed draws."""
    images = torch.tensor(load_digits(return_X_y=True)[0], dtype=torch.float32)
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))]
    return Images(images[:TRAIN], images[TRAIN:])


class Model(nn.Module):
    """Log-odds of bits given an image, and of the pixels' binomials given bits, at first those of the average image."""

    def __init__(self, average: Tensor) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, BITS))
        pixels = nn.Linear(HIDDEN, PIXELS)
        # a decoder without it pulls all codes one way at first, and sparse distributions end on the same few codes
        with torch.no_grad():
            pixels.bias.copy_(((average + 0.05) / (LEVELS + 0.1)).logit())
        self.decoder = nn.Sequential(nn.Linear(BITS, HIDDEN), nn.ReLU(), pixels)
        self.guess = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))  # a learned baseline

    def bits(self, images: Tensor) -> Tensor:
        """Log-potentials `(batch, bits)`."""
        return self.encoder(images / LEVELS)

    def cost(self, images: Tensor) -> est.CountedCost:
        """Minus the log-likelihood `(codes, batch)` of images under codes `(codes, batch, bits)`."""
        return est.CountedCost(lambda code: -log_likelihood(self.decoder(code), images).sum(-1))

    def likelihood(self, images: Tensor) -> Tensor:
        """Exact log-likelihood `(batch,)`, over all codes."""
        codes = ss.enumerate_events(ss.BitVector(), torch.zeros(BITS))
        logits = self.decoder(codes)
        each = images @ logits.mT - LEVELS * nn.functional.softplus(logits).sum(-1) + ways(images).sum(-1, keepdim=True)
        return each.logsumexp(-1) - PRIOR


def ways(images: Tensor) -> Tensor:
    """The log of the binomial coefficients."""
    return math.lgamma(LEVELS + 1) - torch.lgamma(images + 1) - torch.lgamma(LEVELS - images + 1)


def log_likelihood(logits: Tensor, images: Tensor) -> Tensor:
    """Of each pixel, a number of successes in 16 trials."""
    return images * logits - LEVELS * nn.functional.softplus(logits) + ways(images)


class Bound(NamedTuple):
    """What is minimised, rate plus distortion `(batch,)`; and the decoder calls per image that it took."""

    rate: Tensor
    distortion: Tensor
    calls: float


class Method(NamedTuple):
    """How a model is trained, which distribution over codes it is judged by, and the learning rate.

    The rate is the best of 0.002, 0.005 and 0.01 by the bound that the method reached under another seed.
    """

    learn: Callable[[Model, Tensor, torch.Generator], Bound]
    judge: Callable[[Model, Tensor, torch.Generator], Bound]
    rate: float = 0.01


def sparse(structure: ss.Structure, kind: est.SparseKind, shift: float = 0.0) -> Method:
    """All codes of a sparse distribution, with their weights; it has no noise, in training or after."""

    def bound(model: Model, images: Tensor, generator: torch.Generator) -> Bound:
        codes, weights = kind.support(ss.StructDistribution(structure, model.bits(images) + shift))
        used = weights > 0
        rate = PRIOR + (weights * torch.where(used, weights, 1.0).log()).sum(0)
        distortion = (weights * model.cost(images)(codes)).sum(0)
        return Bound(rate, distortion, float(used.detach().sum(0).float().mean()))

    return Method(bound, bound, rate=0.005)


def bits_rate(model: Model, images: Tensor) -> Tensor:
    """The divergence of independent bits from the prior."""
    return PRIOR - ss.entropy(ss.BitVector(), model.bits(images))


def sampled(
    estimate: Callable[[Model, Tensor, est.CountedCost, torch.Generator], Tensor], rate: float = 0.01
) -> Method:
    """Independent bits, whose expected distortion is estimated in some way; judged by draws."""

    def learn(model: Model, images: Tensor, generator: torch.Generator) -> Bound:
        cost = model.cost(images)
        distortion = estimate(model, images, cost, generator)
        return Bound(bits_rate(model, images), distortion, cost.events)

    def judge(model: Model, images: Tensor, generator: torch.Generator) -> Bound:
        draws = ss.sample(ss.BitVector(), model.bits(images), DRAWS, generator=generator)
        return Bound(bits_rate(model, images), model.cost(images)(draws).mean(0), DRAWS)

    return Method(learn, judge, rate)


def score(samples: int, baseline: est.Baseline, rate: float = 0.01) -> Method:
    """The score function."""

    def estimate(model: Model, images: Tensor, cost: est.CountedCost, generator: torch.Generator) -> Tensor:
        codes = ss.StructDistribution(ss.BitVector(), model.bits(images))
        return est.score_function(codes, cost, samples, baseline, generator=generator)

    return sampled(estimate, rate)


def learned() -> Method:
    """The score function with a baseline that a network learns from the image, on top of a moving average (NVIL)."""
    average = est.MovingAverage()

    def estimate(model: Model, images: Tensor, cost: est.CountedCost, generator: torch.Generator) -> Tensor:
        codes = ss.StructDistribution(ss.BitVector(), model.bits(images))
        baseline = est.Learned(model.guess(images / LEVELS).squeeze(-1), average)
        return est.score_function(codes, cost, 1, baseline, generator=generator)

    return sampled(estimate)


def relaxed(draw: Callable[..., Tensor]) -> Method:
    """Bits as choices of two options each, whose draw has a gradient."""

    def estimate(model: Model, images: Tensor, cost: est.CountedCost, generator: torch.Generator) -> Tensor:
        on = model.bits(images)
        code = draw(ss.OneOf(), torch.stack((on, torch.zeros_like(on)), -1), 1.0, generator=generator)[..., 0]
        return cost(code[None])[0]

    return sampled(estimate)


def methods() -> dict[str, Method]:
    """By name."""
    return {
        "top-k sparsemax": sparse(ss.BitVector(), est.TopKSparsemax(KEPT)),
        # on and off are both squared, so that a bit of log-odds 0 is half on
        "SparseMAP, budget": sparse(ss.Subset(at_most=BITS // 2), est.SparseMAP(curvature=2.0), shift=1.0),
        "SFE": score(1, est.NoBaseline(), rate=0.005),
        "SFE, moving average": score(1, est.MovingAverage()),
        "SFE+, self-critic": score(1, est.SelfCritic()),
        "SFE+, leave one out of 4": score(4, est.LeaveOneOut()),
        "NVIL": learned(),
        "Gumbel": relaxed(ss.relaxations.gumbel_softmax),
        "ST-Gumbel": relaxed(ss.surrogates.gumbel_straight_through),
    }


def run(name: str, method: Method, images: Images, chosen: Options) -> Outcome:
    """Trains one model, and judges it on the images held out."""
    torch.manual_seed(chosen.seed)
    generator = torch.Generator().manual_seed(chosen.seed + 1)
    model = Model(images.train.mean(0))
    calls: list[float] = []

    def loss(step: int) -> Tensor:
        batch = images.train[torch.randint(TRAIN, (BATCH,), generator=generator)]
        bound = method.learn(model, batch, generator)
        calls.append(bound.calls)
        return (bound.rate + bound.distortion).mean()

    def judged() -> Bound:
        with torch.no_grad():
            return method.judge(model, images.test, torch.Generator().manual_seed(7))

    def total(bound: Bound) -> float:
        return float((bound.rate + bound.distortion).mean())

    curve = train(
        name, chosen.steps(STEPS), list(model.parameters()), method.rate, loss,
        lambda: total(judged()), looks=5,
    )  # fmt: skip
    with torch.no_grad():
        bound, likelihood = judged(), model.likelihood(images.test)
    late = calls[-max(1, len(calls) // 10) :]
    scores = {
        "rate": float(bound.rate.mean()),
        "distortion": float(bound.distortion.mean()),
        "bound": curve[-1][1],
        "exact NLL": -float(likelihood.mean()),
        "calls": sum(late) / len(late),
    }
    return Outcome(name, scores, curve)


def plane(outcomes: Sequence[Outcome]) -> Callable[[Axes], None]:
    """The rate-distortion plane: down is better, and so is left."""

    def draw(axes: Axes) -> None:
        for outcome in outcomes:
            rate, distortion = outcome.scores["rate"], outcome.scores["distortion"]
            axes.plot(rate, distortion, "o")
            axes.annotate(outcome.method, (rate, distortion), fontsize=7)
        axes.set(xlabel="rate (nats)", ylabel="distortion (nats)")

    return draw


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains a model by every method."""
    chosen = options("bit_vae", "Autoencoders of digits with a code of 12 bits.", arguments)
    began = time.perf_counter()
    images = digits(chosen.seed)
    outcomes = [run(name, method, images, chosen) for name, method in methods().items()]
    title = "Nats per test image, and decoder calls per image at the end of training"
    finish("bit_vae", title, outcomes, chosen, began, plane(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
