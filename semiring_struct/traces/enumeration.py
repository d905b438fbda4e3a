"""All traces of small instances, by branching over every choice."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, pick
from semiring_struct.traces.cells import Cells
from semiring_struct.traces.choosers import Choice, Chooser
from semiring_struct.traces.rates import Rates
from semiring_struct.types import storable


@storable
class Traces(NamedTuple):
    """All traces of each instance: `traces (s, *batch, entries)` and their `log_probs (s, *batch)`.

    Where an instance has fewer than others the rest are blanks: entries -1, log-probability `-inf`.
    """

    traces: Tensor
    log_probs: Tensor

    @property
    def valid(self) -> Tensor:
        """False at blanks, `(s, *batch)`."""
        return self.log_probs > NEG_INF


@final
class Enumerate(Chooser):
    """Takes every choice of every cell. The run returns all complete traces `(s, *batch, entries)`.

    Runs that come to a dead end are left out, so an infeasible instance has blanks only. After a run, `log_probs
    (s, *batch)` holds the log-probabilities, `-inf` at blanks. Raises `ValueError` when an instance has more than
    `limit`. Cost: as many instances as there are traces.
    """

    def __init__(self, limit: int = 10_000):
        self.limit = limit

    def begin(self, rates: Rates, subtracts: bool) -> None:
        """One branch per instance."""
        self._log_rates = rates.flat.detach()
        self._origin = torch.arange(len(rates.flat), device=rates.flat.device)
        self._log_prob = self._log_rates.new_zeros(len(rates.flat))

    def choose(self, cells: Cells) -> Choice:
        """A branch for each combination of one key per cell."""
        rows = torch.arange(len(self._origin), device=self._origin.device)
        picks = cells.of.new_full((len(rows), cells.size), -1)
        totals = cells.log_total(self._log_rates[self._origin])
        for i in range(cells.size):
            members = cells.of[rows] == i
            again, key = _each_member(members)
            rows, picks = rows[again], picks[again]
            picks[:, i] = key
            origin = self._origin[rows]
            if len(origin) > self.limit and int(origin.bincount().max()) > self.limit:
                raise ValueError(f"an instance has more than limit={self.limit} traces; raise it, or sample")
        self._origin = self._origin[rows]
        own = pick(self._log_rates[self._origin], -1, picks.clamp(min=0))
        step = torch.where(picks >= 0, own - torch.where(picks >= 0, totals[rows], 0.0), 0.0)
        self._log_prob = self._log_prob[rows] + step.sum(-1)
        return Choice(picks, rows)

    def finish(self, rates: Rates, trace: Tensor, complete: Tensor) -> Tensor:
        """Branches gathered by instance."""
        origin, trace, log_prob = self._origin[complete], trace[complete], self._log_prob[complete]
        order = origin.argsort(stable=True)
        number = origin.bincount(minlength=len(rates.flat))
        most = int(number.max()) if len(number) else 0
        place = torch.arange(len(order), device=order.device) - (number.cumsum(0) - number)[origin[order]]
        traces = trace.new_full((most, len(rates.flat), trace.shape[-1]), -1)
        log_probs = log_prob.new_full((most, len(rates.flat)), NEG_INF)
        traces[place, origin[order]] = trace[order]
        log_probs[place, origin[order]] = log_prob[order]
        self.log_probs = log_probs.reshape(most, *rates.lead)
        return traces.reshape(most, *rates.lead, trace.shape[-1])


def _each_member(members: Tensor) -> tuple[Tensor, Tensor]:
    """Of booleans `(R, K)`, a row for each member: the row it is from and its key; a row without any stays, key -1."""
    number = members.sum(-1)
    kept = number.clamp(min=1)
    rows = torch.arange(len(members), device=members.device).repeat_interleave(kept)
    place = torch.arange(len(rows), device=members.device) - (kept.cumsum(0) - kept)[rows]
    keys = (~members).int().argsort(dim=-1, stable=True)[rows, place]
    return rows, torch.where(number[rows] > 0, keys, -1)
