"""Grammars: NLTK's parsers, dense against factored rules, branching to one side, labels, and what is refused."""

from __future__ import annotations

import itertools
import math
from typing import Any

import nltk
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import grammar, low_rank_grammar

NEG_INF = float("-inf")


def zeros(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


def same(one: Tensor, other: Any) -> None:
    torch.testing.assert_close(one, torch.as_tensor(other, dtype=one.dtype), rtol=1e-10, atol=1e-10)


def normalised(nt: int, t: int, words: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of a random grammar: root `(nt)`, rule, and `(t, words)` of a word given its preterminal."""
    generator = torch.Generator().manual_seed(seed)
    root, rule, word = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((nt,), (nt, (nt + t) ** 2), (t, words))
    )
    return root.log_softmax(-1), rule.log_softmax(-1).reshape(nt, nt + t, nt + t), word.log_softmax(-1)


def as_nltk(root: Tensor, rule: Tensor, word: Tensor) -> nltk.PCFG:
    names = [*(f"A{a}" for a in range(len(root))), *(f"T{p}" for p in range(len(word)))]
    lines = [f"S -> {names[a]} [{p}]" for a, p in enumerate(root.exp().tolist())]
    for a, x, y in itertools.product(range(len(root)), range(len(names)), range(len(names))):
        lines.append(f"{names[a]} -> {names[x]} {names[y]} [{rule[a, x, y].exp().item()!r}]")
    for p, row in enumerate(word.exp().tolist()):
        lines += [f"T{p} -> 'w{v}' [{value!r}]" for v, value in enumerate(row)]
    return nltk.PCFG.fromstring("\n".join(lines))


@pytest.mark.parametrize("seed", [0, 1])
def test_nltk_finds_the_same_parses(seed: int):
    """Its inside chart parser lists every parse, its Viterbi parser the best one."""
    model = normalised(2, 2, 3, seed)
    sentence = torch.tensor([0, 2, 1, 1])
    phi = ss.PCFGPotentials(model[0], model[1], model[2][:, sentence].T)
    text, theirs = [f"w{v}" for v in sentence.tolist()], as_nltk(*model)
    parses = list(nltk.parse.InsideChartParser(theirs).parse(text))
    assert ss.count(ss.PCFG(), phi) == len(parses) == 5 * 2**3 * 2**4
    same(ss.log_partition(ss.PCFG(), phi), torch.tensor([p.prob() for p in parses], dtype=torch.float64).sum().log())
    best = next(iter(nltk.parse.ViterbiParser(theirs).parse(text)))
    same(ss.max_score(ss.PCFG(), phi), math.log(best.prob()))
    ranked = sorted((p.prob() for p in parses), reverse=True)[:4]
    same(ss.topk(ss.PCFG(), phi, 4).scores.exp(), ranked)
    labels = ss.argmax(ss.PCFG(), phi, labels=True)
    assert spans_of(labels, 2) == nltk_spans(best[0], 0)[0]


def spans_of(labels: Tensor, nt: int) -> set[tuple[int, int, str]]:
    found = labels.tolist()
    return {
        (i, j, f"A{s}" if s < nt else f"T{s - nt}")
        for i, row in enumerate(found) for j, s in enumerate(row) if s >= 0
    }  # fmt: skip


def nltk_spans(tree: Any, start: int) -> tuple[set[tuple[int, int, str]], int]:
    """The labelled spans below a tree that starts at a word, and the word after it."""
    found, at = set(), start
    for child in tree:
        inner, at = (set(), at + 1) if isinstance(child, str) else nltk_spans(child, at)
        found |= inner
    return {*found, (start, at - 1, tree.label())}, at


@pytest.mark.parametrize("n", [2, 3, 7, 12])
def test_counts(n: int):
    """Catalan numbers of trees; every span of two words or more takes one of the nonterminals, a word a preterminal."""
    trees = math.comb(2 * n - 2, n - 1) // n
    phi = ss.PCFGPotentials(zeros(2), zeros(2, 5, 5), zeros(n, 3))
    assert ss.count(ss.PCFG(), phi) == trees * 2 ** (n - 1) * 3**n
    low = ss.LowRankPCFGPotentials(zeros(1), zeros(1, 4), zeros(2, 4), zeros(2, 4), zeros(n, 1))
    assert ss.count(ss.LowRankPCFG(), low) == trees * 4 ** (n - 1)


def test_one_word_has_no_derivation_and_no_words_have_one():
    phi = ss.PCFGPotentials(zeros(3, 2), zeros(3, 2, 4, 4), zeros(3, 4, 2))
    lengths = torch.tensor([0, 1, 2])
    same(ss.log_partition(ss.PCFG(), phi, lengths=lengths).exp(), [1, 0, 2 * 4])
    assert not ss.marginals(ss.PCFG(), phi, lengths=lengths).rule[:2].any()
    with pytest.raises(ss.InfeasibleError, match="1"):
        ss.argmax(ss.PCFG(), phi, lengths=lengths)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_regular_grammar_branches_to_one_side(side: str):
    """`A -> T A | T T`, or its mirror image, has one bracketing, and its scores are those of a chain of tags."""
    generator = torch.Generator().manual_seed(0)
    nt, t, n = 2, 3, 6
    rule = torch.randn(nt, nt + t, nt + t, generator=generator, dtype=torch.float64)
    word, rest = (slice(nt, None), slice(None, nt)) if side == "right" else (slice(None, nt), slice(nt, None))
    allowed = torch.zeros(nt + t, nt + t, dtype=torch.bool)
    allowed[word, rest] = allowed[nt:, nt:] = True
    phi = ss.PCFGPotentials(zeros(nt), rule.masked_fill(~allowed, NEG_INF), zeros(n, t), zeros(n, n, nt))
    assert ss.count(ss.PCFG(), phi) == nt ** (n - 1) * t**n
    spans = ss.marginals(ss.PCFG(), phi).span.sum(-1)
    ends = [(i, n - 1) for i in range(n - 1)] if side == "right" else [(0, i + 1) for i in range(n - 1)]
    assert {tuple(at) for at in spans.nonzero().tolist()} == set(ends)
    same(spans[tuple(torch.tensor(ends).T)], torch.ones(n - 1))
    tail = rule[:, nt:, nt:].logsumexp((1, 2))
    for _ in range(n - 2):
        moves = rule[:, nt:, :nt].logsumexp(1) if side == "right" else rule[:, :nt, nt:].logsumexp(2)
        tail = (moves + tail).logsumexp(-1)
    same(ss.log_partition(ss.PCFG(), phi), tail.logsumexp(0))


def test_low_rank_equals_the_grammar_it_factorises():
    """Log-partition, marginals of words and spans, second derivatives; at full rank, the best derivation too."""
    low = low_rank_grammar(6, 3, 4, 5, spans=True).draw((2,), seed=0)
    low = type(low)(*(field.requires_grad_() for field in low))
    factors = low.head[:, :, None, None] + low.left[:, None, :, None] + low.right[:, None, None]
    dense = ss.PCFGPotentials(low.root, factors.logsumexp(-1), low.term, low.span)
    totals = [ss.log_partition(s, phi) for s, phi in ((ss.LowRankPCFG(), low), (ss.PCFG(), dense))]
    same(*totals)
    first = [torch.autograd.grad(total.sum(), low, create_graph=True) for total in totals]
    for a, b in zip(*first, strict=True):
        same(a, b)
    second = [torch.autograd.grad(sum(g.square().sum() for g in grads), low) for grads in first]
    for a, b in zip(*second, strict=True):
        same(a, b)


def test_a_rank_for_each_rule_gives_the_grammar_back():
    """With as many ranks as rules the factors are masks: derivations are one for one."""
    phi = grammar(5, 2, 2, spans=True).draw((), seed=3)
    mask = [zeros(size, 2 * 4 * 4).fill_(NEG_INF) for size in (2, 4, 4)]
    for q, rewrite in enumerate(itertools.product(range(2), range(4), range(4))):
        for factor, symbol in zip(mask, rewrite, strict=True):
            factor[symbol, q] = 0
    low = ss.LowRankPCFGPotentials(phi.root, mask[0] + phi.rule.reshape(1, -1), mask[1], mask[2], phi.term, phi.span)
    for query in (ss.log_partition, ss.max_score, ss.entropy, ss.count):
        same(query(ss.LowRankPCFG(), low), query(ss.PCFG(), phi))
    assert torch.equal(ss.argmax(ss.LowRankPCFG(), low).span, ss.argmax(ss.PCFG(), phi).span)


def test_a_field_of_zeros_shows_the_spans():
    """It leaves every answer as it is; three fields have no `span`."""
    phi = grammar(5, 2, 3).draw((2,), seed=1)
    shown = ss.PCFGPotentials(*phi, zeros(2, 5, 5, 2))
    assert isinstance(shown, ss.PCFGSpanPotentials) and not hasattr(phi, "span")
    for query in (ss.log_partition, ss.max_score, ss.entropy):
        same(query(ss.PCFG(), shown), query(ss.PCFG(), phi))
    same(ss.marginals(ss.PCFG(), shown).rule, ss.marginals(ss.PCFG(), phi).rule)
    labels = ss.argmax(ss.PCFG(), phi, labels=True)
    assert torch.equal(labels, ss.PCFG().to_labels(ss.argmax(ss.PCFG(), shown)))
    same(ss.log_prob(ss.PCFG(), phi, labels), ss.log_prob(ss.PCFG(), shown, labels))
    with pytest.raises(ValueError, match="labels=True"):
        ss.PCFG().to_labels(ss.argmax(ss.PCFG(), phi))


def test_counts_of_rules_may_not_settle_a_derivation():
    """Among 64 derivations over the same parts the event is found; past that the question is refused, not answered."""
    phi = grammar(9, 1, 1).draw((), seed=2)
    drawn = ss.sample(ss.PCFG(), phi, generator=torch.Generator().manual_seed(0))
    every = drawn._replace(rule=torch.full_like(drawn.rule, 2.0))
    with pytest.raises(ValueError, match="labels"):
        ss.log_prob(ss.PCFG(), phi, every)
    short = grammar(5, 1, 1).draw((), seed=2)
    for event in zip(*ss.enumerate_events(ss.PCFG(), short), strict=True):
        assert ss.log_prob(ss.PCFG(), short, ss.PCFGPotentials(*event)) > NEG_INF


def test_shapes_must_agree():
    with pytest.raises(ss.ShapeError, match=r"nt\+t"):
        ss.log_partition(ss.PCFG(), ss.PCFGPotentials(zeros(2), zeros(2, 5, 5), zeros(4, 2)))
    with pytest.raises(ss.ShapeError, match="span"):
        ss.log_partition(ss.PCFG(), ss.PCFGPotentials(zeros(2), zeros(2, 4, 4), zeros(4, 2), zeros(4, 3, 2)))
    low = ss.LowRankPCFGPotentials(zeros(2), zeros(2, 3), zeros(5, 3), zeros(5, 3), zeros(4, 2))
    with pytest.raises(ss.ShapeError, match=r"nt\+t"):
        ss.log_partition(ss.LowRankPCFG(), low)


WORD, BLANK = 1, -1
BAD = {
    "preterminal over two words": [[WORD, 1], [BLANK, WORD]],
    "nonterminal over one word": [[0, 0], [BLANK, WORD]],
    "no root": [[WORD, BLANK], [BLANK, WORD]],
    "out of range": [[2, 0], [BLANK, WORD]],
}


@pytest.mark.parametrize("labels", BAD.values(), ids=BAD.keys())
def test_bad_labels_are_refused(labels: list[list[int]]):
    phi = grammar(2, 1, 1).draw((), seed=0)
    with pytest.raises(ValueError):
        ss.PCFG().from_labels(torch.tensor(labels), phi)


def test_labels_of_one_word_are_refused():
    phi = grammar(2, 1, 1).draw((), seed=0)
    with pytest.raises(ValueError, match="one word"):
        ss.PCFG().from_labels(torch.tensor([[WORD, BLANK], [BLANK, BLANK]]), phi, torch.tensor(1))
