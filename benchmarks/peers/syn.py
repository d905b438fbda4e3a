"""SynJax as a contender, compiled by XLA once per shape before the clock starts; its checkpointing is off.

XLA takes all cores, whatever `--threads` says: confine the process (`taskset -c 0`) to compare on one.
Its annotations no longer pass the checks of current jaxtyping, and these are off. Its CTC sums by optax where that is
installed, a switch of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import Case, targets
from benchmarks.contenders import BEST, SAMPLES, Run
from benchmarks.ours import arcs, centred

# by name, as they are in no group of requirements: SynJax has no release
importlib.import_module("jaxtyping").config.update("jaxtyping_disable", True)
jax, jnp, synjax = (importlib.import_module(name) for name in ("jax", "jax.numpy", "synjax"))

NEG_INF = -1e5
"""What it takes for a forbidden part."""


@dataclass(frozen=True)
class Layout:
    """Its distribution as a function of its potentials, and how its events read in the layout that contenders share.

    `alike` says that events are laid out like the one field. `start` is a score that its distribution leaves out.
    """

    make: Callable[..., Any]
    given: list[Tensor]
    shared: Callable[[Any], Tensor]
    alike: bool = False
    start: Tensor | float = 0.0


def prepare(case: Case, query: str, potentials: Any) -> Run | None:
    """Its distribution of the same structure, made anew from the potentials within the compiled call."""
    with_optax = importlib.util.find_spec("optax") is not None
    synjax.set_config(checkpoint_loops=False, checkpoint_semiring_einsum=False, ctc_use_optax=with_optax)
    if case.family not in LAYOUTS:
        return None
    layout = LAYOUTS[case.family](case, potentials)
    make, given, key = layout.make, layout.given, jax.random.PRNGKey(0)
    calls: dict[str, tuple[Callable[..., Any], Callable[[Any], Tensor | None]]] = {
        "log_partition": (lambda *x: make(*x).log_partition(), lambda value: _back(value) + layout.start),
        "marginals": (lambda *x: make(*x).marginals(), layout.shared),
        "argmax": (lambda *x: make(*x).argmax_and_max(), lambda both: _back(both[1])),
        "sample": (lambda *x: make(*x).sample(key, SAMPLES), lambda _: None),
        "topk": (lambda *x: make(*x).top_k(BEST), lambda both: _back(both[1]) + layout.start),
    }
    if layout.alike:
        calls["argmax"] = lambda *x: make(*x).argmax(), lambda event: _score(event, given[0])
    if case.family == "alignment":
        calls["marginals"] = _moves(make), layout.shared
    if case.family == "ctc":
        calls["loss"] = jax.value_and_grad(lambda x: make(x).loss().mean()), lambda both: _centred(both, given[0])
    if query not in calls:
        return None
    compiled, x = jax.jit(calls[query][0]), [jnp.asarray(p.detach().contiguous().numpy()) for p in given]
    return Run(lambda: jax.block_until_ready(compiled(*x)), calls[query][1])


def heavy(case: Case, query: str) -> str | None:
    """Its k best of trees and of long chains take seconds to compile, and then to run."""
    slow = query == "topk" and case.family in LAYOUTS and case.family != "spans"
    return "its top_k takes seconds" if slow else None


def _moves(make: Callable[..., Any]) -> Callable[..., Any]:
    """Marginals of an alignment's moves are a gradient; its own marginals are those of cells."""
    return jax.grad(lambda *x: make(*x).log_partition().sum(), argnums=(0, 1, 2))


def _score(event: Any, given: Tensor) -> Tensor:
    """Of a best structure."""
    used = _back(event).reshape(given.shape)
    return torch.where(used == 0, 0.0, used * given).flatten(1).sum(-1)


def _centred(both: Any, log_probs: Tensor) -> Tensor:
    """Loss and gradient; it takes the softmax itself, which changes nothing here."""
    frames = log_probs.clone().requires_grad_()
    frames.grad = _back(both[1])
    return centred(_back(both[0]), frames)


def _back(x: Any) -> Tensor:
    return torch.from_numpy(np.array(x))


def _chain(case: Case, p: Any) -> Layout:
    """`[i]` are the edges into position i; the first leads from state 0."""
    batch, n, c = p.emission.shape
    edges = torch.full((batch, n, c, c), NEG_INF)
    edges[:, 1:] = p.transition + p.emission[:, 1:, None, :]
    edges[:, 0, 0] = p.emission[:, 0]

    def shared(event: Any) -> Tensor:
        moves = _back(event)[:, 1:]
        return moves.sum(1, keepdim=True) if case.family == "tagger" else moves

    return Layout(synjax.LinearChainCRF, [edges], shared, alike=True)


def _segments(_: Case, p: Any) -> Layout:
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

    return Layout(synjax.SemiMarkovCRF, [edges], shared, alike=True)


def _spans(_: Case, p: Tensor) -> Layout:
    return Layout(synjax.TreeCRF, [p.unsqueeze(-1)], lambda event: _back(event)[..., 0].triu(), alike=True)


def _trees(case: Case, p: Tensor) -> Layout:
    def make(x: Any) -> Any:
        projective = case.family == "projective"
        return synjax.SpanningTreeCRF(x, directed=True, projective=projective, single_root_edge=False)

    return Layout(make, [p], lambda event: arcs(_back(event)), alike=True)


def _paths(_: Case, p: Tensor) -> Layout:
    """Its paths do not count the first cell, through which all of them go."""

    def make(x: Any) -> Any:
        return synjax.AlignmentCRF(x, alignment_type="monotone_many_to_many")

    return Layout(make, [p], _back, alike=True, start=p[:, 0, 0])


def _alignment(_: Case, p: Any) -> Layout:
    """Moves into each cell of the grid: by a column and 0 or 1 rows, or by a row alone."""
    pad = torch.nn.functional.pad
    across, diagonal = pad(p.insert, (1, 0), value=NEG_INF), pad(p.match, (1, 0, 1, 0), value=NEG_INF)
    down = pad(p.delete, (0, 0, 1, 0), value=NEG_INF)

    def make(across: Any, diagonal: Any, down: Any) -> Any:
        return synjax.GeneralMonotoneAlignmentCRF((across, diagonal), down)

    return Layout(make, [across, diagonal, down], lambda moves: _back(moves[1])[:, 1:, 1:])


def _grammar(_: Case, p: Any) -> Layout:
    pcfg = importlib.import_module("synjax._src.constituency_pcfg")

    def make(root: Any, rule: Any, term: Any) -> Any:
        return pcfg.GeneralizedPCFG(root=root, rule=rule, preterminal_scores=term)

    return Layout(make, list(p), lambda event: _back(event.tags))


def _ctc(case: Case, log_probs: Tensor) -> Layout:
    """Its events are paths through the target with its blanks; frames emit the sum over places of a symbol."""
    symbols = targets(case.sizes)
    places = torch.zeros(len(symbols), 2 * symbols.shape[1] + 1, log_probs.shape[-1])
    places[:, ::2, 0] = 1.0
    places[:, 1::2].scatter_(-1, symbols.unsqueeze(-1), 1.0)
    given = jnp.asarray(symbols.int().numpy())
    return Layout(lambda x: synjax.CTC(x, given), [log_probs], lambda event: _back(event).transpose(-1, -2) @ places)


LAYOUTS: dict[str, Callable[[Case, Any], Layout]] = {
    "chain": _chain,
    "tagger": _chain,
    "semi-markov": _segments,
    "spans": _spans,
    "projective": _trees,
    "arborescence": _trees,
    "alignment": _alignment,
    "dtw": _paths,
    "ctc": _ctc,
    "pcfg": _grammar,
}
