"""Experiment (b): parse expressions into dependency trees, with and without a tree over the arcs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import semiring_struct as ss

from .corpus import Corpus, SourceFile
from .data import Batch, Dataset, Vocabulary
from .model import FORBIDDEN, Parser
from .train import Curve, fit
from .trees import Parse, is_projective, parses_of


@dataclass(frozen=True)
class ParseScores:
    """Over held-out expressions: share of tokens with the right head, of trees all right, of outputs that are trees."""

    attachment: float
    whole: float
    trees: float


@dataclass(frozen=True)
class ParseData:
    """Expressions as tokens and as tensors; `refused` counts those whose gold tree failed a check."""

    vocabulary: Vocabulary
    train: Dataset
    test: Dataset
    test_parses: list[Parse]
    refused: int


@dataclass(frozen=True)
class Parsing:
    """The experiment's outcome: scores by method, learning curves, and the model whose parse is drawn."""

    scores: dict[str, ParseScores]
    curves: dict[str, Curve]
    model: Parser
    data: ParseData


def parse_data(corpus: Corpus, most_test: int) -> ParseData:
    """Each symbol sequence once, and none held out that the training files contain: the names are invisible here."""
    train, train_refused = _distinct_parses(corpus.train, set())
    test, test_refused = _distinct_parses(corpus.test, {parse.symbols for parse in train})
    test = test[:: max(1, len(test) // most_test)][:most_test]
    vocabulary = Vocabulary([parse.symbols for parse in train])
    return ParseData(
        vocabulary, _encode(train, vocabulary), _encode(test, vocabulary), test, train_refused + test_refused
    )


def _distinct_parses(files: tuple[SourceFile, ...], seen: set[tuple[str, ...]]) -> tuple[list[Parse], int]:
    distinct: dict[tuple[str, ...], Parse] = {}
    refused = 0
    for file in files:
        parses, lost = parses_of(file)
        refused += lost
        for parse in parses:
            if parse.symbols not in seen:
                distinct.setdefault(parse.symbols, parse)
    return list(distinct.values()), refused


def _encode(parses: list[Parse], vocabulary: Vocabulary) -> Dataset:
    return Dataset([vocabulary.encode(parse.symbols) for parse in parses], [list(parse.heads) for parse in parses])


def with_root(heads: Tensor) -> Tensor:
    """Heads of the words `(batch, words)` as labels of a tree `(batch, words + 1)`; entry 0 stands for no head."""
    return torch.nn.functional.pad(heads, (1, 0), value=-1)


def tree_crf(scores: Tensor, lengths: Tensor | None = None) -> ss.ProjectiveDependencyCRF:
    """Trees as the gold ones are: exactly one token hangs from the root symbol."""
    return ss.ProjectiveDependencyCRF(scores, lengths, single_root=True)


def tree_loss(model: Parser, batch: Batch) -> Tensor:
    """Negative log-likelihood of whole trees."""
    return -tree_crf(model(batch.symbols), batch.lengths).log_prob(with_root(batch.targets)).mean()


def head_scores(model: Parser, batch: Batch) -> Tensor:
    """Log-probabilities `(batch, head, dependent)` of each word's head on its own; no word heads itself."""
    scores = model(batch.symbols)
    size = scores.shape[-1]
    excluded = torch.eye(size, dtype=torch.bool) | (torch.arange(size)[:, None] > batch.lengths[:, None, None])
    return torch.where(excluded, FORBIDDEN, scores)[..., 1:].log_softmax(-2)


def softmax_loss(model: Parser, batch: Batch) -> Tensor:
    """The same for heads that know nothing of each other."""
    chosen = head_scores(model, batch).gather(-2, batch.targets.unsqueeze(-2)).squeeze(-2)
    return -torch.where(batch.mask, chosen, 0.0).sum() / len(batch.lengths)


def tree_decode(model: Parser, batch: Batch) -> Tensor:
    """Heads `(batch, words)` of the best tree."""
    return tree_crf(model(batch.symbols), batch.lengths).argmax(labels=True)[:, 1:]


def softmax_decode(model: Parser, batch: Batch) -> Tensor:
    """The best head of each word, tree or not."""
    return head_scores(model, batch).argmax(-2)


def repaired_decode(model: Parser, batch: Batch) -> Tensor:
    """The best tree under the softmax: structure at decoding time only."""
    scores = torch.nn.functional.pad(head_scores(model, batch), (1, 0))
    return tree_crf(scores, batch.lengths).argmax(labels=True)[:, 1:]


def previous_decode(model: Parser, batch: Batch) -> Tensor:
    """No model at all: every token hangs on the one before it."""
    return torch.arange(batch.symbols.shape[1]).expand_as(batch.symbols)


@torch.no_grad()
def judge(model: Parser, decode: Callable[[Parser, Batch], Tensor], data: Dataset) -> ParseScores:
    """Scores of a decoder over a data set."""
    model.eval()
    right = words = whole = trees = 0
    for batch in data.in_order(128):
        guess = decode(model, batch)
        hits = (guess == batch.targets) & batch.mask
        right += int(hits.sum())
        words += int(batch.lengths.sum())
        whole += int((hits.sum(-1) == batch.lengths).sum())
        pairs = zip(guess.tolist(), batch.lengths.tolist(), strict=True)
        trees += sum(is_projective(tuple(heads[:length])) for heads, length in pairs)
    model.train()
    return ParseScores(right / words, whole / len(data), trees / len(data))


def run_parsing(corpus: Corpus, seed: int, steps: int, most_test: int) -> Parsing:
    """Trains the network twice from the same start on the same batches, once under each loss."""
    data = parse_data(corpus, most_test)
    models, curves = {}, {}
    for name, loss, decode in (
        ("independent softmax", softmax_loss, softmax_decode),
        ("ProjectiveDependencyCRF", tree_loss, tree_decode),
    ):
        torch.manual_seed(seed)
        model = models[name] = Parser(len(data.vocabulary))
        batches = data.train.shuffled(32, torch.Generator().manual_seed(seed))
        curves[name] = fit(
            model,
            lambda batch, model=model, loss=loss: loss(model, batch),
            batches,
            steps,
            lambda model=model, decode=decode: judge(model, decode, data.test).attachment,
            f"parser, {name}",
        )
    softmax, tree = models["independent softmax"], models["ProjectiveDependencyCRF"]
    scores = {
        "head = the token before": judge(tree, previous_decode, data.test),
        "independent softmax": judge(softmax, softmax_decode, data.test),
        "... decoded as a tree": judge(softmax, repaired_decode, data.test),
        "ProjectiveDependencyCRF": judge(tree, tree_decode, data.test),
    }
    return Parsing(scores, curves, tree, data)
