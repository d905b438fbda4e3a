"""`check_kernel` passes a right twin and catches every planted fault."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.kernels.dispatch import Twin

CASES = [(torch.tensor([0.5, -math.inf, 2.0], dtype=torch.float64), k) for k in (1, 2)]


def reference(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return x.exp() * k, x.argmax()[None]


def taken(x: Tensor, k: int) -> str | None:
    return None


def right(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return torch.expm1(x) * k + k, x.max(-1).indices[None]


def test_a_right_twin_passes():
    ss.testing.check_kernel(reference, [Twin("right", right, taken)], CASES)


def test_gradients_are_compared():
    cases = [(torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True), 1)]
    ss.testing.check_kernel(reference, [Twin("right", right, taken)], cases)

    def cut(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        return x.exp() * k + 0 * x.detach() + (x - x.detach()), x.argmax()[None]

    with pytest.raises(AssertionError, match="gradients"):
        ss.testing.check_kernel(reference, [Twin("cut", cut, taken)], cases)


def off(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return x.exp() * k + 1e-6, x.argmax()[None]


def wrong_index(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return x.exp() * k, x.argmin()[None]


def narrow(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return (x.exp() * k).float(), x.argmax()[None]


def short(x: Tensor, k: int) -> Tensor:
    return x.exp() * k


def loud(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return torch.where(x == -math.inf, math.nan, x.exp() * k), x.argmax()[None]


def restless(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return x.exp() * k + 1e-12 * torch.rand(x.shape, dtype=x.dtype), x.argmax()[None]


def greedy(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    out = x.exp() * k, x.argmax()[None]
    x[0] += 1e-12
    return out


@pytest.mark.parametrize(
    "run, complaint",
    [(off, "differ from the reference"), (wrong_index, "differ from the reference"), (narrow, "shape or dtype"),
     (short, "gives 1"), (loud, "differ from the reference"), (restless, "call to call"), (greedy, "argument")],
)  # fmt: skip
def test_planted_faults_are_caught(run: Callable, complaint: str):
    with pytest.raises(AssertionError, match=complaint):
        ss.testing.check_kernel(reference, [Twin("planted", run, taken)], [(CASES[0][0].clone(), 2)])


def test_nothing_checked_is_a_failure():
    with pytest.raises(AssertionError, match="refuses every case"):
        ss.testing.check_kernel(reference, [Twin("shy", right, lambda x, k: "no")], CASES)
    with pytest.raises(AssertionError, match="no cases"):
        ss.testing.check_kernel(reference, [Twin("right", right, taken)], [])
