"""Best-first search over disjoint sets of choices: the k best, and draws without replacement.

A structure is one option in each slot. What is left of a set of structures when one of them is taken out falls apart by
the first slot that differs: the slots before it are fixed, its own option there is barred, the rest is free. So each
set is again all structures under a constraint on weights, and is searched by the solver of the whole.

Source: Murty 1968 [murty1968], Lawler 1972 [lawler1972].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, gumbel_at, logaddexp

Solve = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Weights `(P, options, slots)` and lengths `(P,)` -> whether there is a structure `(P,)`, its options `(P, slots)`."""
Total = Callable[[Tensor, Tensor], Tensor]
"""The same -> log of the summed weights of all structures, `(P,)`."""
Draw = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""The same and a seed -> as `Solve`, drawn."""


@dataclass(frozen=True)
class Sets:
    """`f` sets of structures for each instance: those that agree with `options` before slot `first`, not `barred`
    there.

    `key (B, f)` ranks them, `-inf` for none; `options (B, f, slots)`, `first (B, f)`, `barred (B, f, options)`.
    """

    key: Tensor
    options: Tensor
    first: Tensor
    barred: Tensor

    @staticmethod
    def whole(key: Tensor, options: Tensor, width: int) -> Sets:
        """All structures: one set for each instance."""
        barred = torch.zeros((len(key), 1, width), dtype=torch.bool, device=key.device)
        return Sets(key[:, None], options[:, None], options.new_zeros(len(key), 1), barred)

    def take(self, places: Tensor) -> Sets:
        """The sets at `places (B, p)`."""

        def at(x: Tensor) -> Tensor:
            return x.gather(1, places[..., None].expand(*places.shape, x.shape[-1]))

        return Sets(self.key.gather(1, places), at(self.options), self.first.gather(1, places), at(self.barred))

    def best(self, number: int) -> Sets:
        """The `number` of largest key, largest first, the earlier of equals first."""
        return self.take(self.key.sort(dim=1, descending=True, stable=True).indices[:, :number])

    def and_more(self, other: Sets) -> Sets:
        """These, then others."""
        mine, theirs = vars(self), vars(other)
        return Sets(*(torch.cat([mine[name], theirs[name]], 1) for name in mine))

    def without(self, options: Tensor) -> Sets:
        """The one set of each instance less a structure `(B, slots)` of it: one set for each slot that may differ."""
        slots = options.shape[-1]
        own = torch.nn.functional.one_hot(options.clamp(min=0), self.barred.shape[-1]).bool()
        place = torch.arange(slots, device=options.device)
        real = (place >= self.first) & (options >= 0)
        barred = own | (self.barred & (place[:, None] == self.first[..., None]))
        key = torch.where(real, 0.0, NEG_INF).to(self.key.dtype)
        return Sets(key, options[:, None].expand(-1, slots, -1), place.expand(len(key), -1), barred)

    def weights(self, w: Tensor) -> Tensor:
        """The weights `(B, options, slots)` with everything outside of a set forbidden: `(B * f, options, slots)`."""
        slots = w.shape[2]
        place = torch.arange(slots, device=w.device)
        before, at = (relation(place, self.first[..., None])[:, :, None, :] for relation in (torch.lt, torch.eq))
        own = torch.nn.functional.one_hot(self.options.clamp(min=0), w.shape[1]).bool().transpose(2, 3)
        forbidden = (before & ~own) | (at & self.barred[..., None])
        return torch.where(forbidden, NEG_INF, w[:, None]).flatten(0, 1)


def score(w: Tensor, options: Tensor) -> Tensor:
    """The summed weights of options `(B, f, slots)`, -1 for none, in float64 `(B, f)`."""
    used = w.double()[:, None].expand(-1, options.shape[1], -1, -1).gather(2, options.clamp(min=0)[:, :, None])[:, :, 0]
    return torch.where(options >= 0, used, 0.0).sum(-1)


def ranked(w: Tensor, lengths: Tensor, k: int, solve: Solve) -> tuple[Tensor, Tensor]:
    """The k best structures, best first: which are real `(k * B,)`, and their options `(k * B, slots)`, -1 for none.

    `w (B, options, slots)`: a structure has the sum of its options' weights. Cost: a solution of the whole, and one for
    each slot and each structure found.
    """
    found, options = solve(w, lengths)
    sets = Sets.whole(torch.where(found, score(w, options[:, None])[:, 0], NEG_INF), options, w.shape[1])
    out = []
    for left in range(k, 0, -1):
        sets = sets.best(left)
        top = sets.take(torch.zeros_like(sets.first[:, :1]))
        out.append((top.key[:, 0] > NEG_INF, top.options[:, 0]))
        if left == 1 or not bool(out[-1][0].any()):
            continue
        parts = top.without(top.options[:, 0])
        slots = parts.first.shape[1]
        found, options = solve(parts.weights(w), lengths.repeat_interleave(slots))
        options = options.reshape(parts.options.shape)
        real = found.reshape(parts.key.shape) & (parts.key > NEG_INF) & out[-1][0][:, None]
        key = torch.where(real, score(w, options), NEG_INF)
        rest = Sets(sets.key[:, 1:], sets.options[:, 1:], sets.first[:, 1:], sets.barred[:, 1:])
        sets = rest.and_more(Sets(key, options, parts.first, parts.barred))
    return _stacked(out)


def distinct(w: Tensor, lengths: Tensor, k: int, seed: Tensor, total: Total, draw: Draw) -> tuple[Tensor, Tensor]:
    """k draws without replacement: perturbed log-probabilities `(k * B,)`, `-inf` for blanks; options as in `ranked`.

    Each set carries the largest of its structures' log-probabilities plus Gumbel noise, drawn under that of the set it
    comes from; the structure that attains it is a draw from the set. Cost: a draw and, for each slot, a total for each.
    Source: Maddison, Tarlow & Minka 2014, algorithm 1 [maddison2014]; the noise: Kool et al. 2019 [kool2019beams].
    """
    log_z = total(w, lengths)
    width = w.shape[2] + 1
    place = torch.arange(len(w) * width, device=w.device).reshape(len(w), width)
    noise = gumbel_at(seed, place)
    blank = lengths.new_full((len(w), w.shape[2]), -1)
    sets = Sets.whole(torch.where(log_z == NEG_INF, NEG_INF, noise[:, 0]), blank, w.shape[1])
    out = []
    for i in range(k):
        sets = sets.best(k - i)
        top = sets.take(torch.zeros_like(sets.first[:, :1]))
        key = top.key[:, 0]
        found, options = draw(top.weights(w), lengths, seed + (i + 1) * _STRIDE % 2**63)
        out.append((torch.where(found, key, NEG_INF), torch.where((key > NEG_INF)[:, None], options, -1)))
        if i + 1 == k:
            break
        parts = top.without(options)
        mass = total(parts.weights(w), lengths.repeat_interleave(w.shape[2])).reshape(parts.key.shape)
        real = (mass > NEG_INF) & (parts.key > NEG_INF) & (key > NEG_INF)[:, None]
        free = torch.where(real, mass - torch.where(log_z == NEG_INF, 0.0, log_z)[:, None], 0.0)
        free = free + gumbel_at(seed, place[:, 1:] + (i + 1) * place.numel())
        under = -logaddexp(-torch.where(key > NEG_INF, key, 0.0)[:, None], -free)
        rest = Sets(sets.key[:, 1:], sets.options[:, 1:], sets.first[:, 1:], sets.barred[:, 1:])
        sets = rest.and_more(Sets(torch.where(real, under, NEG_INF), parts.options, parts.first, parts.barred))
    return _stacked(out)


_STRIDE = 0x2545F4914F6CDD1D  # an odd number of many bits: seeds of draws that lie far apart


def _stacked(out: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    first, options = (torch.cat(list(column)) for column in zip(*out, strict=True))
    real = first if first.dtype == torch.bool else first > NEG_INF
    return first, torch.where(real[:, None], options, -1)
