"""pytorch-crf as a contender: chains whose transitions are shared by all positions.

Its scores of the first and the last tag are 0 here, so that both sides compute the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torchcrf  # pyright: ignore[reportMissingImports]
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.contenders import Run
from benchmarks.ours import gold


def prepare(case: Case, query: str, potentials: Any) -> Run | None:
    """Its two calls: the training loss and the best tags."""
    if case.family != "tagger" or query not in ("loss", "labels"):
        return None
    crf = torchcrf.CRF(case.sizes[-1], batch_first=True)
    with torch.no_grad():
        crf.start_transitions.zero_()
        crf.end_transitions.zero_()
        crf.transitions.copy_(potentials.transition[0])
    emission = potentials.emission.clone().requires_grad_(query == "loss")
    return _loss(crf, emission) if query == "loss" else Run(lambda: crf.decode(emission), torch.tensor)


def heavy(case: Case, query: str) -> str | None:
    """Nothing is."""
    return None


def _loss(crf: Any, emission: Tensor) -> Run:
    tags = gold(emission)

    def call() -> Tensor:
        emission.grad = None
        crf.zero_grad()
        loss = -crf(emission, tags, reduction="mean")
        loss.backward()
        return loss.detach()

    def read(loss: Tensor) -> Tensor:
        gradients = (field.grad for field in (emission, crf.transitions))
        return torch.cat([loss.reshape(1), *(g.flatten() for g in gradients if g is not None)])

    return Run(call, read)
