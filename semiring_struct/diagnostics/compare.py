"""`compare_gradients`: which method should I use here?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semiring_struct.diagnostics.measure import Problem, distribution_of, estimates, measure, truth
from semiring_struct.diagnostics.methods import METHODS, Method
from semiring_struct.estimators import CountedCost
from semiring_struct.estimators.cost import Cost
from semiring_struct.inference.fields import fields_of, map_fields, pack_like
from semiring_struct.structures import Structure


@dataclass(frozen=True)
class Row:
    """One method's gradient, measured over all instances together.

    `bias` is the length of (mean gradient - exact gradient), `bias_error` how long that is expected to be by chance
    alone; `cosine` that of the angle between the two, which no scale of the gradient changes; `variance` sums the
    variances of the entries of one estimate; `events` is how many events per instance the cost is evaluated on,
    `seconds` the time of one estimate and its backward pass (made many at a time).
    """

    name: str
    family: str
    unbiased: bool
    bias: float
    bias_error: float
    cosine: float
    variance: float
    events: float
    seconds: float


@dataclass(frozen=True, repr=False)
class GradientComparison:
    """Rows in the order of the methods, and why the others do not apply: `refused` maps their names to reasons."""

    exact: Tensor
    trials: int
    rows: tuple[Row, ...]
    refused: dict[str, str]

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def __repr__(self) -> str:
        width = max([len("method"), *(len(row.name) for row in self.rows)])
        head = (
            f"{'method':<{width}}  {'bias':>9} {'(chance)':>10} {'cosine':>7} {'variance':>10} {'events':>7} {'ms':>8}"
        )
        body = [
            f"{row.name:<{width}}  {row.bias:>9.4f} {f'({row.bias_error:.4f})':>10} {row.cosine:>7.3f} "
            f"{row.variance:>10.4f} {row.events:>7g} {1e3 * row.seconds:>8.3f}"
            for row in self.rows
        ]
        size = float(self.exact.square().sum().sqrt())
        title = f"exact gradient of length {size:.4f}; {self.trials} estimates by each method"
        refused = [f"not here: {name} ({reason})" for name, reason in self.refused.items()]
        return "\n".join([title, head, *body, *refused])

    def plot(self, ax: Any = None) -> Any:
        """Bias across, standard deviation of one estimate up, both on log scales; returns the matplotlib axes.

        A bias below what chance alone makes is drawn at that. Needs matplotlib: `pip install semiring-struct[plot]`.
        """
        if ax is None:
            try:
                from matplotlib import pyplot
            except ImportError as error:
                raise ImportError("plot needs matplotlib: pip install semiring-struct[plot]") from error
            ax = pyplot.subplots(figsize=(7, 5))[1]
        floor = 1e-3 * max(float(self.exact.square().sum().sqrt()), 1e-9)
        for row in self.rows:
            across, up = max(row.bias, row.bias_error, floor), max(row.variance**0.5, floor)
            ax.scatter(across, up, marker="o" if row.unbiased else "x")
            ax.annotate(row.name, (across, up), xytext=(4, 4), textcoords="offset points", fontsize=8)
        ax.set(
            xscale="log", yscale="log", xlabel="bias of the gradient", ylabel="standard deviation of one estimate",
            title="o unbiased   x another objective",
        )  # fmt: skip
        return ax


def compare_gradients(
    structure: Structure,
    phi: Any,
    cost: Cost,
    methods: Sequence[Method] | None = None,
    trials: int = 1000,
    *,
    lengths: Any = None,
    generator: torch.Generator | None = None,
) -> GradientComparison:
    """Bias, variance, cost calls and time of gradients of `E[cost]` in `phi`, by every method that applies.

    Args:
        structure, phi, lengths: as for every query, or an algorithm of `ss.traces` and its log-rates; small enough to
            enumerate, or `cost` an `AdditiveCost`, whose exact gradient is the program's.
        cost: `cost(event) -> (samples, *batch)`; it is called with events of more batch dims than `phi` has, one for
            the trials, ahead of the others. Methods that need it between events call it there.
        methods: `Method` objects; None takes all of the library, `ss.diagnostics.METHODS`.
        trials: how many independent estimates are made by each.

    Returns a table (its repr), with `plot(ax=None)`. A method that refuses, by `NotImplementedError` or `ValueError`,
    is listed with its reason. Cost: `trials` times that of each method.
    """
    if trials < 2:
        raise ValueError(f"compare_gradients needs trials of at least 2 for a variance; got {trials}")
    fields = [f.detach() for f in fields_of(phi)]
    generator = torch.Generator(fields[0].device).manual_seed(0) if generator is None else generator
    values = distribution_of(structure, phi, lengths).batch_shape.numel()
    exact = truth(_problem(structure, phi, lengths, cost), fields)
    rows, refused = [], {}
    for method in METHODS if methods is None else methods:
        try:
            rows.append(_row(method, structure, phi, lengths, cost, exact, values, trials, generator))
        except (NotImplementedError, ValueError) as error:
            refused[method.name] = str(error)
    return GradientComparison(exact[values:], trials, tuple(rows), refused)


def _problem(structure: Structure, phi: Any, lengths: Any, cost: Cost) -> Problem:
    def problem(*fields: Tensor) -> tuple[Any, Cost]:
        packed = pack_like(phi, fields)
        if lengths is None:
            return distribution_of(structure, packed), cost
        wide = map_fields(lambda x: x.expand(len(fields[0]), *x.shape), lengths)
        return distribution_of(structure, packed, wide), cost

    return problem


def _row(
    method: Method, structure: Structure, phi: Any, lengths: Any, cost: Cost, exact: Tensor, values: int, trials: int,
    generator: torch.Generator,
) -> Row:  # fmt: skip
    counted = CountedCost(cost)
    problem = _problem(structure, phi, lengths, counted)
    fields = [f.detach() for f in fields_of(phi)]
    estimates(method.estimate, problem, fields, 1, generator)  # what is recorded and cached is not timed
    events, counted.events = counted.events, 0
    start = time.perf_counter()
    moments = measure(method.estimate, problem, fields, exact, trials, generator).after(values)
    seconds = (time.perf_counter() - start) / trials
    bias = float((moments.mean - moments.exact).square().sum().sqrt())
    chance = float((moments.variance.sum() / trials).sqrt())
    cosine = float(torch.nn.functional.cosine_similarity(moments.mean, moments.exact, dim=0))
    variance = float(moments.variance.sum())
    return Row(method.name, method.family, method.unbiased, bias, chance, cosine, variance, float(events), seconds)
