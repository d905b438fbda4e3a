"""The assignment problem, by the first implementation that takes it."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.kernels.assignment import reference, scipy
from semiring_struct.kernels.dispatch import Twin, dispatch
from semiring_struct.kernels.subspaces import ranked
from semiring_struct.ops import NEG_INF, operator, over_batch, over_paths, prefix_mask

TWINS = (Twin("scipy", scipy.best, scipy.refuse),)


@operator("best_columns")
def best_columns(w: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """A perfect matching of best score: whether there is one `(B,)`, and the column of each row `(B, n)`, -1 for none.

    `w (B, n, n)`: scores `[row, column]`, `-inf` for a pair that is not allowed. `lengths (B,)`: the number of rows and
    columns of each instance. Cost: `O(n^3)` on the CPU, wherever `w` is, since the solver takes many small steps and
    decides after each; by scipy where it is installed, one instance after another.
    """
    w, sizes = _block(w, lengths).cpu(), lengths.cpu()
    solve, _ = dispatch(reference.best, TWINS, w, sizes)
    found, columns = solve(w, sizes)
    return found.to(lengths.device), torch.where(found[:, None], columns, -1).to(lengths.device)


@torch.library.register_fake(best_columns)
def _(w, lengths):
    return w.new_empty(w.shape[:1], dtype=torch.bool), w.new_empty(w.shape[:2], dtype=torch.int64)


torch.library.register_vmap(best_columns, over_batch(best_columns))


@operator("k_best_columns")
def k_best_columns(w: Tensor, lengths: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best: which are real `(k * B,)`, and columns `(k * B, n)`; arguments as of `best_columns`.

    Source: Murty 1968 [murty1968]. Cost: `n` solutions for each matching.
    """
    return ranked(_block(w, lengths).mT, lengths, k, lambda w, n: best_columns(w.mT, n))


@torch.library.register_fake(k_best_columns)
def _(w, lengths, k):
    paths = k * w.shape[0]
    return w.new_empty((paths,), dtype=torch.bool), w.new_empty((paths, w.shape[1]), dtype=torch.int64)


torch.library.register_vmap(k_best_columns, over_paths(k_best_columns, number=2))


def _block(w: Tensor, lengths: Tensor) -> Tensor:
    real = prefix_mask(lengths, w.shape[-1])
    return torch.where(real[:, :, None] & real[:, None, :], w.double(), NEG_INF)
