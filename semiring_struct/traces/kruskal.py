"""Minimum spanning trees by Kruskal's algorithm."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.traces.cells import Cells
from semiring_struct.traces.shrinking import Shrinking


class Forest(NamedTuple):
    """The component of each vertex `(B, m)`, the edges that exist `(B, m, m)`, how many are still needed `(B,)`."""

    component: Tensor
    edges: Tensor
    needed: Tensor


@final
class Kruskal(Shrinking):
    """Minimum spanning trees of a graph on m vertices: the smallest edge between two components, again and again.

    Shape (after any batch dims):
        - log_rates: `(m, m)`; `[i, j]`, of which i < j alone is read. lengths count vertices.
        - trace: `(m-1)`; the edges `i * m + j` in the order accepted. A tree has many traces, of unequal probability.
        - event: `(m, m)`; 1 at `[i, j]`, i < j, for each edge of the tree.

    Equal rates do not make trees equally probable. Infeasible where the allowed edges do not connect the vertices.
    Cost: m - 1 steps of `O(m^2)`.
    Reference: Kruskal 1956 [kruskal1956]; Struminsky et al. 2021, sec. 2.3 [struminsky2021].
    """

    event_dim = 2
    rates_dim = 2

    def entries(self, size: int) -> int:
        """One per edge of a tree."""
        return size - 1

    def size(self, entries: int) -> int:
        """One vertex more than edges."""
        return entries + 1

    def reads(self, size: int, device: torch.device) -> Tensor:
        """Each pair of vertices once."""
        return torch.ones(size, size, dtype=torch.bool, device=device).triu(1)

    def start(self, allowed: Tensor, lengths: Tensor) -> Forest:
        """Every vertex on its own."""
        component = torch.arange(allowed.shape[-1], device=allowed.device).expand(len(allowed), -1)
        return Forest(component, allowed, (lengths - 1).clamp(min=0))

    def stop(self, state: Forest) -> Tensor:
        """All edges found."""
        return state.needed == 0

    def split(self, state: Forest, step: int) -> Cells:
        """One cell: edges between different components."""
        apart = state.component.unsqueeze(-1) != state.component.unsqueeze(-2)
        return Cells.one((state.edges & apart).flatten(1), step)

    def map(self, state: Forest, picks: Tensor) -> Forest:
        """Joins the two components of the edge."""
        m = state.component.shape[-1]
        edge = picks.clamp(min=0)
        kept, gone = state.component.gather(-1, edge // m), state.component.gather(-1, edge % m)
        joined = torch.where((state.component == gone) & (picks >= 0), kept, state.component)
        return Forest(joined, state.edges, state.needed - (picks[:, 0] >= 0).long())

    def combine(self, trace: Tensor) -> Tensor:
        """The edges accepted."""
        m = self.size(trace.shape[-1])
        return used_pairs(trace, m)


def used_pairs(picks: Tensor, m: int) -> Tensor:
    """The pairs `i * m + j` among `picks (B, k)`, -1 for none, as booleans `(B, m, m)`."""
    blank = torch.zeros(len(picks), m * m + 1, dtype=torch.bool, device=picks.device)
    return blank.scatter(-1, torch.where(picks >= 0, picks, m * m), True)[:, :-1].reshape(len(picks), m, m)
