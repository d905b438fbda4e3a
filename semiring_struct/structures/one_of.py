"""One of `k` options: the categorical distribution as a structure."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.ops import shown
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, code_of


@final
class OneOf(DynamicProgram):
    r"""One of `k` options.

    .. math:: \bigoplus_{i} w_i

    Shape (after any batch dims):
        - option: `(k)`; `[i]` scores option `i`. There is no length: pass none.
        - event: one-hot. labels: `()`, the option.

    Cost: `O(k)`.
    Reference: Niculae et al. 2023, sec. 2.1 (one-hot structures) [niculae2023].
    """

    event_dim = 1
    shapes = {"option": "k"}
    uses_parts_once = True
    sides = ()

    def inside(self, p: Recorder, option: Expression) -> Expression:
        """The sum over options."""
        return option.sum(-1)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The index of the used option."""
        option = torch.arange(sizes["k"])
        return LabelCode((), (code_of((torch.zeros_like(option), option)),))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The option itself."""
        k = sizes["k"]
        bad = (labels < 0) | (labels >= k)
        return Encoded.of((labels[:, None],), (bad, f"OneOf labels must lie in 0..{shown(k - 1)}"))
