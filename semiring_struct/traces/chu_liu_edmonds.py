"""Minimum arborescences by the algorithm of Chu, Liu and Edmonds."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.ops import known_all
from semiring_struct.traces.base import AlgorithmTrace
from semiring_struct.traces.cells import Cells
from semiring_struct.traces.kruskal import used_pairs


class Contraction(NamedTuple):
    """Components are numbered: the nodes, then contracted cycles in the order made; e is the number of entries.

    Fields: the component of each node `(B, m)`; whether it has yet to choose `(B, m)`; the choice of each component
    `(B, e)`, -1 for none; the cycle that each was contracted into `(B, e)`, -1 for none; the number of contracted
    cycles `(B,)`; the nodes that need a head `(B, m)`; the arcs that exist `(B, m, m)`.
    """

    component: Tensor
    fresh: Tensor
    choice: Tensor
    into: Tensor
    made: Tensor
    nodes: Tensor
    arcs: Tensor


@final
class ChuLiuEdmonds(AlgorithmTrace):
    """The minimum arborescence away from `root` on m nodes.

    Every component takes its smallest entering arc; cycles become components, which have yet to take theirs; one that
    is not part of a cycle keeps its own. What is subtracted differs between the parts of a component, so the law holds
    for exponential noise and not for Gumbel utilities.

    Shape (after any batch dims), with `m = n + 1`:
        - log_rates: `(m, m)`; `[head, dependent]`. Column `root` and the diagonal are ignored. lengths count the nodes
          other than the root, 0..n; the nodes of an instance are the first ones, the root among them.
        - trace: `(2m-2)`; entry d < m is the arc `head * m + dependent` taken by node d, entry m + i that taken by the
          i-th contracted cycle; -1 for the root and for cycles there are none of. A tree has several traces.
        - event: `(m, m)`; 1 at `[head, dependent]` of each arc of the tree.

    Infeasible where a node can not be reached from the root.
    Cost: as many steps as cycles are nested, each of `O(m^2)`; at most m - 1.
    Reference: Edmonds 1967 [edmonds1967]; Struminsky et al. 2021, sec. 2.3 [struminsky2021].
    """

    event_dim = 2
    rates_dim = 2
    extra = 1

    def __init__(self, root: int = 0):
        if isinstance(root, bool) or not isinstance(root, int) or root < 0:
            raise ValueError(f"ChuLiuEdmonds needs a root >= 0, the number of a node; got {root!r}")
        self.root = root

    def entries(self, size: int) -> int:
        """One per component there can be."""
        return max(2 * size - 2, 1)

    def size(self, entries: int) -> int:
        """The number of nodes."""
        return entries // 2 + 1

    def steps(self, size: int) -> int:
        """Each contracts a cycle, but the last."""
        return max(size - 1, 1)

    def reads(self, size: int, device: torch.device) -> Tensor:
        """Arcs between different nodes, into all but the root."""
        if self.root >= size:
            raise ValueError(f"ChuLiuEdmonds(root={self.root}) needs that node; log_rates have nodes 0..{size - 1}")
        nodes = torch.arange(size, device=device)
        return (nodes.unsqueeze(-1) != nodes) & (nodes != self.root)

    def start(self, allowed: Tensor, lengths: Tensor) -> Contraction:
        """Every node on its own."""
        m, e = allowed.shape[-1], self.entries(allowed.shape[-1])
        component = torch.arange(m, device=allowed.device).expand(len(allowed), m)
        present = (component <= lengths.unsqueeze(-1)) & (component != self.root)
        blank = component.new_full((len(allowed), e), -1)
        return Contraction(component, present, blank, blank, torch.zeros_like(lengths), present, allowed)

    def stop(self, state: Contraction) -> Tensor:
        """All components have taken an arc, and no cycle is left."""
        head = state.choice.gather(-1, state.component) >= 0
        return (~state.nodes | (head & ~state.fresh)).all(-1)

    def split(self, state: Contraction, step: int) -> Cells:
        """A cell for each component that has yet to choose: the arcs that enter it."""
        between = state.component.unsqueeze(-1) != state.component.unsqueeze(-2)
        entering = state.arcs & between & state.fresh.unsqueeze(-2)
        of = torch.where(entering, state.component.unsqueeze(-2), -1)
        return Cells(of.flatten(1), state.choice.shape[-1])

    def map(self, state: Contraction, picks: Tensor) -> Contraction:
        """Contracts all cycles of chosen arcs."""
        m, e = state.component.shape[-1], picks.shape[-1]
        choice = torch.where(picks >= 0, picks, state.choice)
        ids = torch.arange(e, device=picks.device).expand_as(choice)
        current = torch.zeros_like(ids, dtype=torch.bool).scatter(-1, state.component, True)
        head = state.component.gather(-1, choice.clamp(min=0) // m)
        on_cycle, least = cycles(torch.where(current & (choice >= 0), head, ids))
        leader = on_cycle & (least == ids)
        number = m + state.made.unsqueeze(-1) + leader.cumsum(-1) - 1
        into = torch.where(on_cycle, number.gather(-1, least), state.into)
        fresh = on_cycle.gather(-1, state.component)
        component = torch.where(fresh, into.gather(-1, state.component), state.component)
        return Contraction(component, fresh, choice, into, state.made + leader.sum(-1), state.nodes, state.arcs)

    def combine(self, trace: Tensor) -> Tensor:
        """Expands cycles from the outermost in: the part that an arc enters gives up its own choice for it."""
        m, e = self.size(trace.shape[-1]), trace.shape[-1]
        every = torch.ones(len(trace), m, m, dtype=torch.bool, device=trace.device)
        into = self.follow(trace, every, torch.full_like(trace[:, 0], m - 1)).into
        holds = membership(into, m)
        inner, outer = into >= 0, into.clamp(min=0)
        entry = trace
        for _ in range(e - m):
            above = entry.gather(-1, outer)
            enters = holds.gather(-1, (above.clamp(min=0) % m).unsqueeze(-1)).squeeze(-1) & (above >= 0)
            wider = torch.where(inner & enters, above, trace)
            if known_all(wider == entry):
                break
            entry = wider
        return used_pairs(entry[:, :m], m)


def cycles(successor: Tensor) -> tuple[Tensor, Tensor]:
    """Of `successor (B, e)`: which elements lie on a cycle of two or more, and the least that each comes by."""
    ids = torch.arange(successor.shape[-1], device=successor.device).expand_as(successor)
    ahead, least = successor, torch.minimum(ids, successor)
    for _ in range(max(successor.shape[-1] - 1, 1).bit_length()):  # looks 2, 4, 8 ... steps ahead
        least = torch.minimum(least, least.gather(-1, ahead))
        ahead = ahead.gather(-1, ahead)
    reached = torch.zeros_like(ids, dtype=torch.bool).scatter(-1, ahead, True)
    return reached & (successor != ids), least


def membership(into: Tensor, m: int) -> Tensor:
    """Which components hold which nodes, `(B, e, m)`, from the cycle that each was contracted into `(B, e)`."""
    e = into.shape[-1]
    nodes = torch.arange(m, device=into.device).expand(len(into), 1, m)
    chain = torch.nn.functional.pad(torch.where(into >= 0, into, e), (0, 1), value=e).unsqueeze(1)
    holds = torch.zeros(len(into), e + 1, m, dtype=torch.bool, device=into.device)
    for _ in range(max(e - m + 1, 1)):
        if known_all(nodes == e):
            break
        holds = holds.scatter(1, nodes, True)
        nodes = chain.gather(-1, nodes)
    return holds[:, :e]
