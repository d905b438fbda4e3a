"""Experiment (c): everything the chain says about one held-out line, and the tree model about one expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import semiring_struct as ss

from .data import Batch
from .parsing import Parsing
from .spans import Line, spans_of
from .tagging import Tagging
from .trees import Parse


@dataclass(frozen=True)
class TaggedLine:
    """`marginals[i, tag]`; each tag sequence comes with its probability; `entropy` is in nats."""

    line: Line
    mode: list[int]
    best: list[tuple[float, list[int]]]
    samples: list[tuple[float, list[int]]]
    marginals: Tensor
    entropy: float


@dataclass(frozen=True)
class ParsedExpression:
    """`marginals[head, dependent]` over the root symbol and the tokens; `heads` are those of the best tree."""

    parse: Parse
    heads: list[int]
    marginals: Tensor
    entropy: float


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
    crf = ss.LinearChainCRF(model.chain(crowd.symbols), lengths=crowd.lengths)
    chosen = hardest(crf.entropy(), fit)

    structure = ss.LinearChain()
    phi = model.chain(data.test.batch([chosen]).symbols)
    top = ss.topk(structure, phi, 4)
    best = structure.to_labels(top.events)[:, 0]
    draws = ss.sample(structure, phi, (5,), generator=generator, labels=True)[:, 0]
    return TaggedLine(
        line=data.test_lines[chosen],
        mode=ss.argmax(structure, phi, labels=True)[0].tolist(),
        best=_with_probabilities(best[top.valid[:, 0]], phi),
        samples=_with_probabilities(draws, phi),
        marginals=ss.marginals(structure, phi).emission[0],
        entropy=ss.entropy(structure, phi).item(),
    )


def _with_probabilities(tags: Tensor, phi: ss.ChainPotentials) -> list[tuple[float, list[int]]]:
    probabilities = ss.LinearChainCRF(phi).log_prob(tags.unsqueeze(1)).exp()[:, 0]
    return list(zip(probabilities.tolist(), tags.tolist(), strict=True))


@torch.no_grad()
def look_at_parse(parsing: Parsing, most: int = 400) -> ParsedExpression:
    """The least certain of the first `most` expressions that have 8 to 13 tokens."""
    model, data = parsing.model, parsing.data
    model.eval()
    fit = [i for i, parse in enumerate(data.test_parses) if 8 <= len(parse.heads) <= 13]
    fit = [i for i in fit if plain("".join(data.test_parses[i].texts))][:most]
    crowd: Batch = data.test.batch(fit)
    entropies = ss.ProjectiveDependencyCRF(model(crowd.symbols), lengths=crowd.lengths).entropy()
    chosen = hardest(entropies, fit)

    structure = ss.ProjectiveTree()
    phi = model(data.test.batch([chosen]).symbols)
    return ParsedExpression(
        parse=data.test_parses[chosen],
        heads=ss.argmax(structure, phi, labels=True)[0, 1:].tolist(),
        marginals=ss.marginals(structure, phi)[0],
        entropy=ss.entropy(structure, phi).item(),
    )
