"""Dependency trees as heads: what arborescences, projective or not, have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask
from semiring_struct.structures.labels import Fault, LabelCode, code_of, where_used


def head_code(m: int) -> LabelCode:
    """The arc `h -> d` writes `h` into slot `d` of `(m,)`; slot 0, the root's, stays -1."""
    nodes = torch.arange(m)
    head, dependent = torch.meshgrid(nodes, nodes, indexing="ij")
    return LabelCode((m,), (code_of((dependent, head)),))


def heads_of(labels: Tensor, lengths: Tensor, single_root: bool) -> tuple[Tensor, Tensor, tuple[Fault, ...]]:
    """Which nodes are words `(batch, m)`, and their heads, 0 elsewhere; and heads out of range and second roots."""
    root = torch.zeros_like(labels[:, :1], dtype=torch.bool)
    words = torch.cat([root, prefix_mask(lengths[:, 0], labels.shape[1] - 1)], 1)
    bad = words & ((labels < 0) | (labels > lengths))
    faults: tuple[Fault, ...] = ((bad, "heads must lie in 0..length (0 is the root), one per word"),)
    if single_root:
        several = (words & (labels == 0)).sum(-1) > 1
        faults = *faults, (several, "single_root=True allows one word under the root; heads name several")
    return words, torch.where(words & ~bad, labels, 0), faults


def arcs_of(heads: Tensor, words: Tensor) -> Tensor:
    """Heads as a boolean `(batch, m, m)`, `[head, dependent]`."""
    nodes = torch.arange(heads.shape[1], device=heads.device)
    return (heads[:, None, :] == nodes[:, None]) & words[:, None, :]


def entries_of(heads: Tensor) -> Tensor:
    """Heads `(paths, m)`, -1 for none, as flat indices of `[head, dependent]`."""
    m = heads.shape[1]
    return where_used(heads >= 0, heads * m + torch.arange(m, device=heads.device))


def above(arcs: Tensor) -> Tensor:
    """`[h, d]`: h is d or an ancestor of d, `(batch, m, m)`, by doubling the length of paths."""
    m = arcs.shape[-1]
    out = arcs | torch.eye(m, dtype=torch.bool, device=arcs.device)
    length = 1
    while length < m - 1:  # compared one by one: a graph then serves all sizes up to a power of two
        out = (out.float() @ out.float()) > 0
        length *= 2
    return out
