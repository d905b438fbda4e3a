"""Experiment (c): everything the chain says about one held-out line, and the tree model about one expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import semiring_struct as ss

from .parsing import Parsing, tree_crf
from .spans import Line, spans_of
from .tagging import Tagging
from .trees import Parse

Weighed = list[tuple[float, list[int]]]


@dataclass(frozen=True)
class Answers:
    """What a distribution says: labels of its mode, labels with their probabilities, part marginals, entropy in nats.

    `marginals` is `(n, tags)` for a chain and `(head, dependent)` over the root symbol and the tokens for a tree.
    """

    mode: list[int]
    best: Weighed
    samples: Weighed
    marginals: Tensor
    entropy: float


@dataclass(frozen=True)
class TaggedLine:
    """A held-out line with the chain's answers; labels are tags."""

    line: Line
    says: Answers


@dataclass(frozen=True)
class ParsedExpression:
    """A held-out expression with the tree model's answers; labels are heads, after an entry for the root symbol."""

    parse: Parse
    says: Answers


def ask(crf: ss.StructDistribution, generator: torch.Generator, best: int = 4, samples: int = 5) -> Answers:
    """Puts every question to a distribution without batch dims; the calls are the same for every structure."""
    top = crf.topk(best)
    marginals = crf.marginals()
    return Answers(
        mode=crf.argmax(labels=True).tolist(),
        best=_weighed(crf, crf.to_labels(top.events)[top.valid]),
        samples=_weighed(crf, crf.sample((samples,), generator=generator, labels=True)),
        marginals=marginals.emission if isinstance(marginals, ss.ChainPotentials) else marginals,
        entropy=crf.entropy().item(),
    )


def _weighed(crf: ss.StructDistribution, labels: Tensor) -> Weighed:
    return list(zip(crf.log_prob(labels).exp().tolist(), labels.tolist(), strict=True))


def hardest(entropies: Tensor, candidates: Sequence[int]) -> int:
    """The candidate that the model is least sure of: where it is sure, four best and five samples show little."""
    return candidates[int(entropies.argmax())]


def kinds_in(line: Line) -> int:
    """How many kinds of token a line has."""
    return len({kind for _, _, kind in spans_of(line.tags)})


def plain(text: str) -> bool:
    """Can every terminal and every font show it in one row?"""
    return text.isascii() and text.isprintable()


@torch.no_grad()
def look_at_line(tagging: Tagging, generator: torch.Generator, most: int = 400) -> TaggedLine:
    """The least certain of the first `most` lines that have 24 to 48 characters and four kinds of token."""
    model, data = tagging.model, tagging.data
    model.eval()
    fit = [i for i, line in enumerate(data.test_lines) if 24 <= len(line.text) <= 48 and kinds_in(line) >= 4]
    fit = [i for i in fit if plain(data.test_lines[i].text)][:most]
    crowd = data.test.batch(fit)
    chosen = hardest(ss.LinearChainCRF(model.chain(crowd.symbols), lengths=crowd.lengths).entropy(), fit)
    emission, transition = model.chain(data.test.batch([chosen]).symbols)
    crf = ss.LinearChainCRF(ss.ChainPotentials(emission[0], transition))
    return TaggedLine(data.test_lines[chosen], ask(crf, generator))


@torch.no_grad()
def look_at_parse(parsing: Parsing, generator: torch.Generator, most: int = 400) -> ParsedExpression:
    """The least certain of the first `most` expressions that have 8 to 13 tokens, six of them different."""
    model, data = parsing.model, parsing.data
    model.eval()
    varied = [i for i, parse in enumerate(data.test_parses) if len(set(parse.symbols)) >= 6]
    fit = [i for i in varied if 8 <= len(data.test_parses[i].heads) <= 13]
    fit = [i for i in fit if plain("".join(data.test_parses[i].texts))][:most]
    crowd = data.test.batch(fit)
    chosen = hardest(tree_crf(model(crowd.symbols), crowd.lengths).entropy(), fit)
    crf = tree_crf(model(data.test.batch([chosen]).symbols)[0])
    return ParsedExpression(data.test_parses[chosen], ask(crf, generator))
