"""Programs that ship nowhere, as a user would write them, each with its own enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

import semiring_struct as ss
from tests.enumerations.span_tree import bracketings


class Nussinov(ss.DynamicProgram):
    """Non-crossing pairings of n bases: several terms per cell, a triangular chart."""

    event_dim = 2

    def inside(self, p, pair):
        n = pair.shape[-1]
        chart = p.chart(n + 1, n + 1)
        for i in range(n + 1):
            chart[i, i] = p.one
        for i in range(n):
            chart[i, i + 1] = p.one
        for width in range(2, n + 1):
            for i in range(n - width + 1):
                j = i + width
                paired = (pair[i, i + 1 : j] * chart[i + 1, i + 1 : j] * chart[i + 2 : j + 1, j]).sum(-1)
                chart[i, j] = chart[i + 1, j] + paired
        return chart[0, p.length]


def pairings(n: int, length: int | None = None) -> Tensor:
    """Every set of disjoint, non-crossing pairs i < j of the first `length` of n bases: `(s, n, n)`."""
    pairs = list(itertools.combinations(range(n if length is None else length), 2))
    events = []
    for size in range(len(pairs) + 1):
        for chosen in itertools.combinations(pairs, size):
            ends = [end for pair in chosen for end in pair]
            crossing = any(i < k < j < m for i, j in chosen for k, m in chosen)
            if len(set(ends)) == len(ends) and not crossing:
                event = torch.zeros(n, n, dtype=torch.float64)
                for i, j in chosen:
                    event[i, j] = 1
                events.append(event)
    return torch.stack(events)


class WordPotentials(NamedTuple):
    word: Tensor
    gap: Tensor


class Words(ss.DynamicProgram):
    """Unlabelled segmentations with words of any width and a score for each gap: two fields of different rank."""

    event_dim = (2, 1)

    def inside(self, p, word, gap):
        n = word.shape[-1]
        chart = p.chart(n + 1)
        chart[0] = p.one
        for j in range(n):
            later = (chart[1 : j + 1] * gap[1 : j + 1] * word[1 : j + 1, j]).sum(0)
            chart[j + 1] = word[0, j] + later if j else word[0, 0]
        return chart[p.length]


def word_events(n: int, length: int | None = None) -> WordPotentials:
    """Every way to cut the first `length` of n symbols into words `(s, n, n)`, `[i, j]` for i..j; gaps `(s, n)`."""
    length = n if length is None else length
    words, gaps = [], []
    for cuts in itertools.product((False, True), repeat=max(length - 1, 0)):
        starts = [0, *(i for i, cut in enumerate(cuts, 1) if cut)] if length else []
        word, gap = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
        for i, end in zip(starts, [*starts[1:], length], strict=False):
            word[i, end - 1] = 1
        gap[starts[1:]] = 1
        words.append(word)
        gaps.append(gap)
    return WordPotentials(torch.stack(words), torch.stack(gaps))


@dataclass(frozen=True)
class Choose(ss.DynamicProgram):
    """Exactly k of n items: a chart over (items seen, items taken), two terms per cell; infeasible where n < k."""

    k: int
    event_dim = 1

    def inside(self, p, item):
        n = item.shape[-1]
        chart = p.chart(n + 1, self.k + 1)
        chart[0, 0] = p.one
        for i in range(n):
            chart[i + 1, 0] = chart[i, 0]
            chart[i + 1, 1:] = chart[i, 1:] + chart[i, :-1] * item[i]
        return chart[p.length, self.k]


def choices(n: int, k: int, length: int | None = None) -> Tensor:
    """Every k of the first `length` of n items: `(s, n)`."""
    chosen = list(itertools.combinations(range(n if length is None else length), k))
    events = torch.zeros(len(chosen), n, dtype=torch.float64)
    for row, items in enumerate(chosen):
        events[row, list(items)] = 1
    return events


class GrammarPotentials(NamedTuple):
    leaf: Tensor
    rule: Tensor


class Grammar(ss.DynamicProgram):
    """Binary trees with rules tied over positions: rule events are counts, and derivations may share one event."""

    event_dim = (2, 3)

    def inside(self, p, leaf, rule):
        n, c = leaf.shape
        chart = p.chart(n, n, c)
        for i in range(n):
            chart[i, i] = leaf[i]
        for width in range(1, n):
            for i in range(n - width):
                j = i + width
                left, right = chart[i, i:j, :], chart[i + 1 : j + 1, j, :]
                pairs = left[:, None, :, None] * right[:, None, None, :]
                chart[i, j] = (pairs * rule[None]).sum((0, 2, 3))
        return chart[0, p.length - 1].sum(-1)


def derivations(n: int, c: int, length: int | None = None) -> GrammarPotentials:
    """Every labelled binary tree over the first `length` of n leaves: leaf `(s, n, c)`, rule counts `(s, c, c, c)`."""
    rows = list(labelled_trees(n if length is None else length, c))
    leaf = torch.zeros(len(rows), n, c, dtype=torch.float64)
    rule = torch.zeros(len(rows), c, c, c, dtype=torch.float64)
    for row, label_of in enumerate(rows):
        for (i, j), label in label_of.items():
            if i == j:
                leaf[row, i, label] = 1
                continue
            split = next(s for s in range(i, j) if (i, s) in label_of and (s + 1, j) in label_of)
            rule[row, label, label_of[i, split], label_of[split + 1, j]] += 1
    return GrammarPotentials(leaf, rule)


def labelled_trees(length: int, c: int) -> Iterator[dict[tuple[int, int], int]]:
    for tree in bracketings(0, length - 1) if length else [[]]:
        for labels in itertools.product(range(c), repeat=len(tree)):
            yield dict(zip(tree, labels, strict=True))
