"""Monotonic alignments: every frame on one token, tokens in order and none skipped."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, code_of, where_used


@final
class MonotonicAlignment(DynamicProgram):
    r"""Alignments of `t` frames with `l` tokens: the first frame is on the first token, the last on the last, and each
    frame on the token of the frame before it or on the next one.

    .. math:: A_{i,j} = (A_{i-1,j} \oplus A_{i-1,j-1}) \otimes s_{i,j}

    Shape (after any batch dims):
        - score: `(t, l)`; `[i, j]` scores frame `i` on token `j`.
        - event: the same. labels: `(t)`, the token of each frame.
        - lengths: a pair, of frames and of tokens. Fewer frames than tokens, or frames without a token, are infeasible.

    Cost: `O(t l)` time and memory.
    Reference: Kim et al. 2020, sec. 3.1 (monotonic alignment search, its best alignment) [kim2020].
    """

    event_dim = 2
    shapes = {"score": "t l"}
    sides = ("t", "l")
    uses_parts_once = True

    def inside(self, p: Recorder, score: Expression) -> Expression:
        """Totals of the first `i` frames on exactly the first `j` tokens."""
        t, l = score.shape  # noqa: E741, reason: the contract's letter
        total = p.chart(t + 1, l + 1)
        total[0, 0] = p.one
        for i in range(t):
            total[i + 1, 1:] = (total[i, 1:] + total[i, :-1]) * score[i]
        return total[p.lengths[0], p.lengths[1]]

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """Frames that are too few for the tokens, or that have none to be on."""
        frames, tokens = lengths
        if tokens <= frames and (tokens or not frames):
            return None
        return f"every token needs a frame and every frame a token, and there are {frames} frames, {tokens} tokens"

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """Frame `i` on token `j` writes `j` into slot `i`."""
        frame, token = torch.meshgrid(torch.arange(sizes["t"]), torch.arange(sizes["l"]), indexing="ij")
        return LabelCode((sizes["t"],), (code_of((frame, token)),))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The cells used: the tokens run from the first to the last in steps of 0 or 1."""
        kept = prefix_mask(lengths[:, 0], sizes["t"])
        step = labels.diff(dim=1, prepend=torch.zeros_like(labels[:, :1]))
        last = torch.nn.functional.pad(labels, (0, 1)).gather(1, (lengths[:, :1] - 1).clamp(min=0))[:, 0] + 1
        ends = torch.where(lengths[:, 0] > 0, last, 0) == lengths[:, 1]
        bad = kept & ((step < 0) | (step > 1) | (labels >= lengths[:, 1:]))
        bad = bad | (kept[:, :1] & (labels[:, :1] != 0)) | ~ends[:, None]
        at = torch.arange(sizes["t"], device=labels.device)
        fault = bad, "MonotonicAlignment labels run from token 0 to the last token in steps of 0 or 1"
        return Encoded.of((where_used(kept, at * sizes["l"] + labels),), fault)
