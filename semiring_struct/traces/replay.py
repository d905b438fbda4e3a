"""Choosers that walk a recorded trace again: to check and score it, or to make the noise that leads to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.ops import NEG_INF, logaddexp, pick, refuse_where
from semiring_struct.traces.cells import Cells
from semiring_struct.traces.choosers import Choice, Chooser
from semiring_struct.traces.noise import at_least
from semiring_struct.traces.rates import Rates


class Follow(Chooser):
    """Walks the recorded choices of a trace `(*lead, entries)` again."""

    def __init__(self, trace: Tensor):
        self.given = self.trace = trace

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Brings the trace to one batch dim."""
        if tuple(self.given.shape[:-1]) != rates.lead:
            raise ShapeError(f"{rates.who}: a trace has shape {rates.lead} + (entries,); got {tuple(self.given.shape)}")
        self.trace = self.given.reshape(len(rates.flat), self.given.shape[-1])

    def choose(self, cells: Cells) -> Choice:
        """What the trace says, -1 for cells without a key."""
        said = self.trace[:, cells.first : cells.first + cells.size]
        return Choice(torch.where(cells.present(), said, -1))

    def finish(self, rates: Rates, trace: Tensor, complete: Tensor) -> Tensor:
        """The trace itself, whatever it is."""
        return self.given


class _Checked(Follow, ABC):
    """A walk that refuses what is no trace of the instance. A trace that uses a forbidden key is let pass."""

    def begin(self, rates: Rates, subtracts: bool) -> None:
        super().begin(rates, subtracts)
        self.log_rates = rates.flat
        used = rates.flat.detach().gather(-1, self.trace.clamp(min=0))
        self.forbidden = ((self.trace >= 0) & (used == NEG_INF)).any(-1)
        self.wrong = torch.zeros_like(self.forbidden)

    def choose(self, cells: Cells) -> Choice:
        present = cells.present()
        picks = torch.where(present, self.trace[:, cells.first : cells.first + cells.size], -1)
        known = cells.holds(picks)
        self.wrong = self.wrong | (present & ~known).any(-1)
        self.step(cells, picks, known)
        return Choice(picks)

    @abstractmethod
    def step(self, cells: Cells, picks: Tensor, known: Tensor) -> None:
        """What is made of the choices `picks (B, size)`; `known` says which of them are keys of their cell."""

    def finish(self, rates: Rates, trace: Tensor, complete: Tensor) -> Tensor:
        wrong = self.wrong | ~complete | (trace != self.trace).any(-1)
        refuse_strays(rates, ~wrong | self.forbidden)
        return self.given


@final
class Replay(_Checked):
    """Walks a trace again and adds up the log-probability of its choices: Algorithm 3 of [struminsky2021].

    After a run, `log_prob (*lead,)` holds it.
    """

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Starts from probability 1."""
        super().begin(rates, subtracts)
        self._lead = rates.lead
        self._log_prob = rates.flat.new_zeros(len(rates.flat))

    def step(self, cells: Cells, picks: Tensor, known: Tensor) -> None:
        """Adds the log of each chosen rate over the summed rates of its cell."""
        log_total = cells.log_total(self.log_rates)
        own = torch.where(known, pick(self.log_rates, -1, picks.clamp(min=0)), 0.0)
        self._log_prob = self._log_prob + (own - torch.where(known, log_total, 0.0)).sum(-1)

    @property
    def log_prob(self) -> Tensor:
        """Log-probability of the trace, `-inf` where it uses a forbidden key."""
        return torch.where(self.forbidden, NEG_INF, self._log_prob).reshape(self._lead)


@final
class Uncertainty(_Checked):
    """Walks a trace again and adds up the entropies, in nats, of the cells it meets: after a run, `entropy (*lead,)`.

    By the chain rule, its mean over drawn traces is the entropy of the trace's law.
    """

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Starts from certainty."""
        super().begin(rates, subtracts)
        self._lead = rates.lead
        self._entropy = rates.flat.new_zeros(len(rates.flat))

    def step(self, cells: Cells, picks: Tensor, known: Tensor) -> None:
        """Adds the entropy of each choice, given those before it."""
        total = cells.spread(cells.log_total(self.log_rates))
        inside = (total > NEG_INF) & (self.log_rates > NEG_INF)
        share = torch.where(inside, self.log_rates, 0.0) - torch.where(inside, total, 0.0)
        self._entropy = self._entropy - torch.where(inside, share.exp() * share, 0.0).sum(-1)

    @property
    def entropy(self) -> Tensor:
        """The sum of the entropies met."""
        return self._entropy.reshape(self._lead)


@final
class Conditional(_Checked):
    """Makes noise under which the algorithm takes a given trace: Algorithm 6 of [struminsky2021].

    `log_exponential (*lead, *shape)` holds the log of independent Exp(1) variables, one for each key: a chosen key's
    becomes the minimum of its cell, another key's what is left of its noise when the run ends. After a run, `log_noise`
    is the log of the noise, of the same shape, differentiable in the log-rates. With zeros in place of random numbers
    it is the log of the mean noise given the trace.
    """

    def __init__(self, trace: Tensor, log_exponential: Tensor):
        super().__init__(trace)
        self.log_exponential = log_exponential

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Starts at time 0."""
        super().begin(rates, subtracts)
        self._rates = rates
        self._fresh = rates.keys(self.log_exponential, "log_exponential")
        self._passed = self._bar = torch.full_like(rates.flat, NEG_INF)
        self._chosen = torch.zeros_like(rates.flat, dtype=torch.bool)

    def step(self, cells: Cells, picks: Tensor, known: Tensor) -> None:
        """Lets the minimum of each cell pass for all of its keys."""
        log_total = cells.log_total(self.log_rates)
        own = pick(self._fresh, -1, picks.clamp(min=0)) - torch.where(known, log_total, 0.0)
        waited = torch.where(known, at_least(own, cells.largest(self._passed), self._rates), NEG_INF)
        self._passed = logaddexp(self._passed, cells.spread(waited))
        self._bar = torch.maximum(self._bar, cells.spread(cells.largest(self._passed)))
        at = torch.where(known, picks, self._chosen.shape[-1])
        grown = torch.nn.functional.pad(self._chosen, (0, 1)).scatter(-1, at, True)
        self._chosen = grown[:, :-1]

    def finish(self, rates: Rates, trace: Tensor, complete: Tensor) -> Tensor:
        """Refuses a trace of probability 0 too."""
        refuse_impossible(rates, self.forbidden)
        return super().finish(rates, trace, complete)

    @property
    def log_noise(self) -> Tensor:
        """The log of the noise, inf for forbidden keys."""
        allowed = self.log_rates > NEG_INF
        fresh = self._fresh - torch.where(allowed, self.log_rates, 0.0)
        later = logaddexp(self._passed, at_least(fresh, self._bar, self._rates))
        noise = torch.where(self._chosen, self._passed, torch.where(allowed, later, torch.inf))
        return noise.reshape(*self._rates.lead, *self._rates.shape)


@final
class Outlast(_Checked):
    """Walks a trace again and notes how long each key takes part: after a run, `last (B, K)` holds the entry of the
    last cell that it was in, -1 for none. For algorithms of one cell per step.
    """

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """Nothing has taken part yet."""
        super().begin(rates, subtracts)
        self.last = torch.full_like(rates.flat, -1, dtype=torch.int64)

    def step(self, cells: Cells, picks: Tensor, known: Tensor) -> None:
        """Notes this step."""
        self.last = torch.where(cells.of >= 0, cells.first, self.last)


def refuse_strays(rates: Rates, known: Tensor) -> None:
    """Choices that the algorithm can not make, where `known (B,)` is False."""
    message = f"{rates.who}: the choices are no trace of this algorithm on these log_rates and lengths"
    refuse_where(~known.reshape(rates.lead), message)


def refuse_impossible(rates: Rates, forbidden: Tensor) -> None:
    """No noise leads to a trace that uses a forbidden key."""
    message = f"{rates.who}: a trace uses a forbidden key (log_rates of -inf), so no noise leads to it"
    refuse_where(forbidden.reshape(rates.lead), message)
