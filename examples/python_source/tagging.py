"""Experiment (a): tag the characters of source lines, with and without a chain over the tags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import semiring_struct as ss

from .corpus import Corpus, SourceFile
from .data import Batch, Dataset, Vocabulary
from .model import Tagger, chain_potentials
from .spans import Line, lines_of, spans_of
from .train import Curve, fit


@dataclass(frozen=True)
class TagScores:
    """Over all held-out lines: share of characters tagged right, exact-token precision, recall and F1."""

    accuracy: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class TagData:
    """Lines as text and as tensors; `dropped` counts lines that cannot be tagged alone."""

    vocabulary: Vocabulary
    train: Dataset
    test: Dataset
    test_lines: list[Line]
    dropped: int


@dataclass(frozen=True)
class Tagging:
    """The experiment's outcome: scores by method, learning curves, and the model that the close-up looks into."""

    scores: dict[str, TagScores]
    curves: dict[str, Curve]
    model: Tagger
    data: TagData


def tag_data(corpus: Corpus, most_test: int) -> TagData:
    """Each text once, and no held-out line that the training files contain: agreement by memory would show nothing."""
    train, train_dropped = _distinct_lines(corpus.train, set())
    test, test_dropped = _distinct_lines(corpus.test, {line.text for line in train})
    test = test[:: max(1, len(test) // most_test)][:most_test]
    vocabulary = Vocabulary([line.text for line in train])
    return TagData(
        vocabulary, _encode(train, vocabulary), _encode(test, vocabulary), test, train_dropped + test_dropped
    )


def _distinct_lines(files: tuple[SourceFile, ...], seen: set[str]) -> tuple[list[Line], int]:
    distinct: dict[str, Line] = {}
    dropped = 0
    for file in files:
        lines, lost = lines_of(file)
        dropped += lost
        for line in lines:
            if line.text not in seen:
                distinct.setdefault(line.text, line)
    return list(distinct.values()), dropped


def _encode(lines: list[Line], vocabulary: Vocabulary) -> Dataset:
    return Dataset([vocabulary.encode(line.text) for line in lines], [list(line.tags) for line in lines])


def chain_loss(model: Tagger, batch: Batch) -> Tensor:
    """Negative log-likelihood of whole tag sequences."""
    crf = ss.LinearChainCRF(model.chain(batch.symbols), lengths=batch.lengths)
    return -crf.log_prob(batch.targets).mean()


def softmax_loss(model: Tagger, batch: Batch) -> Tensor:
    """The same for tags that know nothing of each other; also per line, so that both see gradients of one size."""
    cross = torch.nn.functional.cross_entropy(model(batch.symbols).mT, batch.targets, reduction="none")
    return (cross * batch.mask).sum() / len(batch.lengths)


def chain_decode(model: Tagger, batch: Batch) -> Tensor:
    """The best tag sequence of the chain, `(batch, n)`."""
    return ss.LinearChainCRF(model.chain(batch.symbols), lengths=batch.lengths).argmax(labels=True)


def softmax_decode(model: Tagger, batch: Batch) -> Tensor:
    """The best tag of each character."""
    return model(batch.symbols).argmax(-1)


def repaired_decode(model: Tagger, batch: Batch) -> Tensor:
    """The best sequence under the softmax among those that spell tokens: structure at decoding time only."""
    emission = model(batch.symbols).log_softmax(-1)
    chain = chain_potentials(emission, torch.zeros_like(model.transition), model.allowed)
    return ss.LinearChainCRF(chain, lengths=batch.lengths).argmax(labels=True)


@torch.no_grad()
def judge(model: Tagger, decode: Callable[[Tagger, Batch], Tensor], data: Dataset) -> TagScores:
    """Scores of a decoder over a data set."""
    model.eval()
    right = characters = hits = guessed = gold = 0
    for batch in data.in_order(128):
        guess = decode(model, batch)
        right += int(((guess == batch.targets) & batch.mask).sum())
        characters += int(batch.lengths.sum())
        for ours, theirs, length in zip(guess.tolist(), batch.targets.tolist(), batch.lengths.tolist(), strict=True):
            found, wanted = spans_of(ours[:length]), spans_of(theirs[:length])
            hits, guessed, gold = hits + len(found & wanted), guessed + len(found), gold + len(wanted)
    model.train()
    precision, recall = hits / max(guessed, 1), hits / max(gold, 1)
    return TagScores(right / characters, precision, recall, 2 * hits / max(guessed + gold, 1))


def run_tagging(corpus: Corpus, seed: int, steps: int, most_test: int) -> Tagging:
    """Trains the network twice from the same start on the same batches, once under each loss."""
    data = tag_data(corpus, most_test)
    glance = Dataset(data.test.symbols[::4], data.test.targets[::4])
    models, curves = {}, {}
    for name, loss, decode in (
        ("independent softmax", softmax_loss, softmax_decode),
        ("LinearChainCRF", chain_loss, chain_decode),
    ):
        torch.manual_seed(seed)
        model = models[name] = Tagger(len(data.vocabulary))
        batches = data.train.shuffled(32, torch.Generator().manual_seed(seed))
        curves[name] = fit(
            model,
            lambda batch, model=model, loss=loss: loss(model, batch),
            batches,
            steps,
            lambda model=model, decode=decode: judge(model, decode, glance).f1,
            f"tagger, {name}",
        )
    softmax, chain = models["independent softmax"], models["LinearChainCRF"]
    scores = {
        "independent softmax": judge(softmax, softmax_decode, data.test),
        "... decoded under the rules of tokens": judge(softmax, repaired_decode, data.test),
        "LinearChainCRF": judge(chain, chain_decode, data.test),
    }
    return Tagging(scores, curves, chain, data)
