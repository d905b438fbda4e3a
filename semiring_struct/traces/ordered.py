"""Items taken one after another: the k smallest, and all of them in order (Plackett-Luce)."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, prefix_mask
from semiring_struct.traces.cells import Cells
from semiring_struct.traces.choosers import Draw, Greedy, OnNoise
from semiring_struct.traces.rates import Rates
from semiring_struct.traces.replay import refuse_strays
from semiring_struct.traces.shrinking import Shrinking


class Left(NamedTuple):
    """The items not taken yet `(B, n)`, how many are still to be taken `(B,)`."""

    items: Tensor
    wanted: Tensor


class _Ordered(Shrinking):
    """Takes the smallest item again and again; `wanted` says how many times.

    Its steps are known from a sort, so that they are not taken one by one.
    """

    def wanted(self, allowed: Tensor) -> Tensor:
        """How many items each instance takes, `(B,)`, from those there are `(B, n)`."""
        raise NotImplementedError

    def entries(self, size: int) -> int:
        return size

    def size(self, entries: int) -> int:
        return entries

    def start(self, allowed: Tensor, lengths: Tensor) -> Left:
        return Left(allowed, self.wanted(allowed))

    def stop(self, state: Left) -> Tensor:
        return state.wanted == 0

    def split(self, state: Left, step: int) -> Cells:
        return Cells.one(state.items & ~self.stop(state).unsqueeze(-1), step)

    def map(self, state: Left, picks: Tensor) -> Left:
        items = torch.arange(state.items.shape[-1], device=picks.device)
        return Left(state.items & (items != picks), state.wanted - (picks[:, 0] >= 0).long())

    def _least(self, chooser: Draw | Greedy | OnNoise, rates: Rates) -> Tensor:
        chooser.begin(rates, self.subtracts)
        noise = torch.where(rates.allowed, chooser.noise, torch.inf)
        wanted, order = self.wanted(rates.allowed), noise.argsort(dim=-1, stable=True)
        taken = prefix_mask(wanted, noise.shape[-1]) & (noise.gather(-1, order) < torch.inf)
        return chooser.finish(rates, torch.where(taken, order, -1), taken.sum(-1) == wanted)

    def last(self, trace: Tensor, rates: Rates) -> tuple[Tensor, Tensor]:
        n = rates.shape[-1]
        picks, blank = trace.reshape(rates.flat.shape).split([self.steps(n), n - self.steps(n)], -1)
        chosen, wanted = picks >= 0, self.wanted(rates.allowed)
        at = torch.where(chosen, picks, n)
        end = torch.where(rates.allowed, (wanted - 1).unsqueeze(-1), -1)
        step = torch.arange(picks.shape[-1], device=picks.device).expand_as(picks)
        last = torch.nn.functional.pad(end, (0, 1)).scatter(-1, at, step)[:, :-1]
        used = torch.zeros_like(last, dtype=torch.bool)
        used = torch.nn.functional.pad(used, (0, 1)).scatter(-1, at, True)[:, :-1]
        forbidden = (used & (rates.flat.detach() == NEG_INF)).any(-1)
        filled = (chosen == prefix_mask(wanted, picks.shape[-1])).all(-1) & (wanted <= picks.shape[-1])
        right = filled & (blank < 0).all(-1) & (used.sum(-1) == chosen.sum(-1))
        refuse_strays(rates, right | forbidden)
        return last, forbidden


@final
class TopK(_Ordered):
    r"""The k items of the smallest noise: k draws without replacement, in order.

    .. math:: p(t) = \prod_{i=1}^{k} \lambda_{t_i} / \bigl(\sum_j \lambda_j - \sum_{j < i} \lambda_{t_j}\bigr)

    Shape (after any batch dims):
        - log_rates: `(n)`.
        - trace: `(n)`; the items in the order taken, then -1. Entry i is the item of rank i.
        - event: `(n)`, k-hot. A set has `k!` traces.

    Infeasible with fewer than k items. Cost: `O(n log n)`.
    Reference: Algorithm 1 of Struminsky et al. 2021, sec. 2.1 [struminsky2021].
    """

    def __init__(self, k: int):
        if isinstance(k, bool) or not isinstance(k, int) or k < 0:
            raise ValueError(f"TopK needs an integer k >= 0; got {k!r}")
        self.k = k

    def wanted(self, allowed: Tensor) -> Tensor:
        """k, whether there are as many or not."""
        return torch.full_like(allowed[:, 0], self.k, dtype=torch.int64)

    def steps(self, size: int) -> int:
        """k, if there are as many items."""
        return min(self.k, size)

    def combine(self, trace: Tensor) -> Tensor:
        """The items taken."""
        blank = torch.zeros_like(trace, dtype=torch.bool)
        at = torch.where(trace >= 0, trace, trace.shape[-1])
        return torch.nn.functional.pad(blank, (0, 1)).scatter(-1, at, True)[:, :-1]


@final
class Ranking(_Ordered):
    r"""All items by increasing noise: the Plackett-Luce distribution of permutations.

    .. math:: p(t) = \prod_{i=1}^{n} \lambda_{t_i} / \sum_{j \ge i} \lambda_{t_j}

    Shape (after any batch dims):
        - log_rates: `(n)`.
        - trace: `(n)`; entry i is the item of rank i. Forbidden items and those past a length are not ranked; -1 fills
          the ranks that are left.
        - event: `(n, n)`, `[rank, item]`; one trace for each.

    Cost: `O(n log n)`.
    Reference: Plackett 1975 [plackett1975]; Struminsky et al. 2021, sec. 2.3 [struminsky2021].
    """

    event_dim = 2

    def wanted(self, allowed: Tensor) -> Tensor:
        """All there are."""
        return allowed.sum(-1)

    def combine(self, trace: Tensor) -> Tensor:
        """Which item has which rank."""
        return trace.unsqueeze(-1) == torch.arange(trace.shape[-1], device=trace.device)
