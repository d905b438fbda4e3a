"""Sets of spans that are binary trees: what the structures over bracketings share when they read labels."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.ops import prefix_mask, shown
from semiring_struct.structures.labels import BLANK, Encoded, code_of, where_used


def is_binary_tree(used: Tensor, lengths: Tensor) -> Tensor:
    """Whether the marked spans are a full binary tree: leaves, root, `2 length - 1` in all, and no two of them cross.

    `used (*, n, n)` bool, `[i, j]` for the span of leaves `i .. j`; `lengths (*)` -> `(*)` bool, with one batch dim.
    """
    n = used.shape[-1]
    at = torch.arange(n, device=used.device)
    count = used.sum((-1, -2)) == (2 * lengths - 1).clamp(min=0)
    leaves = used.diagonal(0, -2, -1).sum(-1) == lengths
    last = (lengths - 1).clamp(min=0)
    root = lengths == 0
    if n > 0:
        root = root | used[torch.arange(len(lengths), device=used.device), 0, last]
    # spans (i, j) and (a, b) cross where i < a <= j < b
    later = (at[:, None] < at).float()
    mark = used.float()
    earlier = later.mT @ mark * (at[:, None] <= at)
    crossing = (earlier * (mark @ later.mT)).sum((-1, -2))
    return count & leaves & root & (crossing == 0)


def last_of_left(used: Tensor) -> Tensor:
    """Where each span of a binary tree splits: `[i, j]` is the last leaf of its left child.

    `(batch, n, n)` bool -> `(batch, n, n)` int64, of no meaning where a span is not used or is a leaf.
    Cost: `O(n^3)` time and memory.
    """
    n = used.shape[-1]
    below = torch.zeros_like(used)
    below[:, : n - 1] = used[:, 1:]                          # [k, j]: the span k+1 .. j
    within = torch.ones(n, n, dtype=torch.bool, device=used.device).triu(1)  # k < j
    splits = (used[:, :, :, None] & (below & within)[:, None]).int()
    return splits.argmax(2) if n > 0 else used.long()


def constituent_code(n: int, nt: int, t: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The label codes of the fields `term (n, t)` and `span (n, n, nt)` of a grammar.

    Labels are `(n, n)`: `[i, j]`, `i < j`, holds the nonterminal over words `i .. j` and `[i, i]` the preterminal of
    word `i`, as symbol `nt + p`.
    """
    slots = torch.arange(n * n).reshape(n, n)
    term = code_of((slots.diagonal()[:, None].expand(n, t), torch.arange(nt, nt + t).expand(n, t)))
    above = torch.where(slots.triu(1) > 0, slots, BLANK)
    return term, code_of((above[..., None].expand(n, n, nt), torch.arange(nt).expand(n, n, nt)))


def constituents(labels: Tensor, nt: int, t: int, lengths: Tensor) -> Encoded:
    """The entries that labels `(batch, n, n)` use of root, rule, term and span of a grammar.

    Symbols out of range are faults, and spans that are no binary tree over two words or more.
    """
    n, symbols = labels.shape[-1], nt + t
    words, at = prefix_mask(lengths, n), torch.arange(n, device=labels.device)
    kept = words[:, :, None] & words[:, None] & (at[:, None] <= at)
    word = at[:, None] == at
    low, high = torch.where(word, nt, -1), torch.where(word, symbols, nt)
    used = kept & (labels >= 0)
    wide, split = used & ~word, last_of_left(used)
    kids = [labels.gather(2, split), labels.gather(1, (split + 1).clamp(max=n - 1))]
    rule = where_used(wide, (labels * symbols + kids[0]) * symbols + kids[1])
    last = (lengths - 1).clamp(min=0)
    top = labels[torch.arange(len(labels), device=labels.device), 0, last] if n > 0 else last
    term = where_used(words, at * t + labels.diagonal(0, 1, 2) - nt)
    span = where_used(wide, (at[:, None] * n + at) * nt + labels)
    of_words = f"labels of words lie in {shown(nt)}..{shown(symbols - 1)}"
    named = f"{of_words}, of wider spans in 0..{shown(nt - 1)}, or are -1 where no span is"
    return Encoded.of(
        (where_used((lengths > 0)[:, None], top[:, None]), rule, term, span),
        (kept & ((labels < low) | (labels >= high)), named),
        (~is_binary_tree(used, lengths), "labels must mark the 2n-1 spans of one binary tree"),
        (lengths == 1, "one word has no derivation: a nonterminal spans two words or more"),
    )
