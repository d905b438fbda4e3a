"""The contract: all routes, run for cases of one structure and size against one truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.routes import decoding, totals
from tests.routes.cases import Case
from tests.routes.runs import Checks, Run
from tests.routes.truth import Truth, machine, truths

ROUTES: dict[str, Callable[[Run], Checks]] = {
    "log-z": totals.log_partition,
    "backward": totals.backward,
    "marginals": totals.marginals,
    "double-backward": totals.double_backward,
    "marginals-backward": totals.marginals_backward,
    "covariance_vp": totals.covariance_vp,
    "entropy": totals.entropy,
    "max-score": totals.max_score,
    "argmax": decoding.argmax,
    "argmax-labels": decoding.argmax_labels,
    "three-best": decoding.topk,
    "three-best-labels": decoding.topk_labels,
    "draws": decoding.draws,
}


@dataclass(frozen=True)
class Difference:
    """One answer that is not what it must be."""

    case: Case
    route: str
    what: str

    def __str__(self) -> str:
        return f"{self.route}: {self.what}\n    {self.case}"


def differences(cases: Sequence[Case], routes: Sequence[str] = tuple(ROUTES)) -> Iterator[Difference]:
    """Every route of every case that is off; the cases are of one structure and size."""
    for case, truth in zip(cases, truths(cases), strict=True):
        for route in routes:
            what = off(case, truth, route)
            if what is not None:
                yield Difference(case, route, what)


def off(case: Case, truth: Truth, route: str) -> str | None:
    """The first check of a route that fails, or None."""
    before = torch.get_num_threads()
    torch.set_num_threads(case.threads)
    try:
        with machine(case.machine):
            for place, (found, right, tolerance) in enumerate(ROUTES[route](Run(case, truth))):
                what = _wrong(found, right, tolerance)
                if what is not None:
                    return f"check {place}: {what}"
    except (ValueError, RuntimeError, AssertionError, TypeError, NotImplementedError, LookupError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        torch.set_num_threads(before)
    return None


def _wrong(found: Tensor, right: Tensor, tolerance: Tensor) -> str | None:
    if found.shape != right.shape:
        return f"shape {tuple(found.shape)}, not {tuple(right.shape)}"
    if found.isnan().any():
        return f"{int(found.isnan().sum())} of {found.numel()} are NaN"
    infinite = (found.isinf() | right.isinf()) & (found != right)
    if infinite.any():
        at = tuple(infinite.nonzero()[0].tolist())
        return f"{found[at]:g} in place of {right[at]:g} at {at}"
    finite = right.isfinite()
    over = torch.where(finite, (torch.where(finite, found - right, 0.0)).abs() - tolerance, -1.0)
    if not over.numel() or float(over.max()) <= 0:
        return None
    at = tuple(torch.nonzero(over == over.max())[0].tolist())
    worst, allowed = float((found[at] - right[at]).abs()), float(tolerance[at])
    return f"{found[at]:.9g} in place of {right[at]:.9g} at {at}, off by {worst:.3g}, {allowed:.3g} allowed"
