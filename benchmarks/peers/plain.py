"""Plain PyTorch as a contender: what a careful user writes by hand for one structure, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.contenders import Run

LOW = -1e30
"""What no path reaches: finite, as the gradients of torch's log-sums are NaN where all is minus infinity."""


def prepare(case: Case, query: str, potentials: Any) -> Run | None:
    """Sums over subsets, item by item, and over warping paths, antidiagonal by antidiagonal."""
    totals: dict[str, Callable[[Tensor], Tensor]] = {
        "subset": lambda item: log_subsets(item, case.sizes[2]),
        "dtw": log_paths,
    }
    if case.family not in totals or query not in ("log_partition", "marginals"):
        return None
    total = totals[case.family]
    if query == "log_partition":
        return Run(lambda: total(potentials), lambda value: value)

    def marginals() -> Tensor:
        leaf = potentials.detach().requires_grad_()
        return torch.autograd.grad(total(leaf).sum(), leaf)[0]

    return Run(marginals, lambda event: event)


def heavy(case: Case, query: str) -> str | None:
    """Nothing is."""
    return None


def log_subsets(item: Tensor, k: int) -> Tensor:
    """Log-sums over the subsets of `k` of n items, `item (batch, n)`; a sum per size, all sizes at once."""
    low = torch.full_like(item[:, :1], LOW)
    sized = torch.cat([torch.zeros_like(low), low.expand(-1, k)], 1)
    for score in item.unbind(1):
        sized = torch.logaddexp(sized, torch.cat([low, sized[:, :-1] + score[:, None]], 1))
    return sized[:, k]


def log_paths(cell: Tensor) -> Tensor:
    """Log-sums over the warping paths through `cell (batch, n, m)`, the antidiagonals laid out as rows beforehand."""
    batch, n, m = cell.shape
    rows = torch.nn.functional.pad(cell, (0, n), value=LOW).reshape(batch, -1)[:, : n * (n + m - 1)]
    diagonals = rows.reshape(batch, n, n + m - 1).unbind(2)
    before = torch.full_like(diagonals[0], LOW)
    last = torch.nn.functional.pad(diagonals[0][:, :1], (0, n - 1), value=LOW)
    edge = torch.full_like(before[:, :1], LOW)
    for diagonal in diagonals[1:]:
        down, across = torch.cat([edge, last[:, :-1]], 1), torch.cat([edge, before[:, :-1]], 1)
        here = torch.logsumexp(torch.stack([last, down, across]), 0) + diagonal
        before, last = last, here.clamp(min=LOW)
    return last[:, n - 1]
