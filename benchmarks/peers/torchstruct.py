"""torch-struct as a contender: chains, segments, spans and projective trees, in its own layouts.

Its moves are indexed `[to, from]` and hold the states' scores too; its root arcs stand on the diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch_struct  # pyright: ignore[reportMissingImports]
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.contenders import BEST, SAMPLES, Run

NEG_INF = float("-inf")
MOST_BYTES = 4 << 30
# how many tensors of the largest product are alive at once, by query: found by measuring a chain
ALIVE = {"log_partition": 3, "marginals": 6, "argmax": 6, "sample": 60, "topk": 60}


@dataclass(frozen=True)
class Layout:
    """Its distribution, its potentials, and how its events read in the layout that contenders share."""

    distribution: Any
    potentials: Any
    shared: Callable[[Any], Tensor]


def prepare(case: Case, query: str, potentials: Any) -> Run | None:
    """A fresh distribution in every call, because it remembers its answers."""
    if case.family not in LAYOUTS or query not in ALIVE:
        return None
    layout = LAYOUTS[case.family](potentials)
    grammar = isinstance(layout.potentials, tuple)
    if grammar and query not in ("log_partition", "marginals"):
        return None
    # it sets requires_grad on what it is given and then writes to views of it; a leaf that has it already is spared
    leaves = [p.clone().requires_grad_() for p in (layout.potentials if grammar else (layout.potentials,))]
    theirs = tuple(leaves) if grammar else leaves[0]

    def distribution() -> Any:
        return layout.distribution(theirs)

    def partition() -> Tensor:
        with torch.no_grad():
            return distribution().partition

    def score(events: Tensor) -> Tensor:
        part = torch.where(events == 0, 0.0, events * layout.potentials)
        return part.flatten(events.dim() - layout.potentials.dim() + 1).sum(-1)

    calls: dict[str, tuple[Callable[[], Any], Callable[[Any], Tensor | None]]] = {
        "log_partition": (partition, lambda value: value),
        "marginals": (lambda: distribution().marginals, layout.shared),
        "argmax": (lambda: distribution().argmax, lambda event: score(event.detach())),
        "sample": (lambda: distribution().sample((SAMPLES,)), lambda _: None),
        "topk": (lambda: distribution().topk(BEST), lambda events: score(events.detach())),
    }
    return Run(*calls[query])


def heavy(case: Case, query: str) -> str | None:
    """Its chains multiply pairs of matrices, all positions at once: `batch * n / 2 * states^3` numbers per product."""
    if case.family not in ("chain", "semi-markov"):
        return None
    batch, n, *states = case.sizes
    size = 4 * batch * n / 2 * torch.Size(states).numel() ** 3 * ALIVE.get(query, 1)
    return f"needs about {size / (1 << 30):.0f} GiB" if size > MOST_BYTES else None


def _chain(potentials: Any) -> Layout:
    edges = potentials.transition + potentials.emission[:, 1:, None, :]
    edges[:, 0] += potentials.emission[:, 0, :, None]
    edges = edges.transpose(-1, -2).contiguous()
    return Layout(torch_struct.LinearChainCRF, edges, lambda event: event.detach().transpose(-1, -2))


def _segments(potentials: Any) -> Layout:
    """`[start, width, to, from]`; the state before the first segment is free there, so all but one are forbidden."""
    segment, transition = potentials
    batch, n, w, c = segment.shape
    edges = segment.new_full((batch, n, w + 1, c, c), NEG_INF)
    edges[:, 1:, 1:] = segment[:, 1:, :, :, None] + transition[:, 1:, None].transpose(-1, -2)
    edges[:, 0, 1:, :, 0] = segment[:, 0]
    return Layout(torch_struct.SemiMarkovCRF, edges, lambda event: event.detach().sum(-1)[:, :, 1:])


def _spans(potentials: Tensor) -> Layout:
    return Layout(torch_struct.TreeCRF, potentials.unsqueeze(-1).contiguous(), lambda event: event.detach().squeeze(-1))


def _arcs(potentials: Tensor) -> Layout:
    words = potentials[:, 1:, 1:].clone()
    words.diagonal(0, 1, 2).copy_(potentials[:, 0, 1:])

    def shared(event: Any) -> Tensor:
        event = event.detach()
        arcs = torch.nn.functional.pad(event - torch.diag_embed(event.diagonal(0, 1, 2)), (1, 0, 1, 0))
        arcs[:, 0, 1:] = event.diagonal(0, 1, 2)
        return arcs

    return Layout(torch_struct.DependencyCRF, words, shared)


def _grammar(potentials: Any) -> Layout:
    scores = tuple(x.contiguous() for x in (potentials.term, potentials.rule, potentials.root))
    return Layout(torch_struct.SentCFG, scores, lambda event: event[0].detach())


LAYOUTS: dict[str, Callable[[Any], Layout]] = {
    "chain": _chain,
    "semi-markov": _segments,
    "spans": _spans,
    "projective": _arcs,
    "pcfg": _grammar,
}
