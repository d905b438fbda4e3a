"""Subsets of a given size, or of at most a given size."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import NEG_INF, prefix_mask
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, item_code, items_used


@final
class Subset(DynamicProgram):
    r"""Subsets of exactly `k` of `n` items, or of at most `at_most` of them; give one of the two.

    .. math:: C_{i,j} = C_{i-1,j} \oplus C_{i-1,j-1} \otimes w_i, \qquad \text{total } C_{n,k}
              \text{ or } \textstyle\bigoplus_{j \le k} C_{n,j}

    Shape (after any batch dims):
        - item: `(n)`; `[i]` scores item `i` being taken, against 0 for left.
        - event: 1 where taken. labels: `(k)`, the items taken in ascending order, then -1.

    An instance of length below `k` has no subset of `k`: it is infeasible, as it is where `k > n`.

    Cost: `O(n k)` time and memory; the best one is the largest items, in `O(n log n)`.
    Reference: Paulus et al. 2020, sec. 6 (k-subset selection) [paulus2020].
    """

    event_dim = 1
    shapes = {"item": "n"}
    uses_parts_once = True

    def __init__(self, k: int | None = None, *, at_most: int | None = None):
        given = [size for size in (k, at_most) if size is not None]
        if len(given) != 1 or isinstance(given[0], bool) or not isinstance(given[0], int) or given[0] < 0:
            raise ValueError(f"Subset takes one integer >= 0, k or at_most; got k={k!r}, at_most={at_most!r}")
        self.k, self.at_most = k, at_most

    @property
    def most(self) -> int:
        """The largest size of a subset."""
        return self.k if self.k is not None else self.at_most or 0

    def inside(self, p: Recorder, item: Expression) -> Expression:
        """Totals of the subsets of the first `i` items by their size; the first column stays ⊕-zero."""
        n = item.shape[0]
        sized = p.chart(n + 1, self.most + 2)
        sized[0, 1] = p.one
        for i in range(n):
            sized[i + 1, 1:] = sized[i, 1:] + sized[i, :-1] * item[i]
        return sized[p.length, -1] if self.k is not None else sized[p.length, 1:].sum()

    def best(self, fields: tuple[Tensor, ...], lengths: Tensor) -> tuple[Tensor, ...]:
        """The items of largest score, the first of tied ones; at most so many of positive score."""
        (item,) = fields
        item = torch.where(prefix_mask(lengths[:, 0], item.shape[-1]), item, NEG_INF)
        value, order = item.sort(dim=-1, descending=True, stable=True)
        value, order = value[:, : self.most], order[:, : self.most]
        if self.k is None:
            return torch.ones_like(lengths[:, 0], dtype=torch.bool), torch.where(value > 0, order, -1)
        feasible = (item > NEG_INF).sum(-1) >= self.k
        return feasible, torch.where(feasible[:, None], order, -1)

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """Fewer items than a subset has."""
        few = self.k is not None and lengths[0] < self.k
        return f"a subset of k={self.k} does not fit {lengths[0]} items; take a smaller k, or at_most" if few else None

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The items taken."""
        return LabelCode((self.most,), (item_code(sizes["n"]),), slots=sizes["n"])

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The items named, in ascending order and below the length, as many as are asked for."""
        used, fault = items_used("Subset", labels, lengths)
        if self.k is None:
            return Encoded.of((used,), fault)
        return Encoded.of((used,), fault, (used < 0, f"Subset labels must name {self.k} items, none of them -1"))
