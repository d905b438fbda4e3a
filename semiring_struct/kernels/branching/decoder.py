"""Best arborescences, by the first implementation that takes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from semiring_struct.kernels.branching import reference
from semiring_struct.kernels.dispatch import Twin, compiled_here, dispatch
from semiring_struct.ops import operator, over_batch


@operator("best_heads")
def best_heads(w: Tensor, lengths: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """A best spanning arborescence from vertex 0: whether there is one `(B,)`, and heads `(B, m)`, -1 for none.

    `w (B, m, m)`: scores `[head, dependent]`, `-inf` for no arc; column 0 and the diagonal are ignored. `lengths (B,)`:
    the number of words `1 .. length`. `single`: exactly one word hangs from the root. Cost: `O(m^2)` a round; there are
    at most `m` rounds, and commonly `O(log m)`.
    """
    run, _ = dispatch(reference.best, TWINS, w, lengths, single)
    return run(w, lengths, single)


@torch.library.register_fake(best_heads)
def _(w, lengths, single):
    return w.new_empty(w.shape[:1], dtype=torch.bool), w.new_empty(w.shape[:2], dtype=torch.int64)


torch.library.register_vmap(best_heads, over_batch(best_heads))


def compiled(w: Tensor, lengths: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """As `reference.best`, on the CPU."""
    from semiring_struct.kernels.branching import cpu

    found, heads = np.empty(len(w), dtype=np.bool_), np.full(tuple(w.shape[:2]), -1, dtype=np.int64)
    cpu.decode(w.detach().contiguous().numpy(), lengths.contiguous().numpy(), single, found, heads)
    return torch.from_numpy(found), torch.from_numpy(heads)


def refuse(w: Tensor, lengths: Tensor, single: bool) -> str | None:
    """Without numba, for tensors elsewhere, and where the environment asks for the plain machine."""
    return compiled_here(w.device)


TWINS = (Twin("cpu", compiled, refuse),)
