"""Linear chains: tag sequences scored by tags and by pairs of neighbouring tags."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask, shown
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, code_of, where_used
from semiring_struct.types import storable


@storable
class ChainPotentials(NamedTuple):
    """`emission (*batch, n, c)`, `transition (*batch, n-1 or 1, c, c)`."""

    emission: Tensor
    transition: Tensor


@final
class LinearChain(DynamicProgram):
    r"""Paths through `n` positions with `c` tags (linear-chain CRF, HMM posterior).

    .. math:: \bigoplus_{y_1 \dots y_n} e_{1,y_1} \bigotimes_{i=2}^{n} w_{i-1,\,y_{i-1},\,y_i} \otimes e_{i,y_i}

    Shape (after any batch dims):
        - emission: `(n, c)`; `[i, a]` scores tag `a` at position `i`.
        - transition: `(n-1, c, c)` or `(1, c, c)` (tied); `[i, a, b]` scores tag `a` at `i` followed by `b` at `i+1`.
        - event: the same; 1 where used, a count where tied. labels: `(n)`, the tag of each position.

    Cost: `O(n c^2)` time, `O(n c)` memory beyond the inputs.
    Reference: Lafferty, McCallum & Pereira 2001, sec. 3 [lafferty2001].
    """

    event_dim = (2, 3)
    shapes = {"emission": "n c", "transition": "n-1 c c"}
    uses_parts_once = True
    potentials = ChainPotentials

    def inside(self, p: Recorder, emission: Expression, transition: Expression) -> Expression:
        """The forward algorithm."""
        n, c = emission.shape
        if n == 0:
            return p.one
        alpha = p.chart(n, c)
        alpha[0] = emission[0]
        for i in range(1, n):
            alpha[i] = (alpha[i - 1][:, None] * transition[i - 1]).sum(0) * emission[i]
        return alpha[p.length - 1].sum(-1)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """Tag `a` at position `i` writes `a` into slot `i`."""
        position, tag = torch.meshgrid(torch.arange(sizes["n"]), torch.arange(sizes["c"]), indexing="ij")
        return LabelCode((sizes["n"],), (code_of((position, tag)), None))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """Tags and pairs of neighbouring tags; tags past the length are ignored."""
        n, c = sizes["n"], sizes["c"]
        kept = prefix_mask(lengths[:, 0], n)
        bad = kept & ((labels < 0) | (labels >= c))
        at = torch.arange(n, device=labels.device)
        pairs = (at[:-1] * c + labels[:, :-1]) * c + labels[:, 1:]
        used = where_used(kept, at * c + labels), where_used(kept[:, 1:], pairs)
        return Encoded.of(used, (bad, f"LinearChain tags must lie in 0..{shown(c - 1)}"))
