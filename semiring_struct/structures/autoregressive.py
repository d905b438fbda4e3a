"""Sequences written symbol by symbol by a user's model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, gumbel_with_maximum, prefix_mask, shown
from semiring_struct.structures.automaton import Automaton
from semiring_struct.structures.base import Structure
from semiring_struct.structures.labels import Encoded, Fault, LabelCode, code_of, where_used
from semiring_struct.structures.rollout import Rollout
from semiring_struct.structures.search import Noise, follow, search

Fields = tuple[Tensor, ...]


@final
class Autoregressive(Structure):
    r"""Sequences of up to `n` of `v` symbols; each symbol's law is a model's, given those before it.

    .. math:: p(x) = \prod_i \operatorname{softmax}_{A_i}\bigl(s(x_{<i}) + \phi_i\bigr)_{x_i}

    where :math:`A_i` are the symbols allowed. There is no dynamic program: the model may look at all that was written.
    So draws, with and without replacement, and log-probabilities are exact; `ss.greedy` and `ss.beam_search` find good
    sequences, not the best ones, and no other query is offered.

    Args:
        step: `step(state, last) -> (scores, state)`: the scores `(rows, v)` of the next symbol, `-inf` forbids, given
            the symbol written last `(rows)`, -1 at first. Any number of rows; a row must not look at another. NaN or
            `+inf` among the scores of a sequence that is still being written raises `ValueError`.
        start: the first state: a tensor or nested tuple or dict of tensors, each with one row per instance, or one row.
        stop: the symbol that ends a sequence, if there is one; else all have full length.
        automaton: keeps to sequences that it accepts. Symbols after which no accepted end can be reached in the symbols
            left are not allowed; the rest share their probability. This is not the model given that the sequence is
            accepted: that would need the probability of ever being accepted.

    Shape (after any batch dims):
        - symbol: `(n, v)`; `[i, x]` is added to the step's score of `x` at position `i`: zeros change nothing.
        - event: the same, 1 at the symbols written, the stop included. labels: `(n)`, -1 past the end.

    Cost: `n` steps of as many rows as there are draws, or kept prefixes.
    Reference: Kool, van Hoof & Welling 2019, sec. 3-4 [kool2019beams].
    """

    event_dim = 2
    shapes = {"symbol": "n v"}
    uses_parts_once = True

    def __init__(
        self, step: Callable[[Any, Tensor], tuple[Tensor, Any]], start: Any = (), stop: int | None = None,
        automaton: Automaton | None = None,
    ):  # fmt: skip
        self.step, self.start, self.stop, self.automaton = step, start, stop, automaton

    def greedy(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """The most probable symbol at every step, the first of tied ones."""
        return follow(Rollout.begin(self, fields[0], lengths), lambda log_probs: log_probs)

    def draws(self, fields: Fields, lengths: Tensor, number: int, seed: Tensor) -> tuple[Tensor, ...]:
        """Ancestral sampling: `number * B` rows."""
        noise = Noise(seed)
        return follow(Rollout.begin(self, fields[0], lengths, number), lambda x: x + noise.gumbel(x.shape))

    def beam(self, fields: Fields, lengths: Tensor, k: int) -> tuple[Tensor, ...]:
        """Keeps the `k` most probable prefixes at every step: log-probabilities `(k * B)`, descending, and entries."""
        start = torch.zeros(len(lengths), dtype=torch.float64, device=lengths.device)
        return search(Rollout.begin(self, fields[0], lengths, k), k, start, lambda total, key: total)

    def distinct_draws(self, fields: Fields, lengths: Tensor, k: int, seed: Tensor) -> tuple[Tensor, ...]:
        """Stochastic beam search: prefixes kept by their log-probability plus Gumbel noise drawn top down."""
        noise = Noise(seed)
        start = noise.gumbel((len(lengths),))

        def perturb(total: Tensor, key: Tensor) -> Tensor:
            return gumbel_with_maximum(total + noise.gumbel(total.shape), key)

        return search(Rollout.begin(self, fields[0], lengths, k), k, start, perturb)

    def log_probs(self, fields: Fields, lengths: Tensor, *used: Tensor) -> Tensor:
        """By the chain rule: one symbol at each position, up to the end."""
        (_, n, v), entries = fields[0].shape, used[0]
        roll = Rollout.begin(self, fields[0], lengths, len(entries) // max(len(lengths), 1))
        for picks in torch.where(entries < 0, v, entries % v).unbind(1):
            log_probs, roll = roll.choices(roll.log_prob)
            roll = roll.take(picks, log_probs)
        roll.refuse_faults()
        fits = (entries < 0) | (entries // v == torch.arange(n, device=entries.device))
        return torch.where(fits.all(1), roll.log_prob, NEG_INF)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """Symbol `x` at `i` writes `x` into slot `i`."""
        n, v = sizes["n"], sizes["v"]
        return LabelCode((n,), (code_of((torch.arange(n)[:, None].expand(n, v), torch.arange(v).expand(n, v))),))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """One entry per symbol, up to an end."""
        (n, v), faults = (sizes["n"], sizes["v"]), list[Fault]()
        kept = prefix_mask(lengths[:, 0], n)
        if self.stop is not None:
            stopped = (labels == self.stop).long().cumsum(1) - (labels == self.stop).long()
            faults.append((kept & (stopped > 0) & (labels != -1), "labels past the stop symbol must be -1"))
            kept = kept & (stopped == 0)
        faults.append((kept & ((labels < 0) | (labels >= v)), f"labels must lie in 0..{shown(v - 1)} up to the end"))
        return Encoded.of((where_used(kept, torch.arange(n, device=labels.device) * v + labels),), *faults)

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """An automaton that accepts nothing so short."""
        return None if self.automaton is None else self.automaton.refusal(lengths[0], self.stop)
