"""Binary bracketings of a sentence, plain or labelled."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask, shown
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.brackets import is_binary_tree
from semiring_struct.structures.labels import Encoded, LabelCode, code_of, where_used


@final
class SpanTree(DynamicProgram):
    r"""Binary trees over `n` leaves; every span of width 1 to `n` of the tree scores, with one of `c` labels if any.

    .. math:: T_{i,j} = s_{i,j} \otimes \bigoplus_{i \le k < j} T_{i,k} \otimes T_{k+1,j}, \qquad T_{i,i} = s_{i,i}

    Shape (after any batch dims):
        - span: `(n, n)` or, labelled, `(n, n, c)`; `[i, j]` scores the span of leaves `i .. j`, both ends included.
          Entries below the diagonal are ignored.
        - event: the same. labels: `(n, n)`, the label of the span `i .. j` (0 if unlabelled), -1 where there is none.

    `labelled` says which of the two shapes is meant; None tells them apart by which trailing sizes agree, and takes
    `(n, n)` where both readings fit.

    Cost: `O(n^3 + n^2 c)` time, `O(n^2)` memory beyond the inputs.
    Reference: Stern, Andreas & Klein 2017, sec. 3 [stern2017].
    """

    uses_parts_once = True

    def __init__(self, labelled: bool | None = None):
        self.labelled = labelled

    @property
    def event_dim(self) -> int:
        """2, or 3 with labels."""
        return 3 if self.labelled else 2

    @property
    def shapes(self) -> dict[str, str]:
        """One field, with or without labels."""
        return {"span": "n n c" if self.labelled else "n n"}

    def resolve(self, fields: tuple[Tensor, ...]) -> SpanTree:
        """Settle `labelled` by the shape of the potentials."""
        shape = fields[0].shape
        if self.labelled is not None or len(fields) != 1 or len(shape) < 3 or shape[-1] == shape[-2]:
            return self
        return _FORMS[shape[-2] == shape[-3]]

    def inside(self, p: Recorder, span: Expression) -> Expression:
        """Spans by left end and width, and by right end and width: each width is one strided product."""
        n = span.shape[0]
        if n == 0:
            return p.one
        left, right = p.chart(n, n), p.chart(n, n)
        left[:, 0] = right[:, n - 1] = self._scores(span, 0)
        for w in range(1, n):
            inner = (left[: n - w, :w] * right[w:, n - w :]).sum(-1)
            left[: n - w, w] = right[w:, n - 1 - w] = inner * self._scores(span, w)
        return left[0, p.length - 1]

    def _scores(self, span: Expression, w: int) -> Expression:
        scores = span.diagonal(w)
        return scores.sum(0) if self.labelled else scores

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The span `i .. j` writes its label into slot `(i, j)`."""
        n, c = sizes["n"], sizes["c"] if self.labelled else 1
        slot = torch.arange(n * n).reshape(n, n, 1).expand(n, n, c)
        return LabelCode((n, n), (code_of((slot, torch.arange(c).expand(n, n, c))),))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The labelled spans of a binary tree over the leaves."""
        n, c = sizes["n"], sizes["c"] if self.labelled else 1
        inside = prefix_mask(lengths[:, 0], n)
        kept = inside[:, :, None] & inside[:, None, :] & torch.ones(n, n, dtype=torch.bool, device=labels.device).triu()
        bad = kept & ((labels >= c) | (labels < -1))
        used = kept & (labels >= 0)
        return Encoded.of(
            (where_used(used, torch.arange(n * n, device=labels.device).reshape(n, n) * c + labels),),
            (bad, f"SpanTree labels must lie in 0..{shown(c - 1)}, or be -1 where there is no span"),
            (~is_binary_tree(used, lengths[:, 0]), "SpanTree labels must mark the 2n-1 spans of one binary tree"),
        )


_FORMS = (SpanTree(labelled=False), SpanTree(labelled=True))  # not made anew: compiled graphs know them as constants
