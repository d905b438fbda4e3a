"""SynJax as a contender, compiled by XLA once per shape before the clock starts; its checkpointing is off.

XLA takes all cores, whatever `--threads` says: confine the process (`taskset -c 0`) to compare on one.
SynJax is on GitHub alone (google-deepmind/synjax). Its annotations no longer pass the checks of current jaxtyping, and
these are off.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import Case, targets
from benchmarks.contenders import BEST, SAMPLES, Run
from benchmarks.ours import arcs, centred

os.environ.setdefault("JAXTYPING_DISABLE", "1")
# by name, as they are in no group of requirements: SynJax has no release
jax, jnp, synjax = (importlib.import_module(name) for name in ("jax", "jax.numpy", "synjax"))

NEG_INF = -1e5
"""What it takes for a forbidden part."""

Make = Callable[..., Any]


def prepare(case: Case, query: str, potentials: Any) -> Run | None:
    """Its distribution of the same structure, made anew from the potentials within the compiled call."""
    synjax.set_config(checkpoint_loops=False, checkpoint_semiring_einsum=False)
    if case.family == "ctc":
        return _ctc(case, query, potentials)
    if case.family not in LAYOUTS:
        return None
    make, given, shared = LAYOUTS[case.family](potentials)
    x = [jnp.asarray(p.detach().contiguous().numpy()) for p in given]
    key = jax.random.PRNGKey(0)
    # its paths do not count the first cell, through which all of them go
    start = potentials[:, 0, 0] if case.family == "dtw" else 0.0
    calls: dict[str, tuple[Callable[..., Any], Callable[[Any], Tensor | None]]] = {
        "log_partition": (lambda *x: make(*x).log_partition(), lambda value: _back(value) + start),
        "marginals": (lambda *x: make(*x).marginals(), lambda event: shared(event)),
        "argmax": (lambda *x: make(*x).argmax(), lambda event: _score(event, given)),
        "sample": (lambda *x: make(*x).sample(key, SAMPLES), lambda _: None),
        "topk": (lambda *x: make(*x).top_k(BEST), lambda both: _back(both[1])),
    }
    if query not in calls:
        return None
    compiled = jax.jit(calls[query][0])
    return Run(lambda: jax.block_until_ready(compiled(*x)), calls[query][1])


def heavy(case: Case, query: str) -> str | None:
    """Its k best of trees and of long chains take seconds to compile, and then to run."""
    slow = query == "topk" and case.family in LAYOUTS and case.family != "spans"
    return "its top_k takes seconds" if slow else None


def _score(event: Any, given: list[Tensor]) -> Tensor | None:
    """Of a best structure, where its event is laid out like the one field."""
    if len(given) > 1:
        return None
    used = _back(event)
    return torch.where(used == 0, 0.0, used * given[0]).flatten(1).sum(-1)


def _back(x: Any) -> Tensor:
    return torch.from_numpy(np.array(x))


def _chain(p: Any) -> tuple[Make, list[Tensor], Callable[[Any], Tensor]]:
    """`[i]` are the edges into position i; the first leads from state 0."""
    batch, n, c = p.emission.shape
    edges = torch.full((batch, n, c, c), NEG_INF)
    edges[:, 1:] = p.transition + p.emission[:, 1:, None, :]
    edges[:, 0, 0] = p.emission[:, 0]
    tied = p.transition.shape[1] < n - 1
    return synjax.LinearChainCRF, [edges], lambda event: _moves(_back(event)[:, 1:], tied)


def _moves(event: Tensor, tied: bool) -> Tensor:
    return event.sum(1, keepdim=True) if tied else event


def _segments(p: Any) -> tuple[Make, list[Tensor], Callable[[Any], Tensor]]:
    """`[i, k]` are the segments of width k + 1 that end at i, from the label before to their own."""
    batch, n, w, c = p.segment.shape
    edges = torch.full((batch, n, w, c, c), NEG_INF)
    for k in range(w):
        edges[:, k:, k] = p.segment[:, : n - k, k, None, :] + p.transition[:, : n - k]
        edges[:, k, k] = NEG_INF
        edges[:, k, k, 0] = p.segment[:, 0, k]

    def shared(event: Any) -> Tensor:
        ends, out = _back(event).sum(-2), torch.zeros_like(p.segment)
        for k in range(w):
            out[:, : n - k, k] = ends[:, k:, k]
        return out

    return synjax.SemiMarkovCRF, [edges], shared


def _spans(p: Tensor) -> tuple[Make, list[Tensor], Callable[[Any], Tensor]]:
    return synjax.TreeCRF, [p.unsqueeze(-1)], lambda event: _back(event)[..., 0].triu()


def _trees(projective: bool) -> Callable[[Tensor], tuple[Make, list[Tensor], Callable[[Any], Tensor]]]:
    def make(x: Any) -> Any:
        return synjax.SpanningTreeCRF(x, directed=True, projective=projective, single_root_edge=False)

    return lambda p: (make, [p], lambda event: arcs(_back(event)))


def _paths(p: Tensor) -> tuple[Make, list[Tensor], Callable[[Any], Tensor]]:
    def make(x: Any) -> Any:
        return synjax.AlignmentCRF(x, alignment_type="monotone_many_to_many")

    return make, [p], _back


def _grammar(p: Any) -> tuple[Make, list[Tensor], Callable[[Any], Tensor]]:
    pcfg = importlib.import_module("synjax._src.constituency_pcfg")

    def make(root: Any, rule: Any, term: Any) -> Any:
        return pcfg.GeneralizedPCFG(root=root, rule=rule, preterminal_scores=term)

    return make, list(p), lambda event: _back(event.tags)


def _ctc(case: Case, query: str, log_probs: Tensor) -> Run | None:
    """The loss and its gradient; it takes the softmax itself, which changes nothing here."""
    if query != "loss":
        return None
    symbols = jnp.asarray(targets(case.sizes).int().numpy())
    compiled = jax.jit(jax.value_and_grad(lambda x: synjax.CTC(x, symbols).loss().mean()))
    x = jnp.asarray(log_probs.numpy())

    def read(both: Any) -> Tensor:
        frames = log_probs.clone().requires_grad_()
        frames.grad = _back(both[1])
        return centred(_back(both[0]), frames)

    return Run(lambda: jax.block_until_ready(compiled(x)), read)


LAYOUTS: dict[str, Callable[[Any], tuple[Make, list[Tensor], Callable[[Any], Tensor]]]] = {
    "chain": _chain,
    "tagger": _chain,
    "semi-markov": _segments,
    "spans": _spans,
    "projective": _trees(projective=True),
    "arborescence": _trees(projective=False),
    "dtw": _paths,
    "pcfg": _grammar,
}
