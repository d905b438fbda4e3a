"""Vectors of bits: any subset of the items."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, item_code, items_used


@final
class BitVector(DynamicProgram):
    r"""Any subset of `d` bits: independent bits, bit `i` on with log-odds `item[i]`.

    .. math:: \bigotimes_{i} \left(\bar{1} \oplus w_i\right)

    Shape (after any batch dims):
        - item: `(d)`; `[i]` scores bit `i` being on, against 0 for off.
        - event: the bits. labels: `(d)`, the bits that are on in ascending order, then -1.

    Cost: `O(d)`; the `k` best in `O(k d)`.
    Reference: Correia et al. 2020, sec. 4.1 and 5.3 (bit vectors and their `k` best) [correia2020].
    """

    event_dim = 1
    shapes = {"item": "d"}
    sides = ("d",)
    uses_parts_once = True

    def inside(self, p: Recorder, item: Expression) -> Expression:
        """Totals of the first `i` bits: each is left off or put on."""
        d = item.shape[0]
        total = p.chart(d + 1)
        total[0] = p.one
        for i in range(d):
            total[i + 1] = total[i] + total[i] * item[i]
        return total[p.length]

    def best(self, fields: tuple[Tensor, ...], lengths: Tensor) -> tuple[Tensor, ...]:
        """The bits of positive score."""
        (item,) = fields
        on = (item > 0) & prefix_mask(lengths[:, 0], item.shape[-1])
        slot = torch.arange(item.shape[-1], device=item.device)
        return torch.ones_like(lengths[:, 0], dtype=torch.bool), torch.where(on, slot, -1)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The bits that are on."""
        return LabelCode((sizes["d"],), (item_code(sizes["d"]),), slots=sizes["d"])

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The bits named, in ascending order and below the length."""
        used, fault = items_used("BitVector", labels, lengths)
        return Encoded.of((used,), fault)
