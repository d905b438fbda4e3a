"""The structures on given noise of one instance, by algorithms that share nothing with the package."""

from __future__ import annotations

import networkx
import torch
from torch import Tensor


def smallest(noise: Tensor, k: int) -> Tensor:
    event = torch.zeros(len(noise))
    event[sorted(range(len(noise)), key=lambda i: float(noise[i]))[:k]] = 1
    return event


def ranking(noise: Tensor) -> Tensor:
    event = torch.zeros(len(noise), len(noise))
    for rank, item in enumerate(sorted(range(len(noise)), key=lambda i: float(noise[i]))):
        event[rank, item] = 1
    return event


def spanning_tree(noise: Tensor) -> Tensor:
    m = len(noise)
    graph = networkx.Graph()
    graph.add_nodes_from(range(m))
    graph.add_weighted_edges_from((i, j, float(noise[i, j])) for i in range(m) for j in range(i + 1, m))
    event = torch.zeros(m, m)
    for i, j in networkx.minimum_spanning_edges(graph, algorithm="prim", data=False):
        event[min(i, j), max(i, j)] = 1
    return event


def arborescence(noise: Tensor, root: int = 0) -> Tensor:
    m = len(noise)
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(m))
    graph.add_weighted_edges_from(
        (h, d, float(noise[h, d])) for h in range(m) for d in range(m) if h != d and d != root
    )
    event = torch.zeros(m, m)
    for h, d in networkx.minimum_spanning_arborescence(graph).edges:
        event[h, d] = 1
    return event


def matching(noise: Tensor) -> Tensor:
    event, left = torch.zeros(noise.shape), [(i, j) for i in range(len(noise)) for j in range(len(noise))]
    while left:
        row, column = min(left, key=lambda pair: float(noise[pair]))
        event[row, column] = 1
        left = [(i, j) for i, j in left if i != row and j != column]
    return event


def binary_tree(noise: Tensor) -> Tensor:
    event = torch.zeros(len(noise), len(noise))

    def grow(low: int, high: int, parent: int | None) -> None:
        if low == high:
            return
        node = min(range(low, high), key=lambda i: float(noise[i]))
        if parent is not None:
            event[parent, node] = 1
        grow(low, node, node)
        grow(node + 1, high, node)

    grow(0, len(noise), None)
    return event
