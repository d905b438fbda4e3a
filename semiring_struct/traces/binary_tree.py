"""Binary trees over positions, split at the smallest noise of each interval."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.traces.base import AlgorithmTrace
from semiring_struct.traces.cells import Cells


class Intervals(NamedTuple):
    """For each position, all `(B, n)`: the interval it is in, by its place in pre-order, -1 once it is a node; the
    number of positions before that interval; the node above it, -1 for none; the number of positions before itself.
    """

    interval: Tensor
    before: Tensor
    parent: Tensor
    rank: Tensor


@final
class BinaryTree(AlgorithmTrace):
    """Binary trees whose in-order is 0..n-1: the smallest position is the root, those on each side make its subtrees.

    The order of generation of non-monotonic language models.

    Shape (after any batch dims):
        - log_rates: `(n)`. Forbidden positions and those past a length are not in the tree.
        - trace: `(n)`; the nodes in pre-order, then -1. One trace for each tree.
        - event: `(n, n)`; 1 at `[parent, child]`. The root has no parent.

    Cost: as many steps as the tree is high, `O(log n)` for equal rates, at most n; each of `O(n)`.
    Reference: Struminsky et al. 2021, sec. 2.3 and 5.4 [struminsky2021].
    """

    event_dim = 2
    subtracts = False

    def entries(self, size: int) -> int:
        """One per node."""
        return size

    def size(self, entries: int) -> int:
        """As many positions."""
        return entries

    def start(self, allowed: Tensor, lengths: Tensor) -> Intervals:
        """One interval of all positions."""
        interval = torch.where(allowed, 0, -1)
        blank = torch.zeros_like(interval)
        return Intervals(interval, blank, blank - 1, allowed.cumsum(-1) - allowed.long())

    def stop(self, state: Intervals) -> Tensor:
        """All positions are nodes."""
        return (state.interval < 0).all(-1)

    def split(self, state: Intervals, step: int) -> Cells:
        """The intervals; the node of the interval at place p of the pre-order is entry p of the trace."""
        return Cells(state.interval, state.interval.shape[-1])

    def map(self, state: Intervals, picks: Tensor) -> Intervals:
        """What is left of a node comes next in pre-order; what is right of it, after all that is left."""
        here = torch.arange(picks.shape[-1], device=picks.device)
        node = torch.where(state.interval >= 0, picks.gather(-1, state.interval.clamp(min=0)), -1)
        place = state.rank.gather(-1, node.clamp(min=0))
        right = here > node
        interval = state.interval + torch.where(right, 1 + place - state.before, 1)
        before = torch.where(right, place + 1, state.before)
        inside = node >= 0
        return Intervals(
            torch.where(inside, torch.where(here == node, -1, interval), state.interval),
            torch.where(inside, before, state.before),
            torch.where(inside & (here != node), node, state.parent),
            state.rank,
        )

    def combine(self, trace: Tensor) -> Tensor:
        """Follows the splits; the last node above a position is its parent."""
        n = trace.shape[-1]
        nodes = (trace.unsqueeze(-1) == torch.arange(n, device=trace.device)).any(-2)
        parent = self.follow(trace, nodes, nodes.sum(-1)).parent
        return parent.unsqueeze(-2) == torch.arange(n, device=trace.device).unsqueeze(-1)
