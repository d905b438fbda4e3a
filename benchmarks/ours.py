"""This library as a contender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from benchmarks.cases import Case, queries
from benchmarks.contenders import BEST, MANY, SAMPLES, Run


def prepare(case: Case, query: str, potentials: Any) -> Run | None:
    """Every query that the case's family names."""
    structure = case.structure
    if query not in queries(case, ()):
        return None
    if query == "loss":
        return _emitted(structure, potentials) if case.family == "ctc" else _loss(structure, potentials)
    calls: dict[str, tuple[Callable[[], Any], Callable[[Any], Tensor | None]]] = {
        "log_partition": (lambda: ss.log_partition(structure, potentials), lambda value: value),
        "marginals": (lambda: ss.marginals(structure, potentials), lambda event: shared(case, event)),
        "argmax": (
            lambda: ss.argmax(structure, potentials),
            lambda event: ss.score(structure, potentials, event),
        ),
        "labels": (lambda: ss.argmax(structure, potentials, labels=True), lambda labels: labels),
        "sample": (lambda: ss.sample(structure, potentials, SAMPLES), lambda _: None),
        "samples": (lambda: ss.sample(structure, potentials, MANY, labels=True), lambda _: None),
        "topk": (lambda: ss.topk(structure, potentials, BEST), lambda best: best.scores),
    }
    return Run(*calls[query])


def heavy(case: Case, query: str) -> str | None:
    """Nothing is."""
    return None


def shared(case: Case, event: Any) -> Tensor:
    """The part of an event that every library has: moves of a chain, segments, spans, arcs."""
    if case.family in ("chain", "tagger"):
        return event.transition
    if case.family == "semi-markov":
        return event.segment
    if case.family in ("spans", "nussinov"):
        return event.triu()
    if case.family == "pcfg":
        return event.term
    if case.family in ("projective", "arborescence"):
        return arcs(event)
    return event.match if case.family == "alignment" else event


def arcs(event: Tensor) -> Tensor:
    """Without what stands where no arc can."""
    words = torch.ones_like(event[0]).fill_diagonal_(0.0)
    words[:, 0] = 0.0
    return event * words


def gold(emission: Tensor) -> Tensor:
    """Tags to train on."""
    return torch.randint(emission.shape[-1], emission.shape[:-1], generator=torch.Generator().manual_seed(1))


def _loss(structure: ss.Structure, potentials: Any) -> Run:
    """One training step's work: the mean negative log-likelihood of gold tags, and its gradients."""
    emission, transition = (field.clone().requires_grad_() for field in potentials)
    tags = gold(emission)

    def call() -> Tensor:
        emission.grad = transition.grad = None
        loss = -ss.log_prob(structure, ss.ChainPotentials(emission, transition), tags).mean()
        loss.backward()
        return loss.detach()

    def read(loss: Tensor) -> Tensor:
        gradients = (field.grad for field in (emission, transition))
        return torch.cat([loss.reshape(1), *(g.flatten() for g in gradients if g is not None)])

    return Run(call, read)


def _emitted(structure: ss.Structure, log_probs: Tensor) -> Run:
    """The mean negative log-probability of the targets, and its gradient."""
    frames = log_probs.clone().requires_grad_()

    def call() -> Tensor:
        frames.grad = None
        loss = -ss.log_partition(structure, frames).mean()
        loss.backward()
        return loss.detach()

    return Run(call, lambda loss: centred(loss, frames))


def centred(loss: Tensor, log_probs: Tensor) -> Tensor:
    """Loss and gradient as scores of any level see them: torch's own gradient is right up to a shift of each frame."""
    gradient = log_probs.grad if log_probs.grad is not None else torch.zeros_like(log_probs)
    through = gradient - log_probs.detach().exp() * gradient.sum(-1, keepdim=True)
    return torch.cat([loss.reshape(1), through.flatten()])
