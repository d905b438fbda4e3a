"""Projective dependency trees (Eisner), with one word or any number of words attached to the root."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.heads import above, arcs_of, entries_of, head_code, heads_of
from semiring_struct.structures.labels import Encoded, LabelCode


@final
class ProjectiveTree(DynamicProgram):
    r"""Projective dependency trees over `n` words: every word has a head, and no two arcs cross or cover the root.

    .. math:: \bigoplus_{\text{trees}} \bigotimes_{(h, d)} w_{h,d}

    Shape (after any batch dims), with `m = n + 1` and node 0 the root symbol:
        - arc: `(m, m)`; `[h, d]` scores the arc from head `h` to dependent `d`. Column 0 and the diagonal are ignored.
        - event: the same. labels: `(m)`, the head of each node; entry 0 is -1 and is ignored when read.
        - lengths count words, `0..n`.

    `single_root=True` keeps the trees in which exactly one word hangs from the root.

    Cost: `O(n^3)` time, `O(n^2)` memory.
    Reference: Eisner 1996, sec. 3 [eisner1996]; its four charts: Kübler, McDonald & Nivre 2009, ch. 4 [kubler2009].
    """

    event_dim = 2
    shapes = {"arc": "n+1 n+1"}
    uses_parts_once = True

    def __init__(self, single_root: bool = False):
        self.single_root = single_root

    def inside(self, p: Recorder, arc: Expression) -> Expression:
        """Complete spans point away from their head's end; incomplete ones carry the arc between their ends.

        Charts named `.._l` are indexed by left end and width, `.._r` by right end and width counted from the right, so
        that each width is one strided product. The root takes part as node 0, or closes each sentence at the end.
        """
        m = arc.shape[0]
        right_l, left_r = p.chart(m, m), p.chart(m, m)      # complete, headed by the left end, by the right end
        right_r, left_l = p.chart(m, m), p.chart(m, m)
        open_right_l, open_left_r = p.chart(m, m), p.chart(m, m)  # incomplete: arc left -> right, right -> left
        right_l[:, 0] = right_r[:, m - 1] = p.one.expand(m)
        left_l[:, 0] = left_r[:, m - 1] = p.one.expand(m)
        first = 1 if self.single_root else 0
        for w in range(1, m - first):
            a, b = slice(first, m - w), slice(first + w, m)  # left ends, right ends
            pair = (right_l[a, :w] * left_r[b, m - w :]).sum(-1)
            open_right_l[a, w] = pair * arc.diagonal(w)[first:]
            open_left_r[b, m - 1 - w] = pair * arc.diagonal(-w)[first:]
            left_l[a, w] = left_r[b, m - 1 - w] = (left_l[a, :w] * open_left_r[b, m - 1 - w : m - 1]).sum(-1)
            right_l[a, w] = right_r[b, m - 1 - w] = (open_right_l[a, 1 : w + 1] * right_r[b, m - w :]).sum(-1)
        if not self.single_root:
            return right_l[0, p.length]
        total = p.chart(m)
        total[0] = p.one
        for n in range(1, m):                                # one word takes the root's arc and spans 1..n both ways
            total[n] = (left_l[1, :n] * arc[0, 1 : n + 1] * right_r[n, m - n :]).sum(-1)
        return total[p.length]

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The head of each node."""
        return head_code(sizes["n"] + 1)

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The arcs of a projective tree."""
        words, heads, faults = heads_of(labels, lengths, self.single_root)
        crossing = ~_projective(arcs_of(heads, words), words)
        fault = crossing, "heads must form a projective tree: no cycle, no crossing arcs"
        return Encoded.of((entries_of(torch.where(words, heads, -1)),), *faults, fault)


def _projective(arcs: Tensor, words: Tensor) -> Tensor:
    """Whether every word descends from the root, and from the head of every arc that covers it."""
    over, at = above(arcs), torch.arange(arcs.shape[-1], device=arcs.device)
    low, high = torch.minimum(at[:, None], at), torch.maximum(at[:, None], at)
    between = (low[..., None] < at) & (at < high[..., None])  # [h, d, k]
    stray = (arcs & (torch.einsum("hdk,bhk->bhd", between.float(), (~over).float()) > 0)).any(-1).any(-1)
    return (over[:, 0] | ~words).all(-1) & ~stray
