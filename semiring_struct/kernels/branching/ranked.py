"""The k best arborescences, and draws of them without replacement."""

from __future__ import annotations

from torch import Tensor

from semiring_struct.kernels.branching.decoder import best_heads
from semiring_struct.kernels.elimination import drawn_heads, log_trees
from semiring_struct.kernels.elimination.reference import arcs_only
from semiring_struct.kernels.subspaces import distinct, ranked


def k_best_trees(w: Tensor, lengths: Tensor, single: bool, k: int) -> tuple[Tensor, Tensor]:
    """The k best: which are real `(k * B,)`, and heads `(k * B, m)`, -1 for none; arguments as of `best_heads`.

    A tree is a choice of a head for each word. Cost: `m` times that of `best_heads` for each tree.
    """
    return ranked(arcs_only(w, lengths), lengths, k, lambda w, n: best_heads(w, n, single))


def distinct_trees(w: Tensor, lengths: Tensor, single: bool, k: int, seed: Tensor) -> tuple[Tensor, Tensor]:
    """k draws without replacement: perturbed log-probabilities `(k * B,)`, `-inf` for blanks, and heads `(k * B, m)`.

    Cost: `O(m^4)` for each tree.
    """
    return distinct(
        arcs_only(w, lengths), lengths, k, seed,
        lambda w, n: log_trees(w, n, single), lambda w, n, seed: drawn_heads(w, n, single, 1, seed),
    )  # fmt: skip
