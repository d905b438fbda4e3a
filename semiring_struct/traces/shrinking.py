"""Algorithms of one cell that only loses keys: probabilities and noise by sums over keys instead of over steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, logaddexp, logcumsumexp, pick, segment_logsumexp
from semiring_struct.traces.base import AlgorithmTrace
from semiring_struct.traces.noise import at_least
from semiring_struct.traces.rates import Rates
from semiring_struct.traces.replay import Outlast, refuse_impossible


class Ladder(NamedTuple):
    """A trace of k steps: the keys chosen `(B, k)`, K for none; whether one is forbidden `(B,)`; the log-rates `(B, k)`
    of the keys chosen and of all that were left; the last step that each key took part in `(B, K)`, -1 for none.
    """

    at: Tensor
    forbidden: Tensor
    own: Tensor
    total: Tensor
    last: Tensor


class Shrinking(AlgorithmTrace):
    """One cell at every step, whose choice is the entry of that step, and whose keys all were in the cell before.

    The summed rates of step i are then those of all keys that last until i or longer: one pass over the keys, and a
    cumulative sum. So gradients need memory for the keys once, and not for every step.
    """

    subtracts = False

    def last(self, trace: Tensor, rates: Rates) -> tuple[Tensor, Tensor]:
        """The last step that each key takes part in `(B, K)`, -1 for none; whether a choice is forbidden `(B,)`."""
        walk = Outlast(trace)
        self._run(walk, rates)
        return walk.last, walk.forbidden

    def _ladder(self, trace: Tensor, rates: Rates) -> Ladder:
        steps, keys = self.steps(rates.shape[-1]), rates.flat.shape[-1]
        last, forbidden = self.last(trace, rates)
        picks = trace.reshape(len(last), trace.shape[-1])[:, :steps]
        own = torch.where(picks >= 0, pick(rates.flat, -1, picks.clamp(min=0)), NEG_INF)
        ending = segment_logsumexp(rates.flat, last, max(steps, 1))[:, :steps]
        total = logcumsumexp(ending.flip(-1)).flip(-1)
        return Ladder(torch.where(picks >= 0, picks, keys), forbidden, own, total, last)

    def _log_prob(self, trace: Tensor, rates: Rates) -> Tensor:
        at, forbidden, own, total, _ = self._ladder(trace, rates)
        counts = (at < rates.flat.shape[-1]) & ~forbidden.unsqueeze(-1)
        each = torch.where(counts, own, 0.0) - torch.where(counts, total, 0.0)
        return torch.where(forbidden, NEG_INF, each.sum(-1)).reshape(rates.lead)

    def _condition(self, trace: Tensor, fresh: Tensor, rates: Rates) -> Tensor:
        at, forbidden, _, total, last = self._ladder(trace, rates)
        refuse_impossible(rates, forbidden)
        given, keys = rates.keys(fresh, "log_exponential"), rates.flat.shape[-1]
        chosen, never = at < keys, torch.full_like(given[:, :1], NEG_INF)
        wait = torch.where(chosen, pick(given, -1, at.clamp(max=keys - 1)) - torch.where(chosen, total, 0.0), NEG_INF)
        before = torch.cat([never, logcumsumexp(wait.detach())], -1)[:, :-1]
        passed = logcumsumexp(torch.where(chosen, at_least(wait, before, rates), NEG_INF))
        shared = pick(torch.cat([never, passed], -1), -1, last + 1)
        allowed = rates.flat > NEG_INF
        later = logaddexp(shared, at_least(given - torch.where(allowed, rates.flat, 0.0), shared, rates))
        noise = torch.nn.functional.pad(torch.where(allowed, later, torch.inf), (0, 1))
        return noise.scatter(-1, at, passed)[:, :keys].reshape(*rates.lead, *rates.shape)
