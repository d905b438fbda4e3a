"""`check_estimator`: an unbiased estimator agrees with the exact value and gradient within its standard error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct import diagnostics
from semiring_struct.diagnostics.measure import Estimator, Problem
from semiring_struct.estimators import exact
from semiring_struct.estimators.cost import Cost


def check_estimator(
    estimator: Estimator,
    problem: Problem,
    parameters: Tensor | Sequence[Tensor],
    *,
    trials: int = 4000,
    standard_errors: float = 5.0,
    generator: torch.Generator | None = None,
    reference: Callable[[Any, Cost], Tensor] = exact,
) -> None:
    """Raise AssertionError unless `estimator` is unbiased, in value and in the gradient of every parameter.

    Args:
        estimator: `estimator(distribution, cost, generator) -> (*batch,)`.
        problem: `problem(*parameters) -> (distribution, cost)`. It is called with parameters that have one more leading
            dim, over which distribution and cost must be batched: trials are laid out along it.
        parameters: a tensor or several, of the distribution, of the cost or of both.
        trials: how many estimates are averaged.
        standard_errors: how far the mean may be from the truth. An unbiased estimator passes each entry with
            probability 0.9999994 at 5, as far as its mean is normal: events so rare that the trials meet none of them
            are not.
        generator: randomness; a fixed seed if None.
        reference: the truth, `reference(distribution, cost) -> (*batch,)`, where events can not be listed by `exact`.
    """
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    generator = torch.Generator(given[0].device).manual_seed(0) if generator is None else generator
    moments = diagnostics.measure(
        estimator, problem, given, diagnostics.truth(problem, given, reference), trials, generator
    )
    slack = 1e3 * max(torch.finfo(p.dtype).eps for p in given) * (1 + moments.exact.abs().max())
    error = (moments.mean - moments.exact).abs()
    wrong = ~(error <= standard_errors * moments.standard_error + slack)
    if bool(wrong.any()):
        worst = int(torch.where(wrong, error.nan_to_num(torch.inf), -1.0).argmax())
        raise AssertionError(
            f"entry {worst} of value and gradient: the mean of {moments.trials} estimates is "
            f"{float(moments.mean[worst]):.6g} with standard error {float(moments.standard_error[worst]):.2g}, but the "
            f"truth is {float(moments.exact[worst]):.6g} ({int(wrong.sum())} of {len(wrong)} entries are off)."
        )
