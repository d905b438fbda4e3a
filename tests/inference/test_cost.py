"""What a query runs: passes of the machine, however many samples; no dense events where labels are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import semiring_struct as ss
from semiring_struct.executors import Eager
from tests.structures.families import chain, spans

TREE = ss.SpanTree()
RUNS = ("total", "gradient", "curvature", "best", "draws", "k_best", "beam")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of the machine's runs was made."""
    counted: Counter[str] = Counter()

    def counting(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def counted_run(self: Any, *args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return run(self, *args, **kwargs)

        return counted_run

    for name in RUNS:
        monkeypatch.setattr(Eager, name, counting(name, getattr(Eager, name)))
    return counted


AT_MOST: dict[str, tuple[Callable[[Tensor], Any], dict[str, int]]] = {
    "log_partition": (lambda x: ss.log_partition(TREE, x), {"total": 1}),
    "backward": (lambda x: ss.log_partition(TREE, x.requires_grad_()).sum().backward(), {"total": 1, "gradient": 1}),
    "marginals": (lambda x: ss.marginals(TREE, x), {"total": 1, "gradient": 1}),
    "argmax": (lambda x: ss.argmax(TREE, x), {"total": 1, "best": 1}),
    "sample": (lambda x: ss.sample(TREE, x, (1000,)), {"total": 1, "draws": 1}),
    "topk": (lambda x: ss.topk(TREE, x, 5), {"total": 1, "k_best": 1}),
    "distinct": (lambda x: ss.sample_without_replacement(TREE, x, 5), {"total": 1, "beam": 1}),
    "expectation": (lambda x: ss.expectation(TREE, x, x), {"total": 1, "gradient": 1}),
    "covariance_vp": (lambda x: ss.covariance_vp(TREE, x, x), {"total": 1, "curvature": 1}),
    "variance": (lambda x: ss.variance(TREE, x, x), {"total": 1, "curvature": 1}),
    "entropy": (lambda x: ss.entropy(TREE, x), {"total": 2, "gradient": 1}),
    "cross_entropy": (lambda x: ss.cross_entropy(TREE, x, x), {"total": 2, "gradient": 1}),
    "kl": (lambda x: ss.kl(TREE, x, x), {"total": 4, "gradient": 2}),
    "renyi_entropy": (lambda x: ss.renyi_entropy(TREE, x, 2.0), {"total": 2}),
}


@pytest.mark.parametrize("name", AT_MOST)
def test_passes(name: str, runs: Counter[str]):
    query, allowed = AT_MOST[name]
    query(spans(6).draw((3,), seed=0))
    assert runs.total() > 0
    assert all(count <= allowed.get(run, 0) for run, count in runs.items()), dict(runs)


class Largest(TorchDispatchMode):
    """Notes the number of entries of the largest tensor that any operation returns."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, list | tuple) else (out,):
            if isinstance(x, Tensor) and x.layout == torch.strided:
                self.entries = max(self.entries, x.untyped_storage().nbytes() // x.element_size())
        return out


def test_labels_are_drawn_and_scored_without_dense_events():
    family = chain(40, 30)
    phi, draws = family.draw((), seed=0), 300
    dense = draws * phi.transition.numel()
    with Largest() as seen:
        labels = ss.sample(ss.LinearChain(), phi, (draws,), labels=True)
        log_probs = ss.log_prob(ss.LinearChain(), phi, labels)
    assert labels.shape == (draws, 40) and log_probs.shape == (draws,)
    assert seen.entries < dense / 20
    with Largest() as seen:
        ss.sample(ss.LinearChain(), phi, (draws,))
    assert seen.entries >= dense
