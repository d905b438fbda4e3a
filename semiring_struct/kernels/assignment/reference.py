"""The assignment problem by shortest augmenting paths, all instances together."""

from __future__ import annotations

import torch
from torch import Tensor


def best(w: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Whether there is a perfect matching `(B,)`, and the column of each row `(B, n)` in a best one, -1 for none.

    `w (B, n, n)` float64, `-inf` where not allowed. Rows are added one at a time; the cheapest path from the new row
    to a free column, in costs reduced by prices that keep them above 0, says which pairs change. Source: Kuhn 1955
    [kuhn1955]; with shortest paths, Crouse 2016, sec. 2 [crouse2016]. Cost: `O(n^3)`, in `O(n^2)` steps.
    """
    batch, n = w.shape[:2]
    free = n  # stands for "no row" and "no column"
    cost = torch.nn.functional.pad(-w, (0, 1, 0, 1), value=torch.inf)
    row_price, column_price = w.new_zeros(batch, n + 1), w.new_zeros(batch, n + 1)
    owner = torch.full((batch, n + 1), free, dtype=torch.int64, device=w.device)
    found = torch.ones(batch, dtype=torch.bool, device=w.device)
    for row in range(n):
        search = _Search(cost, row_price, column_price, owner, found & (row < lengths), row)
        found = found & ~search.stuck
        owner = torch.where((search.wanted & ~search.stuck)[:, None], search.augmented(), owner)
        row_price, column_price = search.row_price, search.column_price
    columns = torch.full((batch, n + 1), -1, dtype=torch.int64, device=w.device)
    place = torch.arange(n + 1, device=w.device).expand_as(owner)
    return found, columns.scatter(1, owner, torch.where(owner < free, place, -1))[:, :n]


class _Search:
    """The cheapest path from `row` to a column that no row owns, and the prices after it."""

    def __init__(self, cost: Tensor, row_price: Tensor, column_price: Tensor, owner: Tensor, wanted: Tensor, row: int):
        size = cost.shape[1]
        self.wanted, self.row, self.owner = wanted, row, owner
        self.row_price, self.column_price = row_price, column_price
        self.stuck = torch.zeros_like(wanted)
        self.origin = torch.full_like(owner, size - 1)  # the column from whose row a column was reached
        at = torch.full_like(owner[:, :1], size - 1)  # the column that is looked at, first none
        near = torch.full_like(row_price, torch.inf)
        seen = torch.zeros_like(near, dtype=torch.bool)
        seen[:, -1] = True
        active = wanted
        while bool(active.any()):
            mine = torch.where(at == size - 1, row, owner.gather(1, at))
            step = cost.gather(1, mine[..., None].expand(-1, 1, size)).squeeze(1)
            step = step - self.row_price.gather(1, mine) - self.column_price
            closer = (step < near) & ~seen & active[:, None]
            near = torch.where(closer, step, near)
            self.origin = torch.where(closer, at, self.origin)
            change, reached = torch.where(seen, torch.inf, near).min(1, keepdim=True)
            self.stuck |= active & (change[:, 0] == torch.inf)
            active = active & ~self.stuck
            self._pay(torch.where(active[:, None], change, 0.0), seen, owner, row)
            near = torch.where(seen, near, near - torch.where(active[:, None], change, 0.0))
            at = torch.where(active[:, None], reached, at)
            active = active & (owner.gather(1, at)[:, 0] < size - 1)
            seen = seen | (active[:, None] & torch.zeros_like(seen).scatter(1, at, True))
        self.end = at

    def _pay(self, change: Tensor, seen: Tensor, owner: Tensor, row: int) -> None:
        """Rows on the way become dearer, their columns cheaper, so that the pairs on the way keep reduced cost 0."""
        rows = owner.clone()
        rows[:, -1] = row
        self.row_price = self.row_price.scatter_add(1, rows, torch.where(seen, change, 0.0))
        self.column_price = self.column_price - torch.where(seen, change, 0.0)
        self.column_price[:, -1] = 0.0

    def augmented(self) -> Tensor:
        """The owners of columns after every pair on the path has moved on by one."""
        size = self.owner.shape[1]
        owner, at = self.owner, self.end
        for _ in range(size):
            before = self.origin.gather(1, at)
            new = torch.where(before == size - 1, self.row, self.owner.gather(1, before))
            new = torch.where(at == size - 1, size - 1, new)
            owner = owner.scatter(1, at, new)
            at = torch.where(at == size - 1, at, before)
        return owner
