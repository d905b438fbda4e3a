"""Non-projective dependency trees: spanning arborescences of a directed graph."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.kernels.branching import best_heads, distinct_trees, k_best_trees
from semiring_struct.kernels.elimination import drawn_heads, log_trees, log_trees_and_arcs
from semiring_struct.structures.heads import above, arcs_of, entries_of, head_code, heads_of
from semiring_struct.structures.kinds import LogPartition
from semiring_struct.structures.labels import Encoded, LabelCode
from semiring_struct.structures.natives import Fields


@final
class Arborescence(LogPartition):
    r"""Dependency trees over `n` words, crossing arcs allowed: every word has a head, and there is no cycle.

    .. math:: \bigoplus_{\text{trees}} \bigotimes_{(h, d)} w_{h,d}

    Shape (after any batch dims), with `m = n + 1` and node 0 the root symbol:
        - arc: `(m, m)`; `[h, d]` scores the arc from head `h` to dependent `d`. Column 0 and the diagonal are ignored.
        - event: the same. labels: `(m)`, the head of each node; entry 0 is -1 and is ignored when read.
        - lengths count words, `0..n`.

    `single_root=True` keeps the trees in which exactly one word hangs from the root.

    Cost: `O(n^3)` for sums, `O(n^2)` for each draw and for each round of decoding; the k best and draws without
    replacement take `n` times that for each tree.
    Reference: Koo et al. 2007, sec. 3 [koo2007]; McDonald et al. 2005, sec. 2.2 [mcdonald2005].
    """

    event_dim = 2
    shapes = {"arc": "n+1 n+1"}
    uses_parts_once = True

    def __init__(self, single_root: bool = False):
        self.single_root = single_root

    def partition(self, fields: Fields, lengths: Tensor) -> Tensor:
        """By elimination of words."""
        return log_trees(fields[0], lengths[:, 0], self.single_root)

    def partition_and_marginals(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """By elimination, undone."""
        return log_trees_and_arcs(fields[0], lengths[:, 0], self.single_root)

    def best(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """By contraction of cycles."""
        feasible, heads = best_heads(fields[0], lengths[:, 0], self.single_root)
        return feasible, entries_of(heads)

    def k_best(self, fields: Fields, lengths: Tensor, k: int) -> tuple[Tensor, ...]:
        """By best-first search over sets of trees."""
        real, heads = k_best_trees(fields[0], lengths[:, 0], self.single_root, k)
        return real, entries_of(heads)

    def draws(self, fields: Fields, lengths: Tensor, number: int, seed: Tensor) -> tuple[Tensor, ...]:
        """By undoing the elimination at random."""
        feasible, heads = drawn_heads(fields[0], lengths[:, 0], self.single_root, number, seed)
        return feasible, entries_of(heads)

    def distinct_draws(self, fields: Fields, lengths: Tensor, k: int, seed: Tensor) -> tuple[Tensor, ...]:
        """By best-first search over sets of trees with perturbed weights."""
        perturbed, heads = distinct_trees(fields[0], lengths[:, 0], self.single_root, k, seed)
        return perturbed, entries_of(heads)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The head of each node."""
        return head_code(sizes["n"] + 1)

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The arcs of a tree."""
        words, heads, faults = heads_of(labels, lengths, self.single_root)
        cycle = ~(above(arcs_of(heads, words))[:, 0] | ~words).all(-1)
        fault = cycle, "heads must form a tree: every word descends from the root"
        return Encoded.of((entries_of(torch.where(words, heads, -1)),), *faults, fault)
