"""Sequences written symbol by symbol, many at once: what decoders, samplers and scorers of a model share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from semiring_struct.errors import ShapeError
from semiring_struct.ops import NEG_INF, log_softmax, refuse_where

if TYPE_CHECKING:
    from semiring_struct.structures.autoregressive import Autoregressive


@dataclass(frozen=True)
class Rollout:
    """Prefixes of one length, one per row; row `p` is of instance `p % B`.

    `state` is the model's; `last (rows)` the symbol written last, -1 at first; `place (rows)` the automaton's state,
    and `completable` its table; `over (rows)` says which sequences have ended; `log_prob (rows)` float64;
    `written (rows, i)` the symbols so far, -1 past an end. `bias (B, n, v)` are the log-potentials, `lengths (rows)`.
    `faults (B, i)` says for which instances the model gave NaN or +inf, and where.
    """

    model: Autoregressive
    bias: Tensor
    lengths: Tensor
    completable: Tensor | None
    state: Any
    last: Tensor
    place: Tensor
    over: Tensor
    log_prob: Tensor
    written: Tensor
    faults: Tensor

    @staticmethod
    def begin(model: Autoregressive, bias: Tensor, lengths: Tensor, copies: int = 1) -> Rollout:
        """`copies` empty prefixes of each instance; `bias (B, n, v)`, `lengths (B, 1)`."""
        batch, n, v = bias.shape
        stop, automaton = model.stop, model.automaton
        if automaton is not None and automaton.moves.shape[1] != v:
            raise ShapeError(f"the automaton reads {automaton.moves.shape[1]} symbols; log_potentials have {v}")
        if stop is not None and not 0 <= stop < v:
            raise ValueError(f"stop must be one of the {v} symbols; got {stop}")

        def spread(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if not leaf.dim() or leaf.shape[0] not in (1, batch):
                raise ShapeError(f"start needs tensors of {batch} rows, or of 1 for all; got shape {tuple(leaf.shape)}")
            return leaf.expand(batch, *leaf.shape[1:]).repeat(copies, *[1] * (leaf.dim() - 1))

        counts = lengths[:, 0].repeat(copies)
        zeros = torch.zeros_like(counts)
        return Rollout(
            model, bias, counts, None if automaton is None else automaton.completable(n, stop, bias.device),
            pytree.tree_map(spread, model.start), zeros - 1, zeros, counts == 0, zeros.double(), zeros[:, None][:, :0],
            torch.zeros((batch, 0), dtype=torch.bool, device=bias.device),
        )  # fmt: skip

    def choices(self, key: Tensor) -> tuple[Tensor, Rollout]:
        """Log-probabilities of what may follow, `(rows, v + 1)` float64, and the prefixes in the model's next state.

        The last column is the blank: it alone follows where a sequence has ended. All are `-inf` where nothing may.
        Nothing follows rows whose `key (rows)` is `-inf`: these are no prefixes, and what the model says there is lost.
        """
        (batch, _, v), rows, i = self.bias.shape, len(self.last), self.written.shape[1]
        scores, state = self.model.step(self.state, self.last)
        if scores.shape != (rows, v):
            raise ShapeError(f"step must return scores of shape (rows, v) = {(rows, v)}; got {tuple(scores.shape)}")
        copies = rows // max(batch, 1)
        going = ~self.over & (key > NEG_INF)
        found = ~(scores.detach() < torch.inf).all(1) & going
        faults = torch.cat([self.faults, found.reshape(copies, batch).any(0)[:, None]], 1)
        total = torch.where(going[:, None], scores.double(), 0.0) + self.bias[:, i].double().repeat(copies, 1)
        if self.model.automaton is not None and self.completable is not None:
            later = self.completable[(self.lengths - i - 1).clamp(min=0)]
            total = torch.where(self.model.automaton.allowed(self.place, later, self.model.stop), total, NEG_INF)
        total = torch.where(going[:, None], log_softmax(total, -1), NEG_INF)
        log_probs = torch.cat([total, torch.where(self.over, 0.0, NEG_INF).to(total)[:, None]], 1)
        return log_probs, replace(self, state=state, faults=faults)

    def take(self, picks: Tensor, log_probs: Tensor) -> Rollout:
        """The prefixes with one choice more: `picks (rows)` are columns of `choices`."""
        i, v = self.written.shape[1], self.bias.shape[2]
        blank, place = picks == v, self.place
        over = self.over | (self.lengths <= i + 1)
        if self.model.stop is not None:
            over = over | (picks == self.model.stop)
        if self.model.automaton is not None:
            moves, _ = self.model.automaton.tables(place.device)
            place = torch.where(blank, place, moves[place, picks.clamp(max=v - 1)].clamp(min=0))
        return replace(
            self, last=torch.where(blank, self.last, picks), place=place, over=over,
            log_prob=self.log_prob + log_probs.gather(1, picks[:, None]).squeeze(1),
            written=torch.cat([self.written, torch.where(blank, -1, picks)[:, None]], 1),
        )  # fmt: skip

    def rows(self, index: Tensor) -> Rollout:
        """The prefixes of some rows, in that order, in which every row keeps its instance."""

        def pick(leaf: Any) -> Any:
            return leaf[index] if isinstance(leaf, Tensor) else leaf

        return replace(
            self, lengths=pick(self.lengths), state=pytree.tree_map(pick, self.state), last=pick(self.last),
            place=pick(self.place), over=pick(self.over), log_prob=pick(self.log_prob), written=pick(self.written),
        )  # fmt: skip

    @property
    def used(self) -> Tensor:
        """The entries of `(n, v)` that the sequences use, `(rows, n)`, -1 for none."""
        steps = torch.arange(self.written.shape[1], device=self.last.device)
        return torch.where(self.written < 0, -1, steps * self.bias.shape[2] + self.written)

    def refuse_faults(self) -> None:
        """Raise `ValueError` naming the first instance and position at which the model gave NaN or +inf.

        Once for all steps, as each check waits for the device.
        """
        what = "Autoregressive: step returned NaN or +inf; scores are finite, or -inf for a symbol that may not follow"
        refuse_where(self.faults, f"{what}; indices are [instance, position]")
