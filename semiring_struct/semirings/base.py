"""What a semiring is, and what a machine needs of one whose elements are single log-weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF


class Reduction(ABC):
    """The ⊕ of a one-number semiring whose ⊗ is +, along the last dim, and the local choice it makes.

    `x` (..., k) arrives *centred*: its largest entry along the last dim is 0, or every entry is `-inf`. Adding `c` to
    `x` adds `c` to the value and leaves the weights alone, so nothing is lost. These are plain functions of tensors,
    run without autograd.
    """

    noisy: ClassVar[bool] = False
    """Whether the weights depend on a generator."""

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """⊕ of the entries: `(..., k)` -> `(...)`; `-inf` where all are."""

    @abstractmethod
    def weights(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The local choice `(..., k)`: sums to 1 over k, all 0 where every entry is `-inf`."""

    @abstractmethod
    def bend(self, x: Tensor, weights: Tensor, tangent: Tensor) -> Tensor:
        """Derivative of `weights` in the (finite) direction `tangent` of `x`; 0 for piecewise constant choices."""

    def slope(self, x: Tensor) -> Tensor:
        """Gradient of `value`: the weights themselves, unless these are noisy."""
        return self.weights(x)

    def weights_and_bend(
        self, x: Tensor, tangent: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both at once, from one draw of the noise."""
        weights = self.weights(x, generator)
        return weights, self.bend(x, weights, tangent)


class Semiring(ABC):
    """A commutative semiring acting on tensors of shape `(s, *batch, ...)`.

    Axis 0 is the semiring's own (`s` numbers make one element), so a program indexes *negative* dims only.
    """

    @property
    def associative(self) -> bool:
        """Whether ⊕ gives the same value however its terms are grouped; some smoothed maxima do not."""
        return True

    @property
    def reduction(self) -> Reduction | None:
        """What a fused machine takes in place of `mul` and `sum`, for one-number semirings whose ⊗ is +."""
        return None

    @abstractmethod
    def lift(self, log_weight: Tensor) -> Tensor:
        """Log-weights into elements: `(*batch, ...)` -> `(s, *batch, ...)`; 0 is ⊗-one and `-inf` is ⊕-zero."""

    @abstractmethod
    def read(self, total: Tensor) -> Tensor:
        """The answer in a total: `(s, *batch)` -> whatever the semiring computes."""

    @abstractmethod
    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """⊗, broadcasting."""

    @abstractmethod
    def sum(self, x: Tensor, dim: int) -> Tensor:
        """⊕ along one negative dim."""

    def one(self, like: Tensor) -> Tensor:
        """⊗-one for every entry of the log-weights `like`."""
        return self.lift(torch.zeros_like(like))

    def zero(self, like: Tensor) -> Tensor:
        """⊕-zero for every entry of the log-weights `like`."""
        return self.lift(torch.full_like(like, NEG_INF))

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """⊕ of two, broadcasting."""
        return self.sum(torch.stack(torch.broadcast_tensors(a, b), -1), -1)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """`(s, ..., i, j)`, `(s, ..., j, k)` -> `(s, ..., i, k)`; override only to go faster."""
        return self.sum(self.mul(a.unsqueeze(-1), b.unsqueeze(-3)), -2)


class OneNumber(Semiring):
    """Elements that are single log-weights, multiplied by adding."""

    def lift(self, log_weight: Tensor) -> Tensor:
        """The log-weight itself."""
        return log_weight.unsqueeze(0)

    def read(self, total: Tensor) -> Tensor:
        """The log-weight itself."""
        return total.squeeze(0)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Log-weights add."""
        return a + b


class Weights(Semiring):
    """Elements that are single weights, added and multiplied as numbers are."""

    def read(self, total: Tensor) -> Tensor:
        """The weight itself."""
        return total.squeeze(0)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Weights multiply."""
        return a * b

    def sum(self, x: Tensor, dim: int) -> Tensor:
        """Weights add."""
        return x.sum(dim)
