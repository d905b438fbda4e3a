"""The k best arborescences, and draws of them without replacement."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.kernels.branching.decoder import best_heads
from semiring_struct.kernels.elimination import drawn_heads, log_trees
from semiring_struct.kernels.elimination.reference import arcs_only
from semiring_struct.kernels.subspaces import distinct, ranked
from semiring_struct.ops import operator, over_paths


@operator("k_best_heads")
def k_best_trees(w: Tensor, lengths: Tensor, single: bool, k: int) -> tuple[Tensor, Tensor]:
    """The k best: which are real `(k * B,)`, and heads `(k * B, m)`, -1 for none; arguments as of `best_heads`.

    A tree is a choice of a head for each word. Cost: `m` times that of `best_heads` for each tree.
    """
    return ranked(arcs_only(w, lengths), lengths, k, lambda w, n: best_heads(w, n, single))


@operator("distinct_heads")
def distinct_trees(w: Tensor, lengths: Tensor, single: bool, k: int, seed: Tensor) -> tuple[Tensor, Tensor]:
    """k draws without replacement: perturbed log-probabilities `(k * B,)`, `-inf` for blanks, and heads `(k * B, m)`.

    Cost: `O(m^4)` for each tree.
    """
    return distinct(
        arcs_only(w, lengths), lengths, k, seed,
        lambda w, n: log_trees(w, n, single), lambda w, n, seed: drawn_heads(w, n, single, 1, seed),
    )  # fmt: skip


@torch.library.register_fake(k_best_trees)
def _(w, lengths, single, k):
    paths = k * w.shape[0]
    return w.new_empty((paths,), dtype=torch.bool), w.new_empty((paths, w.shape[2]), dtype=torch.int64)


@torch.library.register_fake(distinct_trees)
def _(w, lengths, single, k, seed):
    paths = k * w.shape[0]
    return w.new_empty((paths,), dtype=torch.float64), w.new_empty((paths, w.shape[2]), dtype=torch.int64)


torch.library.register_vmap(k_best_trees, over_paths(k_best_trees, number=3))
torch.library.register_vmap(distinct_trees, over_paths(distinct_trees, number=3, seed=4))
