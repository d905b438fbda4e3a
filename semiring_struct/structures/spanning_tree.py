"""Spanning trees of an undirected graph."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.kernels.branching import best_heads, distinct_trees, k_best_trees
from semiring_struct.kernels.elimination import drawn_heads, log_trees, log_trees_and_arcs
from semiring_struct.ops import NEG_INF, prefix_mask
from semiring_struct.structures.heads import above
from semiring_struct.structures.kinds import LogPartition
from semiring_struct.structures.labels import Encoded, LabelCode, code_of, where_used
from semiring_struct.structures.natives import Fields


@final
class SpanningTree(LogPartition):
    r"""Trees that connect all `n` vertices of an undirected graph.

    .. math:: \bigoplus_{\text{trees}} \bigotimes_{\{i, j\}} w_{i,j}

    Shape (after any batch dims):
        - edge: `(n, n)`; `[i, j]` with `i < j` scores the edge between i and j. The rest is ignored.
        - event: the same. labels: `(n-1, 2)`, the edges `i, j` with `i < j`, in ascending order; -1 past the
          tree. They are read in any order.
        - lengths count vertices, `0..n`; no vertex and one vertex have one tree, without edges.

    Hung up at vertex 0, a tree is an arborescence of the graph with an arc each way: every query is that of
    `Arborescence`, at its cost, and decoding merges components by their best edge, as Borůvka's algorithm does.

    Reference: Kirchhoff 1847 as in Lyons & Peres 2016, ch. 4 [lyons2016]; Paulus et al. 2020, sec. 6 [paulus2020].
    """

    event_dim = 2
    shapes = {"edge": "n n"}
    uses_parts_once = True

    def partition(self, fields: Fields, lengths: Tensor) -> Tensor:
        """By elimination of vertices."""
        return log_trees(*_both_ways(fields, lengths), False)

    def partition_and_marginals(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """By elimination, undone."""
        log_z, arcs = log_trees_and_arcs(*_both_ways(fields, lengths), False)
        n = fields[0].shape[-1]
        return log_z, (arcs + arcs.mT).triu(1)[:, :n, :n]

    def best(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """By merging components."""
        return _edges(*best_heads(*_both_ways(fields, lengths), False))

    def k_best(self, fields: Fields, lengths: Tensor, k: int) -> tuple[Tensor, ...]:
        """By best-first search over sets of trees."""
        return _edges(*k_best_trees(*_both_ways(fields, lengths), False, k))

    def draws(self, fields: Fields, lengths: Tensor, number: int, seed: Tensor) -> tuple[Tensor, ...]:
        """By undoing the elimination at random."""
        return _edges(*drawn_heads(*_both_ways(fields, lengths), False, number, seed))

    def distinct_draws(self, fields: Fields, lengths: Tensor, k: int, seed: Tensor) -> tuple[Tensor, ...]:
        """By best-first search over sets of trees with perturbed weights."""
        return _edges(*distinct_trees(*_both_ways(fields, lengths), False, k, seed))

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The edge `i, j` writes both into two slots of its own."""
        n = sizes["n"]
        i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        slot = torch.where(i < j, 2 * (i * n + j), -1)
        return LabelCode((max(n - 1, 0), 2), (code_of((slot, i), (torch.where(i < j, slot + 1, -1), j)),), 2 * n * n)

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The edges of a spanning tree."""
        n, size = sizes["n"], lengths[:, 0]
        used = prefix_mask((size - 1).clamp(min=0), max(n - 1, 0))
        i, j = labels.unbind(-1)
        bad = used & ((i < 0) | (i >= j) | (j >= lengths))
        entry = where_used(used & ~bad, i * n + j)
        graph = torch.zeros((len(labels), n * n + 1), dtype=torch.bool, device=labels.device)
        graph = graph.scatter(1, torch.where(entry < 0, n * n, entry), True)[:, : n * n].reshape(len(labels), n, n)
        apart = ~(above(graph | graph.mT)[:, :1].any(1) | ~prefix_mask(size, n)).all(-1)
        return Encoded.of(
            (entry,),
            (bad, "each edge is a pair of vertices i < j, both below the length; length - 1 edges are needed"),
            (apart, "the edges must connect all vertices, without a cycle"),
        )


def _both_ways(fields: Fields, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """An arc each way for every edge, and how many vertices there are besides vertex 0, which is there always."""
    edge = fields[0] if fields[0].shape[-1] else torch.nn.functional.pad(fields[0], (0, 1, 0, 1))
    upper = torch.ones(edge.shape[1:], dtype=torch.bool, device=edge.device).triu(1)
    arcs = torch.where(upper, edge, torch.where(upper.mT, edge.mT, NEG_INF))
    return arcs, (lengths[:, 0] - 1).clamp(min=0)


def _edges(first: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
    """Heads `(paths, n)`, -1 for none, as flat indices of `[smaller, larger]`."""
    n = heads.shape[1]
    at = torch.arange(n, device=heads.device)
    return first, where_used(heads >= 0, torch.minimum(heads, at) * n + torch.maximum(heads, at))
