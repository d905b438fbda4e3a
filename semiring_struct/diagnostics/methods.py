"""Every way to a gradient of an expected cost, as one list: methods register here, tables and tests read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semiring_struct import estimators, relaxations, surrogates
from semiring_struct.estimators.cost import Cost, checked
from semiring_struct.estimators.oracles import need
from semiring_struct.inference.fields import map_fields
from semiring_struct.semirings import SparsemaxSemiring


@dataclass(frozen=True)
class Method:
    """A named way to the gradient of `E[cost]`.

    `estimate(distribution, cost, generator) -> (*batch,)`: its backward gives the gradient. `family` is what it is
    listed under; `unbiased` whether its mean gradient is that of `E[cost]` under the distribution.
    """

    name: str
    family: str
    estimate: Callable[[Any, Cost, torch.Generator], Tensor]
    unbiased: bool = False


def of_event(name: str, family: str, event: Callable[[Any, torch.Generator], Any]) -> Method:
    """A method that puts one event, relaxed or with a stated backward, in place of the random one."""

    def estimate(distribution: Any, cost: Cost, generator: torch.Generator) -> Tensor:
        need(distribution, "structure", name)
        one = map_fields(lambda field: field.unsqueeze(0), event(distribution, generator))
        return checked(cost(one), (1, *distribution.batch_shape), f"{name}: cost").squeeze(0)

    return Method(name, family, estimate)


def _score(name: str, samples: int, baseline: estimators.Baseline) -> Method:
    return Method(
        name, "estimators", lambda d, c, g: estimators.score_function(d, c, samples, baseline, g), unbiased=True
    )


ESTIMATORS = (
    _score("score function", 1, estimators.NoBaseline()),
    _score("self-critic", 1, estimators.SelfCritic()),
    _score("leave-one-out, 4 draws", 4, estimators.LeaveOneOut()),
    Method("sum and sample, 3 + 1", "estimators", lambda d, c, g: estimators.sum_and_sample(d, c, 3, 1, g), True),
    Method("unordered set of 4", "estimators", lambda d, c, g: estimators.unordered_set(d, c, 4, True, g), True),
    Method("MuProp", "estimators", lambda d, c, g: estimators.muprop(d, c, 1, g), True),
    Method("REBAR", "estimators", lambda d, c, g: estimators.rebar(d, c, generator=g), True),
    Method(
        "sparsemax expectation",
        "estimators",
        lambda d, c, g: estimators.sparse_expectation(d, c, estimators.Sparsemax()),
    ),
    Method(
        "top-8 sparsemax expectation",
        "estimators",
        lambda d, c, g: estimators.sparse_expectation(d, c, estimators.TopKSparsemax(8)),
    ),
    Method(
        "SparseMAP expectation",
        "estimators",
        lambda d, c, g: estimators.sparse_expectation(d, c, estimators.SparseMAP()),
    ),
)

TRACES = (
    Method("T-REINFORCE, 4 draws", "estimators", lambda d, c, g: estimators.trace_score(d, c, 4, generator=g), True),
    Method(
        "E-REINFORCE, 4 draws",
        "estimators",
        lambda d, c, g: estimators.trace_score(d, c, 4, level=estimators.NoiseLevel(), generator=g),
        True,
    ),
)

RELAXATIONS = (
    of_event("marginals", "relaxations", lambda d, g: relaxations.marginals(d.structure, d.log_potentials, d.lengths)),
    of_event(
        "SparseMAP", "relaxations", lambda d, g: relaxations.sparsemap(d.structure, d.log_potentials, d.lengths).mean
    ),
    of_event(
        "smoothed by sparsemax",
        "relaxations",
        lambda d, g: relaxations.smoothed(d.structure, d.log_potentials, SparsemaxSemiring(), d.lengths),
    ),
    of_event(
        "perturbed, 4 draws",
        "relaxations",
        lambda d, g: relaxations.perturbed(d.structure, d.log_potentials, samples=4, lengths=d.lengths, generator=g),
    ),
    of_event(
        "Gumbel-CRF",
        "relaxations",
        lambda d, g: relaxations.gumbel_crf(d.structure, d.log_potentials, lengths=d.lengths, generator=g),
    ),
)


def _stochastic(name: str, regularizer: relaxations.Regularizer) -> Method:
    def event(distribution: Any, generator: torch.Generator) -> Any:
        return relaxations.stochastic_softmax(
            distribution.structure, distribution.log_potentials, relaxations.Gumbel(), regularizer,
            generator=generator, lengths=distribution.lengths,
        )  # fmt: skip

    return of_event(f"stochastic softmax, {name}", "relaxations", event)


STOCHASTIC = (
    _stochastic("exponential family", relaxations.ExponentialFamily()),
    _stochastic("Euclidean", relaxations.Euclidean()),
    _stochastic("categorical entropy", relaxations.CategoricalEntropy()),
    _stochastic("binary entropy", relaxations.BinaryEntropy()),
)


def _surrogate(name: str, event: Callable[..., Any]) -> Method:
    return of_event(name, "surrogates", lambda d, g: event(d.structure, d.log_potentials, lengths=d.lengths))


def _noisy_surrogate(name: str, event: Callable[..., Any]) -> Method:
    return of_event(
        name, "surrogates", lambda d, g: event(d.structure, d.log_potentials, lengths=d.lengths, generator=g)
    )


SURROGATES = (
    _surrogate("straight-through", surrogates.straight_through),
    _surrogate("marginals straight-through", surrogates.marginals_straight_through),
    _noisy_surrogate("Gumbel straight-through", surrogates.gumbel_straight_through),
    _surrogate("SPIGOT", surrogates.spigot),
    _surrogate("SPIGOT-CE", surrogates.spigot_ce),
    _surrogate("SPIGOT-EG", surrogates.spigot_eg),
    _surrogate("blackbox", surrogates.blackbox),
    _noisy_surrogate("I-MLE", surrogates.imle),
)

METHODS: tuple[Method, ...] = (*ESTIMATORS, *TRACES, *RELAXATIONS, *STOCHASTIC, *SURROGATES)
"""All methods of the library, at settings that make sense without tuning."""
