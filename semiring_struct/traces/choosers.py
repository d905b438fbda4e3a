"""Who makes the choices of a run: swapping the chooser decodes, draws, scores or conditions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.errors import InfeasibleError
from semiring_struct.ops import NEG_INF, log1mexp, refuse_where
from semiring_struct.traces.cells import Cells
from semiring_struct.traces.noise import log_noise
from semiring_struct.traces.rates import Rates
from semiring_struct.types import storable


@storable
class Choice(NamedTuple):
    """One key per cell, `picks (B, size)`, -1 where a cell has none.

    `rows`, where given, replaces the instances by branches: branch `b` goes on from instance `rows[b]`, and `picks` has
    one row per branch.
    """

    picks: Tensor
    rows: Tensor | None = None


class Chooser(ABC):
    """Chooses one key of each cell, step after step. A chooser serves one run and may be asked for results after it."""

    @abstractmethod
    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Called before the first step; `subtracts` as in `AlgorithmTrace`."""

    @abstractmethod
    def choose(self, cells: Cells) -> Choice:
        """The choices of one step."""

    def finish(self, rates: Rates, trace: Tensor, complete: Tensor) -> Tensor:
        """What the run returns, given the trace `(B, entries)` and whether each instance `(B,)` came to its end."""
        complete = complete.reshape(rates.lead)
        for _ in range(len(rates.lead) - len(rates.batch)):
            complete = complete.all(0)
        refuse_where(
            ~complete,
            f"{rates.who}: an instance has no way to go on before its structure is complete; allow more items",
            InfeasibleError,
        )
        return trace.reshape(*rates.lead, trace.shape[-1])


class _Smallest(Chooser, ABC):
    """Takes the smallest noise of each cell and, where the algorithm needs it, subtracts it from the whole cell."""

    noise: Tensor
    subtracts = True

    def choose(self, cells: Cells) -> Choice:
        picks = cells.smallest(self.noise)
        if self.subtracts:
            least = cells.spread(torch.where(picks >= 0, self.noise.gather(-1, picks.clamp(min=0)), NEG_INF))
            passed = (least > NEG_INF) & (self.noise < torch.inf)
            less = self.less(torch.where(passed, self.noise, 0.0), torch.where(passed, least, 0.0))
            self.noise = torch.where(passed, less, self.noise)
        return Choice(picks)

    @abstractmethod
    def less(self, noise: Tensor, least: Tensor) -> Tensor:
        """The noise after `least <= noise` has passed."""


class _SmallestLog(_Smallest, ABC):
    """The same on the log of the noise, which keeps its digits at any scale."""

    def less(self, noise: Tensor, least: Tensor) -> Tensor:
        """`log(exp(noise) - exp(least))`."""
        return noise + log1mexp(least - noise)


@final
class Greedy(_SmallestLog):
    """Takes what the algorithm takes on the mean noise 1 / rate: of keys that are only compared, the highest rate."""

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """The log of the mean noise."""
        self.noise, self.subtracts = -rates.flat.detach(), subtracts


@final
class Draw(_SmallestLog):
    """Draws every choice, of each key of a cell with probability in proportion to its rate.

    It draws the noise of all keys once and runs the algorithm on it: one random number per key.
    """

    def __init__(self, generator: torch.Generator | None = None):
        self.generator = generator

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Draws the noise."""
        self.noise, self.subtracts = log_noise(rates, self.generator).detach(), subtracts


@final
class OnNoise(_Smallest):
    """Runs the algorithm on given noise, `(*lead, *shape)` as the log-rates; inf for a forbidden key."""

    def __init__(self, noise: Tensor):
        self.given = noise

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Brings the noise to one batch dim."""
        self.noise, self.subtracts = rates.keys(self.given.detach(), "noise"), subtracts

    def less(self, noise: Tensor, least: Tensor) -> Tensor:
        """The difference."""
        return noise - least
