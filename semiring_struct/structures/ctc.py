"""Connectionist temporal classification: the ways in which frames can emit a given target."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.ops import NEG_INF, pick, prefix_mask, refuse_where, shown
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.frames import frame_faults, too_few_frames
from semiring_struct.structures.labels import Encoded, LabelCode, code_of, where_used
from semiring_struct.structures.targets import targets_of


@final
class CTC(DynamicProgram):
    r"""Strings of `t` symbols that give the target once repeats are merged and blanks dropped.

    With :math:`A_{i,j}` where frame `i` emits target symbol `j`, and :math:`B_{i,j}` where it emits a blank after `j`:

    .. math:: B_{i,j} = (B_{i-1,j} \oplus A_{i-1,j}) \otimes b_i, \qquad
              A_{i,j} = (A_{i-1,j} \oplus B_{i-1,j-1} \oplus A_{i-1,j-1}\,[y_j \ne y_{j-1}]) \otimes s_{i,y_j}

    `targets (*batch, l)` integers, of which the first `target_lengths (*batch,)` count (all if None); their batch dims
    broadcast with those of the potentials. Or, as in torch, `targets` of one dim are those of `b` instances one after
    the other, and `target_lengths (b)` add up to their number. `blank` is the index of the blank symbol. Queries raise
    `ValueError` for targets out of range or blank, `ShapeError` where batch dims do not fit.

    Shape (after any batch dims):
        - frame: `(t, v)`; `[i, a]` scores frame `i` emitting symbol `a`, as by log-probabilities.
        - event: the same. labels: `(t)`, the symbol of each frame.
        - lengths: frames. Too few for the target, none included, are infeasible.

    Cost: `O(t l)` time and memory.
    Reference: Graves et al. 2006, sec. 3-4 [graves2006].
    """

    event_dim = 2
    field_dim = (1, 2, 1, 1)
    shapes = {"frame": "t v"}
    sides = ("t",)
    uses_parts_once = True

    def __init__(self, targets: Tensor, target_lengths: Any = None, blank: int = 0):
        self.targets, self.target_lengths = targets_of("CTC", targets, target_lengths)
        self.blank = blank

    @property
    def recorded_by(self) -> tuple[str, ...]:
        """Targets reach the program as fields, so that all of one size share it."""
        return ()

    def over(self, batch: tuple[int, ...]) -> CTC:
        """Targets for these batch dims."""
        try:
            return CTC(self.targets.expand(*batch, -1), self.target_lengths.expand(batch), self.blank)
        except RuntimeError:
            lead = tuple(self.targets.shape[:-1]), tuple(self.target_lengths.shape)
            raise ShapeError(f"CTC: targets and target_lengths for {lead} do not broadcast to batch {batch}") from None

    def prepare(self, log_potentials: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores of the blank `(t)` and of the target `(t, l)`; 0 or -inf: may `y_j` follow at once, end."""
        x, (t, v), l = log_potentials, log_potentials.shape[-2:], self.targets.shape[-1]  # noqa: E741
        this = self.over(tuple(x.shape[:-2]))
        targets, counts = this.targets.to(x.device), this.target_lengths.to(x.device)
        if not 0 <= self.blank < v:
            raise ValueError(f"CTC: blank must lie in 0..{v - 1}; got {self.blank}")
        bad = prefix_mask(counts, l) & ((targets < 0) | (targets >= v) | (targets == self.blank))
        refuse_where(bad, f"CTC: targets must lie in 0..{shown(v - 1)} and not be the blank, {shown(self.blank)}")
        index = targets.clamp(0, v - 1).to(torch.int64).unsqueeze(-2)
        after = torch.nn.functional.pad(targets[..., 1:] != targets[..., :-1], (1, 0))[..., :l]
        last = torch.arange(l + 1, device=x.device) == counts.unsqueeze(-1)
        seen = pick(x, -1, index.expand(*index.shape[:-2], t, l))
        after, last = (torch.where(m, 0.0, NEG_INF).to(x.dtype) for m in (after, last))
        return x[..., self.blank], seen, after, last

    def inside(
        self, p: Recorder, blank: Expression, symbol: Expression, after: Expression, last: Expression
    ) -> Expression:
        """The forward algorithm."""
        t, l = symbol.shape  # noqa: E741, reason: the contract's letter
        blanks, symbols = p.chart(t + 1, l + 1), p.chart(t + 1, l + 1)      # symbols[:, 0] stays ⊕-zero
        blanks[0, 0] = p.one
        for i in range(t):
            blanks[i + 1] = (blanks[i] + symbols[i]) * blank[i]
            symbols[i + 1, 1:] = (symbols[i, 1:] + blanks[i, :-1] + symbols[i, :-1] * after) * symbol[i]
        return ((blanks[p.length] + symbols[p.length]) * last).sum()

    def restore(
        self, parts: tuple[Tensor, ...], sizes: dict[str, int], batch: tuple[int, ...]
    ) -> tuple[Tensor, ...]:
        """The frame and symbol of each use of the blank and of the target."""
        (blank, used), v, size = parts[:2], sizes["v"], self.targets.shape[-1]
        targets = torch.nn.functional.pad(self.over(batch).targets.to(used.device), (0, 1)).reshape(-1, size + 1)
        instance = torch.arange(len(used), device=used.device)[:, None] % max(math.prod(batch), 1)
        entry = used // max(size, 1) * v + targets[instance, used % max(size, 1)]
        return (torch.where(torch.cat([blank, used], 1) < 0, -1, torch.cat([blank * v + self.blank, entry], 1)),)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """Symbol `a` at frame `i` writes `a` into slot `i`."""
        frame, symbol = torch.meshgrid(torch.arange(sizes["t"]), torch.arange(sizes["v"]), indexing="ij")
        return LabelCode((sizes["t"],), (code_of((frame, symbol)),))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The cells used: symbols that give the target once repeats are merged and blanks dropped."""
        kept = prefix_mask(lengths[:, 0], sizes["t"])
        used = where_used(kept, torch.arange(sizes["t"], device=labels.device) * sizes["v"] + labels)
        return Encoded.of((used,), *frame_faults(labels, kept, sizes, self.targets, self.target_lengths, self.blank))

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """Frames needed and given, where these are too few."""
        return too_few_frames(self.targets, self.target_lengths, instance, lengths[0])
