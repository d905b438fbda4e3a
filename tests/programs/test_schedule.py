"""The table of a recording says what its statements said, however they were merged, rolled or turned around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss

SIZE = 9
UNEVEN = (0, 1, 3, 7)
STEPS = (1, 2, 3, 4, 6, 8)


def scattered(p: Any, x: Any) -> Any:
    """Statements of one level and form, unevenly spaced: no one row holds them."""
    chart = p.chart(SIZE)
    for i in UNEVEN:
        chart[i] = x[i] * x[i]
    return chart.sum(0)


def leaping(p: Any, x: Any) -> Any:
    """A recursion whose field is read at uneven steps: no one loop holds it."""
    chart = p.chart(len(STEPS) + 1)
    chart[0] = x[0]
    for i, at in enumerate(STEPS):
        chart[i + 1] = chart[i] * x[at]
    return chart[len(STEPS)]


def two_speeds(p: Any, x: Any) -> Any:
    """Two loops of one form that follow one another, the second with other steps."""
    chart = p.chart(8)
    chart[0] = x[0]
    for i in range(1, 8):
        chart[i] = chart[i - 1] * x[i if i < 5 else 12 - i]
    return chart[7]


def backwards(p: Any, x: Any) -> Any:
    """All windows of a row run backwards, and those of a sum."""
    chart, total = p.chart(SIZE), p.chart(2)
    chart[::-1] = x[::-1] * x[::-1]
    total[0] = (chart[4:0:-1] * x[5:1:-1]).sum(0)
    return total[0] * chart[3]


def crossed(p: Any, x: Any) -> Any:
    """What is written runs against what is read."""
    chart = p.chart(3, SIZE)
    chart[0] = x
    chart[1, ::-1] = chart[0] * x
    chart[2, ::-1] = chart[1] * x[::-1] + chart[0]
    return (chart[2] * x).sum(0)


def by_hand(which: str, x: Tensor) -> Tensor:
    match which:
        case "scattered":
            return (2 * x[list(UNEVEN)]).logsumexp(0)
        case "leaping":
            return x[0] + x[list(STEPS)].sum()
        case "two_speeds":
            return x[:5].sum() + x[[7, 6, 5]].sum()
        case "backwards":
            chart = 2 * x
            return (chart[1:5] + x[2:6]).logsumexp(0) + chart[3]
    first = (x + x).flip(0)
    return (torch.logaddexp(first + x.flip(0), x).flip(0) + x).logsumexp(0)


def structure(inside: Callable[[Any, Any], Any]) -> Any:
    return type(inside.__name__, (ss.DynamicProgram,), {"event_dim": 1, "inside": lambda self, p, x: inside(p, x)})()


@pytest.mark.parametrize("inside", [scattered, leaping, two_speeds, backwards, crossed])
def test_a_program_is_what_was_written(inside: Callable[[Any, Any], Any]):
    x = torch.randn(2, SIZE, dtype=torch.float64, requires_grad=True)
    own = structure(inside)
    found = ss.log_partition(own, x)
    right = torch.stack([by_hand(inside.__name__, row) for row in x])
    torch.testing.assert_close(found, right)
    (slope,), (wanted,) = (torch.autograd.grad(y.sum(), x, retain_graph=True) for y in (found, right))
    torch.testing.assert_close(slope, wanted)
    assert torch.autograd.gradgradcheck(lambda x: ss.log_partition(own, x), x)
