"""Every semiring keeps the laws it claims, and the check catches those that do not."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from torch import Tensor

from semiring_struct import semirings as s
from semiring_struct.ops import NEG_INF
from semiring_struct.semirings import Reduction, Semiring
from semiring_struct.testing.semiring import check_semiring

EVERY: list[Semiring] = [
    s.LogSemiring(),
    s.MaxSemiring(),
    s.RealSemiring(),
    s.CountingSemiring(),
    s.BooleanSemiring(),
    s.KBestSemiring(1),
    s.KBestSemiring(3),
    s.KBestSemiring(8),
    s.SampleSemiring(),
    s.SampleSemiring(torch.Generator().manual_seed(7)),
    s.SoftmaxSemiring(0.5),
    s.SparsemaxSemiring(),
    s.SparsemaxSemiring(0.3),
    s.EntmaxSemiring(1.0, 0.5),
    s.EntmaxSemiring(1.3),
    s.EntmaxSemiring(1.5, 2.0),
    s.EntmaxSemiring(3.0),
    s.GumbelSoftmaxSemiring(0.5),
    s.GumbelSoftmaxSemiring(1.0, hard=True, generator=torch.Generator().manual_seed(7)),
    s.EntropySemiring(),
    s.ExpectationSemiring(),
    s.ExpectationSemiring(s.RealSemiring()),
    s.ExpectationSemiring(s.KBestSemiring(2)),
    s.ExpectationSemiring(s.EntropySemiring()),
    s.ExpectationSemiring(s.ExpectationSemiring()),
]


def named(value: object) -> str:
    """A name that is the same in every process: a generator's own has its address."""
    return re.sub(r"<torch._C.Generator object at \w+>", "generator", repr(value))


@pytest.mark.parametrize("semiring", EVERY, ids=named)
@pytest.mark.parametrize("seed", [None, 1])
def test_laws(semiring, seed) -> None:
    check_semiring(semiring, generator=None if seed is None else torch.Generator().manual_seed(seed))


def test_the_check_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    check_semiring(s.SampleSemiring())
    assert torch.equal(torch.get_rng_state(), before)


def test_semirings_are_frozen_values() -> None:
    assert s.KBestSemiring(3) == s.KBestSemiring(3) != s.KBestSemiring(4)
    assert hash(s.EntmaxSemiring(1.5)) == hash(s.EntmaxSemiring(1.5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.SoftmaxSemiring(0.5).temperature = 1.0  # type: ignore[misc]


class Mistaken(Semiring):
    """The log semiring with one method replaced by a wrong one."""

    def lift(self, log_weight: Tensor) -> Tensor:
        return log_weight.unsqueeze(0)

    def read(self, total: Tensor) -> Tensor:
        return total.squeeze(0)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def sum(self, x: Tensor, dim: int) -> Tensor:
        return s.LogSemiring().sum(x, dim)


class FirstWins(Mistaken):
    def sum(self, x: Tensor, dim: int) -> Tensor:
        first = x.select(dim, 0)
        return torch.where(first == NEG_INF, x.amax(dim), first)


class Difference(Mistaken):
    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


class Largest(Mistaken):
    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)


class Sentinel(Mistaken):
    def lift(self, log_weight: Tensor) -> Tensor:
        return log_weight.clamp(min=-50.0).unsqueeze(0)


class Nested(Mistaken):
    def sum(self, x: Tensor, dim: int) -> Tensor:
        return s.SparsemaxSemiring().sum(x, dim)


class Modest(Mistaken):
    @property
    def associative(self) -> bool:
        return False


class Flat(Mistaken):
    def read(self, total: Tensor) -> Tensor:
        return total.flatten()


class Writer(Mistaken):
    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        out = a + b
        a.clamp_(max=0.5)
        return out


@pytest.mark.parametrize(
    "semiring, law",
    [
        (FirstWins(), "a ⊕ b = b ⊕ a"),
        (Difference(), "a ⊗ b = b ⊗ a"),
        (Largest(), r"broadcasts|distributes|a ⊗ \(b ⊕ c\)"),
        (Sentinel(), "a ⊗ zero = zero|a ⊕ zero = a"),
        (Nested(), r"\(a ⊕ b\) ⊕ c = a ⊕ \(b ⊕ c\)"),
        (Modest(), "no sample shows it"),
        (Flat(), "read must keep the batch dims"),
        (Writer(), "fails"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_broken_law_is_named(semiring, law) -> None:
    with pytest.raises(AssertionError, match=law):
        check_semiring(semiring)


class Borrowed(Mistaken):
    """The log semiring with a reduction that is not its own."""

    def __init__(self, reduction: Reduction) -> None:
        self._reduction = reduction

    @property
    def reduction(self) -> Reduction:
        return self._reduction


class Blended(s.base.Reduction):
    """Right values, weights that are not their gradient."""

    def value(self, x: Tensor) -> Tensor:
        return s.LogReduction().value(x)

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return s.SparsemaxReduction(1.0).weights(x)

    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Stiff(Blended):
    """Right values and weights, no bend."""

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return s.LogReduction().weights(x)


class Biased(Stiff):
    """Draws from the wrong temperature."""

    noisy = True

    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return s.SampleReduction().weights(2 * x, generator)

    def slope(self, x: Tensor) -> Tensor:
        return s.LogReduction().weights(x)


@pytest.mark.parametrize(
    "reduction, fault",
    [
        (s.MaxReduction(), "value = sum"),
        (Blended(), "slope is the gradient of value"),
        (Stiff(), "second derivative"),
        (Biased(), "draws from slope"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_a_wrong_reduction_is_named(reduction, fault) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_semiring(Borrowed(reduction))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: s.KBestSemiring(0), "k of at least 1; got 0"),
        (lambda: s.SoftmaxSemiring(0.0), "temperature above 0; got 0"),
        (lambda: s.SparsemaxSemiring(float("nan")), "SparsemaxSemiring needs a finite temperature above 0"),
        (lambda: s.EntmaxSemiring(0.9), "alpha of at least 1"),
        (lambda: s.GumbelSoftmaxSemiring(-1.0), "GumbelSoftmaxSemiring needs a finite temperature above 0"),
    ],
)
def test_bad_settings_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
