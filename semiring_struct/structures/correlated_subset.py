"""Subsets of a given size whose neighbouring items interact."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, item_code, items_used
from semiring_struct.types import storable


@storable
class SubsetPotentials(NamedTuple):
    """`item (*batch, n)`, `pair (*batch, n-1)`, or `(*batch, 1)` where tied."""

    item: Tensor
    pair: Tensor


@final
class CorrelatedSubset(DynamicProgram):
    r"""Subsets of exactly `k` of `n` items in a row, scored by their items and by the neighbours among them.

    .. math:: \bigoplus_{|S| = k} \bigotimes_{i \in S} w_i \bigotimes_{i, i+1 \in S} v_i

    Shape (after any batch dims):
        - item: `(n)`; `[i]` scores item `i` being taken, against 0 for left.
        - pair: `(n-1)` or `(1)` (tied); `[i]` scores items `i` and `i+1` both being taken.
        - event: the same; a count where tied. labels: `(k)`, the items taken in ascending order.

    An instance of length below `k` is infeasible, as it is where `k > n`.

    Cost: `O(n k)` time and memory.
    Reference: Paulus et al. 2020, sec. 6 and app. B (correlated k-subset selection) [paulus2020].
    """

    event_dim = (1, 1)
    shapes = {"item": "n", "pair": "n-1"}
    uses_parts_once = True
    potentials = SubsetPotentials

    def __init__(self, k: int):
        if isinstance(k, bool) or not isinstance(k, int) or k < 0:
            raise ValueError(f"CorrelatedSubset takes an integer k >= 0; got {k!r}")
        self.k = k

    def inside(self, p: Recorder, item: Expression, pair: Expression) -> Expression:
        """Totals of the first `i` items by the number taken, the last one left or taken."""
        n = item.shape[0]
        left, taken = p.chart(n + 1, self.k + 2), p.chart(n + 1, self.k + 2)     # the first column stays ⊕-zero
        left[0, 1] = p.one
        for i in range(n):
            left[i + 1, 1:] = left[i, 1:] + taken[i, 1:]
            either = left[i, :-1] + taken[i, :-1] * pair[i - 1] if i else left[i, :-1]
            taken[i + 1, 1:] = either * item[i]
        return left[p.length, -1] + taken[p.length, -1]

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """Fewer items than a subset has."""
        few = lengths[0] < self.k
        return f"a subset of k={self.k} does not fit {lengths[0]} items; take a smaller k" if few else None

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The items taken."""
        return LabelCode((self.k,), (item_code(sizes["n"]), None), slots=sizes["n"])

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The items named, in ascending order and as many as are asked for, and the neighbours among them."""
        used, fault = items_used("CorrelatedSubset", labels, lengths)
        few = (used < 0, f"CorrelatedSubset labels must name {self.k} items, none of them -1")
        together = used[:, 1:] == used[:, :-1] + 1
        return Encoded.of((used, torch.where(together, used[:, :-1], -1)), fault, few)
