"""Semi-Markov models: segmentations whose segments carry a label and have at most a given width."""

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
class SemiMarkovPotentials(NamedTuple):
    """`segment (*batch, n, w, c)`, `transition (*batch, n or 1, c, c)`."""

    segment: Tensor
    transition: Tensor


@final
class SemiMarkov(DynamicProgram):
    r"""Segmentations of `n` positions into labelled segments of width 1 to `w`.

    .. math:: \bigoplus_{\text{segmentations}} \bigotimes_{s} g_{i_s,\,k_s,\,l_s}
              \bigotimes_{s>1} w_{i_s,\,l_{s-1},\,l_s}

    Shape (after any batch dims):
        - segment: `(n, w, c)`; `[i, k, l]` scores label `l` on positions `i .. i+k`. Segments past the end are ignored.
        - transition: `(n, c, c)` or `(1, c, c)` (tied); `[i, a, b]`: a segment labelled `b` that starts at `i` follows
          one labelled `a`. Row 0 is never used when untied.
        - event: the same; a count where tied. labels: `(n, 2)`: where a segment starts at `i`, `[i, 0]` is its `k` and
          `[i, 1]` its label; -1 elsewhere.

    Cost: `O(n c (w + c))` time, `O(n c)` memory beyond the inputs.
    Reference: Sarawagi & Cohen 2004, sec. 2.2 [sarawagi2004].
    """

    event_dim = (3, 3)
    shapes = {"segment": "n w c", "transition": "n c c"}
    uses_parts_once = True
    potentials = SemiMarkovPotentials

    def inside(self, p: Recorder, segment: Expression, transition: Expression) -> Expression:
        """Totals of the prefixes that end at `i` with a label, and of those about to start one there."""
        n, w, c = segment.shape
        if n == 0:
            return p.one
        start, end = p.chart(n, c), p.chart(n, c)
        start[0] = p.one.expand(c)
        for i in range(n):
            first = max(0, i - w + 1)
            ending_here = segment.antidiagonal(i, first, i + 1)     # [l, j]: the segment j .. i labelled l
            end[i] = (start[first : i + 1].T * ending_here).sum(-1)
            if i + 1 < n:
                start[i + 1] = (end[i][:, None] * transition[i + 1]).sum(0)
        return end[p.length - 1].sum(-1)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """A segment `(i, k, l)` writes `k` into slot `(i, 0)` and `l` into slot `(i, 1)`."""
        i, k, label = torch.meshgrid(*(torch.arange(sizes[x]) for x in "nwc"), indexing="ij")
        return LabelCode((sizes["n"], 2), (code_of((2 * i, k), (2 * i + 1, label)), None))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """Segments and pairs of neighbours; the segments tile the sequence."""
        n, w, c = (sizes[x] for x in "nwc")
        kept = prefix_mask(lengths[:, 0], n)
        width, label = labels.unbind(-1)
        starts = kept & (width >= 0)
        bad = (width >= w) | (label < 0) | (label >= c)
        bad = (starts & bad) | (kept & (width < -1))
        at = torch.arange(n, device=labels.device)
        stop = torch.where(starts, at + width + 1, 0)
        covered = (stop.clamp(max=n)[:, :, None] == at + 1).sum(1)
        begun = torch.cat([kept[:, :1], covered[:, :-1] > 0], 1) & kept
        last = torch.nn.functional.pad(stop, (0, 1)).amax(-1)
        untiled = (begun != starts).any(-1) | (last != lengths[:, 0]) | (covered > 1).any(-1)
        since = torch.where(starts, at, -1).cummax(-1).values    # where the segment over each position starts
        before = torch.cat([label[:, :1], label.gather(1, since.clamp(min=0))[:, :-1]], 1)
        segments = where_used(starts, (at * w + width) * c + label)
        return Encoded.of(
            (segments, where_used(starts & (at > 0), (at * c + before) * c + label)),
            (
                bad,
                f"segments need k in 0..{shown(w - 1)} and a label in 0..{shown(c - 1)}, or k = -1 where none starts",
            ),
            (untiled, "segments must tile positions 0..length-1 without gap or overlap"),
        )
