"""Grammars: every derivation, by rewriting the start symbol in all ways until it spans the words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

Span = tuple[int, int, int]  # first word, last word, symbol
Rewrite = tuple[int, int, int]  # parent, left child, right child


def derivations(i: int, j: int, symbol: int, nt: int, t: int) -> Iterator[tuple[list[Span], list[Rewrite]]]:
    """All ways for a symbol to span words `i..j`, as its spans (its own first) and the rules used in their order."""
    if symbol >= nt:
        if i == j:
            yield [(i, j, symbol)], []
        return
    for split in range(i, j):
        for x, y in itertools.product(range(nt + t), repeat=2):
            for left, right in itertools.product(
                derivations(i, split, x, nt, t), list(derivations(split + 1, j, y, nt, t))
            ):
                yield [(i, j, symbol), *left[0], *right[0]], [(symbol, x, y), *left[1], *right[1]]


def _words(length: int, nt: int, t: int) -> list[tuple[list[Span], list[Rewrite]]]:
    if not length:
        return [([], [])]
    return [d for symbol in range(nt) for d in derivations(0, length - 1, symbol, nt, t)]


def pcfg_events(n: int, nt: int, t: int, *, spans: bool = False, length: int | None = None) -> tuple[Tensor, ...]:
    """Every derivation of the first `length` of `n` words: root `(s, nt)`, rule counts, term, and span if asked for."""
    found = _words(n if length is None else length, nt, t)
    root, rule, term, span = (
        torch.zeros(len(found), *shape, dtype=torch.float64)
        for shape in ((nt,), (nt, nt + t, nt + t), (n, t), (n, n, nt))
    )
    for row, (symbols, rules) in enumerate(found):
        _mark(root[row], term[row], span[row], symbols, nt)
        for rewrite in rules:
            rule[row][rewrite] += 1
    return (root, rule, term, span) if spans else (root, rule, term)


def low_rank_events(
    n: int, nt: int, t: int, r: int, *, spans: bool = False, length: int | None = None
) -> tuple[Tensor, ...]:
    """Every derivation with a rank for each rule: root, counts of head, left and right, term, and span if asked for."""
    found = [
        (symbols, rules, ranks)
        for symbols, rules in _words(n if length is None else length, nt, t)
        for ranks in itertools.product(range(r), repeat=len(rules))
    ]
    root, head, left, right, term, span = (
        torch.zeros(len(found), *shape, dtype=torch.float64)
        for shape in ((nt,), (nt, r), (nt + t, r), (nt + t, r), (n, t), (n, n, nt))
    )
    for row, (symbols, rules, ranks) in enumerate(found):
        _mark(root[row], term[row], span[row], symbols, nt)
        for (parent, x, y), rank in zip(rules, ranks, strict=True):
            head[row, parent, rank] += 1
            left[row, x, rank] += 1
            right[row, y, rank] += 1
    return (root, head, left, right, term, span) if spans else (root, head, left, right, term)


def _mark(root: Tensor, term: Tensor, span: Tensor, symbols: list[Span], nt: int) -> None:
    for at, (i, j, symbol) in enumerate(symbols):
        if symbol >= nt:
            term[i, symbol - nt] = 1
        else:
            span[i, j, symbol] = 1
        if at == 0:
            root[symbol] = 1
