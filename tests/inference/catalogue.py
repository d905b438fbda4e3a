"""Every query, relaxation, surrogate, estimator and loss on one structure: what must work on any batch and device.

Each is called with a structure, potentials and lengths (or None), and draws from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import estimators, losses, relaxations, surrogates
from tests.structures.families import FAMILIES, NATIVE, Family
from tests.structures.test_contract import fields

EACH: tuple[Family, ...] = tuple({f.structure.__class__.__name__: f for f in reversed([*FAMILIES, *NATIVE])}.values())
"""One family of each structure."""

Query = Callable[[Any, Any, Any], Any]


def noise() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(0)


def best(s: Any, phi: Any, n: Any) -> Any:
    return ss.argmax(s, phi, lengths=n)


def cost(event: Any) -> Tensor:
    """One number for each event, not the same for all: weights by position, over the last dims of each field."""
    lead = cost_dims.get()
    parts = [f.flatten(lead) if f.dim() > lead else f.unsqueeze(-1) for f in fields(event)]
    return sum(  # type: ignore[return-value]
        (p * torch.linspace(0.0, 1.0, p.shape[-1], dtype=p.dtype, device=p.device)).sum(-1) for p in parts
    )


class _Lead:
    """How many leading dims events have: a sample dim and those of the batch."""

    def __init__(self) -> None:
        self.dims = 1

    def get(self) -> int:
        return self.dims


cost_dims = _Lead()


def estimate(method: Callable[..., Any], *args: Any) -> Query:
    """An estimator of the cost under the distribution of these potentials."""

    def ask(s: Any, phi: Any, n: Any) -> Any:
        distribution = ss.StructDistribution(s, phi, n)
        cost_dims.dims = 1 + len(distribution.batch_shape)
        return method(distribution, cost, *args)

    return ask


QUERIES: dict[str, Query] = {
    "log_partition": ss.log_partition,
    "marginals": ss.marginals,
    "max_score": ss.max_score,
    "entropy": ss.entropy,
    "renyi_entropy": lambda s, phi, n: ss.renyi_entropy(s, phi, 2.0, n),
    "kl": lambda s, phi, n: ss.kl(s, phi, phi, n),
    "cross_entropy": lambda s, phi, n: ss.cross_entropy(s, phi, phi, n),
    "expectation": lambda s, phi, n: ss.expectation(s, phi, phi, n),
    "variance": lambda s, phi, n: ss.variance(s, phi, phi, n),
    "covariance_vp": lambda s, phi, n: ss.covariance_vp(s, phi, phi, n),
    "argmax": best,
    "topk": lambda s, phi, n: ss.topk(s, phi, 3, n),
    "sample": lambda s, phi, n: ss.sample(s, phi, (2,), generator=noise(), lengths=n),
    "sample_without_replacement": lambda s, phi, n: ss.sample_without_replacement(
        s, phi, 2, generator=noise(), lengths=n),
    "count": ss.count,
    "enumerate_events": lambda s, phi, n: ss.enumerate_events(s, phi, lengths=n),
    "score": lambda s, phi, n: ss.score(s, phi, best(s, phi, n)),
    "log_prob": lambda s, phi, n: ss.log_prob(s, phi, best(s, phi, n), n),
    "contains": lambda s, phi, n: ss.contains(s, phi, best(s, phi, n), n),
    "evaluate by maxima": lambda s, phi, n: ss.evaluate(s, ss.MaxSemiring(), phi, n),
    "evaluate by k best": lambda s, phi, n: ss.evaluate(s, ss.KBestSemiring(2), phi, n),
    "evaluate entropy": lambda s, phi, n: ss.evaluate(s, ss.EntropySemiring(), phi, n),
    "evaluate by a draw": lambda s, phi, n: ss.evaluate(s, ss.SampleSemiring(noise()), phi, n),
    "evaluate expectations": lambda s, phi, n: ss.evaluate(s, ss.ExpectationSemiring(), phi, n),
}  # fmt: skip
LABELS: dict[str, Query] = {
    "labels of argmax": lambda s, phi, n: ss.argmax(s, phi, True, n),
    "labels of topk": lambda s, phi, n: ss.topk(s, phi, 3, n, labels=True),
    "labels of sample": lambda s, phi, n: ss.sample(s, phi, (2,), labels=True, generator=noise(), lengths=n),
    "log_prob of labels": lambda s, phi, n: ss.log_prob(s, phi, ss.argmax(s, phi, True, n), n),
    "contains labels": lambda s, phi, n: ss.contains(s, phi, ss.argmax(s, phi, True, n), n),
    "from_labels": lambda s, phi, n: s.from_labels(ss.argmax(s, phi, True, n), phi, n),
    "nll of labels": lambda s, phi, n: losses.nll(s, phi, ss.argmax(s, phi, True, n), n),
}
RELAXATIONS: dict[str, Query] = {
    "sparsemap": relaxations.sparsemap,
    "topk_sparsemax": lambda s, phi, n: relaxations.topk_sparsemax(s, phi, 3, n),
    "perturbed": lambda s, phi, n: relaxations.perturbed(s, phi, relaxations.Gumbel(), 2, n, generator=noise()),
    "perturbed_loss": lambda s, phi, n: relaxations.perturbed_loss(
        s, phi, best(s, phi, n), samples=2, lengths=n, generator=noise()),
    "smoothed": lambda s, phi, n: relaxations.smoothed(s, phi, ss.SparsemaxSemiring(), n),
    "gumbel_crf": lambda s, phi, n: relaxations.gumbel_crf(s, phi, lengths=n, generator=noise()),
    "gumbel_softmax": lambda s, phi, n: relaxations.gumbel_softmax(s, phi, lengths=n, generator=noise()),
    "regularized by entropy": lambda s, phi, n: relaxations.regularized_argmax(
        s, phi, relaxations.ExponentialFamily(), 2.0, n),
    "regularized by squares": lambda s, phi, n: relaxations.regularized_argmax(s, phi, relaxations.Euclidean(), 2.0, n),
    "regularized by bits": lambda s, phi, n: relaxations.regularized_argmax(
        s, phi, relaxations.BinaryEntropy(), 2.0, n),
    "regularized by shares": lambda s, phi, n: relaxations.regularized_argmax(
        s, phi, relaxations.CategoricalEntropy(), 2.0, n),
    "stochastic_softmax": lambda s, phi, n: relaxations.stochastic_softmax(
        s, phi, relaxations.Logistic(), relaxations.ExponentialFamily(), generator=noise(), lengths=n),
    "finite_difference": lambda s, phi, n: relaxations.finite_difference(
        lambda s, phi: ss.marginals(s, phi, n))(s, phi),
}  # fmt: skip
SURROGATES: dict[str, Query] = {
    "straight_through": surrogates.straight_through,
    "marginals_straight_through": surrogates.marginals_straight_through,
    "gumbel_straight_through": lambda s, phi, n: surrogates.gumbel_straight_through(
        s, phi, lengths=n, generator=noise()),
    "spigot": lambda s, phi, n: surrogates.spigot(s, phi, lengths=n),
    "spigot_ce": lambda s, phi, n: surrogates.spigot_ce(s, phi, lengths=n),
    "spigot_eg": lambda s, phi, n: surrogates.spigot_eg(s, phi, lengths=n),
    "blackbox": lambda s, phi, n: surrogates.blackbox(s, phi, lengths=n),
    "imle": lambda s, phi, n: surrogates.imle(s, phi, lengths=n, generator=noise()),
}  # fmt: skip
LOSSES: dict[str, Query] = {
    "nll": lambda s, phi, n: losses.nll(s, phi, best(s, phi, n), n),
    "perceptron": lambda s, phi, n: losses.perceptron(s, phi, best(s, phi, n), n),
    "hinge": lambda s, phi, n: losses.hinge(s, phi, best(s, phi, n), lengths=n),
    "risk": lambda s, phi, n: losses.risk(s, phi, phi, n),
    "fenchel_young": lambda s, phi, n: losses.fenchel_young(ss.SoftmaxSemiring(2.0))(s, phi, best(s, phi, n), n),
    "fenchel_young of a projection": lambda s, phi, n: losses.fenchel_young(losses.EuclideanMaximum())(
        s, phi, best(s, phi, n), n),
}  # fmt: skip
ESTIMATORS: dict[str, Query] = {
    "exact": estimate(estimators.exact),
    "sparsemax": estimate(estimators.sparse_expectation, estimators.Sparsemax()),
    "top-k sparsemax": estimate(estimators.sparse_expectation, estimators.TopKSparsemax(2)),
    "sparsemap expectation": estimate(estimators.sparse_expectation, estimators.SparseMAP()),
    "score_function": estimate(lambda d, c: estimators.score_function(d, c, 2, generator=noise())),
    "self-critic": estimate(lambda d, c: estimators.score_function(d, c, 2, estimators.SelfCritic(), noise())),
    "moving average": estimate(lambda d, c: estimators.score_function(d, c, 2, estimators.MovingAverage(), noise())),
    "muprop": estimate(lambda d, c: estimators.muprop(d, c, 2, noise())),
    "sum_and_sample": estimate(lambda d, c: estimators.sum_and_sample(d, c, 1, 2, noise())),
    "unordered_set": estimate(lambda d, c: estimators.unordered_set(d, c, 2, True, noise())),
    "vimco": estimate(lambda d, c: estimators.vimco(d, c, 2, noise())),
    "rebar": estimate(lambda d, c: estimators.rebar(d, c, generator=noise())),
    "relax": estimate(lambda d, c: estimators.relax(d, c, lambda u: u.sum(-1), generator=noise())),
}
DISTRIBUTIONS: dict[str, Query] = {
    "entropy of a distribution": lambda s, phi, n: ss.StructDistribution(s, phi, n).entropy(),
    "variance of a distribution": lambda s, phi, n: ss.StructDistribution(s, phi, n).variance,
    "mode": lambda s, phi, n: ss.StructDistribution(s, phi, n).mode,
    "log_prob of the mode": lambda s, phi, n: (d := ss.StructDistribution(s, phi, n)).log_prob(d.mode),
    "kl of distributions": lambda s, phi, n: torch.distributions.kl_divergence(
        *[ss.StructDistribution(s, phi, n)] * 2),
}  # fmt: skip
ALL = {**QUERIES, **LABELS, **RELAXATIONS, **SURROGATES, **LOSSES, **ESTIMATORS, **DISTRIBUTIONS}


def tensors(value: Any) -> list[Tensor]:
    """The tensors of an answer, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in tensors(part)] if isinstance(value, (tuple, list)) else []
