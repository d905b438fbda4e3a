"""PyTorch's own operators as a contender: its CTC loss, and determinants by LU for trees that may cross."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import Case, targets
from benchmarks.contenders import Run
from benchmarks.ours import arcs, centred


def prepare(case: Case, query: str, potentials: Any) -> Run | None:
    """`ctc_loss` and its backward pass, and the matrix-tree theorem, for sums alone."""
    if case.family == "ctc" and query == "loss":
        return _ctc(potentials, targets(case.sizes))
    if case.family == "arborescence" and query in ("log_partition", "marginals"):
        return _trees(potentials, query)
    return None


def heavy(case: Case, query: str) -> str | None:
    """Nothing is."""
    return None


def _ctc(log_probs: Tensor, symbols: Tensor) -> Run:
    batch, t, _ = log_probs.shape
    frames = log_probs.transpose(0, 1).clone().requires_grad_()
    sizes = torch.full((batch,), t), torch.full((batch,), symbols.shape[1])

    def call() -> Tensor:
        frames.grad = None
        loss = torch.nn.functional.ctc_loss(frames, symbols, *sizes, reduction="sum") / batch
        loss.backward()
        return loss.detach()

    def read(loss: Tensor) -> Tensor:
        ours = frames.detach().transpose(0, 1).clone().requires_grad_()
        ours.grad = None if frames.grad is None else frames.grad.transpose(0, 1)
        return centred(loss, ours)

    return Run(call, read)


def log_trees(arc: Tensor) -> Tensor:
    """Log-determinants of Laplacians of exponentiated scores, `(batch,)`: float32 all the way [koo2007]."""
    weight = arcs(arc.exp())
    inner = weight[:, 1:, 1:]
    laplacian = torch.diag_embed(weight.sum(1)[:, 1:]) - inner
    return torch.linalg.slogdet(laplacian).logabsdet


def _trees(arc: Tensor, query: str) -> Run:
    if query == "log_partition":
        return Run(lambda: log_trees(arc), lambda value: value)

    def marginals() -> Tensor:
        leaf = arc.detach().requires_grad_()
        return torch.autograd.grad(log_trees(leaf).sum(), leaf)[0]

    return Run(marginals, arcs)
