"""Compiled functions at the second length and the tenth: right numbers, and one graph for all lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._pytree import tree_leaves

import semiring_struct as ss
from semiring_struct.inference.fields import map_fields
from tests.structures.families import (
    Family,
    alignment,
    arborescence,
    chain,
    ctc,
    grammar,
    heads,
    matching,
    one_of,
    segments,
    spanning,
    spans,
    subset,
)
from tests.structures.test_contract import fields

TEN = (5, 6, 7, 8, 9, 10, 4, 11, 12, 13)
FOUR = (5, 6, 8, 4)
CORE = ("log_partition", "marginals", "entropy", "argmax_labels", "topk", "sample", "log_prob_labels", "lengths")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


def fixed(phi: Any, scale: float) -> Any:
    return map_fields(lambda f: f.detach() * scale, phi)


def best_labels(structure: Any, phi: Any) -> Tensor:
    return ss.argmax(structure, phi, labels=True)


QUERIES: dict[str, Callable[[Any, Any], Any]] = {
    "log_partition": ss.log_partition,
    "marginals": ss.marginals,
    "max_score": ss.max_score,
    "entropy": ss.entropy,
    "expectation": lambda s, phi: ss.expectation(s, phi, fixed(phi, 2)),
    "kl": lambda s, phi: ss.kl(s, phi, fixed(phi, 0.5)),
    "covariance_vp": lambda s, phi: ss.covariance_vp(s, phi, fixed(phi, 1)),
    "evaluate": lambda s, phi: ss.evaluate(s, ss.SparsemaxSemiring(), phi),
    "argmax": ss.argmax,
    "argmax_labels": best_labels,
    "topk": lambda s, phi: ss.topk(s, phi, 3),
    "topk_labels": lambda s, phi: ss.topk(s, phi, 3, labels=True),
    "sample": lambda s, phi: ss.sample(s, phi, 3),
    "sample_labels": lambda s, phi: ss.sample(s, phi, 3, labels=True),
    "distinct": lambda s, phi: ss.sample_without_replacement(s, phi, 3),
    "log_prob_labels": lambda s, phi: ss.log_prob(s, phi, best_labels(s, phi)),
    "log_prob_events": lambda s, phi: ss.log_prob(s, phi, ss.argmax(s, phi)),
    "lengths": lambda s, phi: ss.log_partition(s, phi, lengths=torch.tensor([2, 4])),
}


def compiled(query: Callable[[Any, Any], Any], family: Family, dynamic: bool | None, backend: str) -> tuple[Any, Any]:
    counter = CompileCounterWithBackend(backend)
    run = torch.compile(
        lambda *phi: query(family.structure, family.kind(*phi)), backend=counter, fullgraph=True, dynamic=dynamic
    )
    return run, counter


def agree(run: Callable[..., Any], query: Callable[[Any, Any], Any], family: Family, grad: bool) -> None:
    phi = [f.requires_grad_(grad) for f in fields(family.draw((2,), seed=3))]
    torch.manual_seed(0)
    found = tree_leaves(run(*phi))
    torch.manual_seed(0)
    wanted = tree_leaves(query(family.structure, family.kind(*phi)))
    torch.testing.assert_close(found, wanted)
    if grad:
        slopes = [torch.autograd.grad([x.sum() for x in out], phi) for out in (found, wanted)]
        torch.testing.assert_close(*slopes)


def check(make: Callable[[int], Family], name: str, dynamic: bool | None, lengths: tuple[int, ...], grad: bool) -> None:
    """One graph for the first length, and one for all others."""
    first = make(lengths[0])
    try:
        QUERIES[name](first.structure, first.draw((2,), seed=3))
    except (ss.UnsupportedQueryError, ValueError):
        pytest.skip("no such query, or no such lengths")
    # a backward pass is traced where the backend is given graphs without autograd
    run, counter = compiled(QUERIES[name], first, dynamic, "aot_eager" if grad else "eager")
    for n in lengths:
        agree(run, QUERIES[name], make(n), grad)
    followed = make in (FAMILIES["heads"], FAMILIES["arborescence"]) and name == "log_prob_labels"
    assert counter.frame_count <= 2 + followed  # paths among heads are followed by doubling


FAMILIES: dict[str, Callable[[int], Family]] = {
    "chain": lambda n: chain(n, 3),
    "segments": lambda n: segments(n, 2, 3, tied=True),
    "spans": spans,
    "heads": lambda n: heads(n + 1),
    "arborescence": lambda n: arborescence(n + 1),
    "spanning": spanning,
    "alignment": lambda n: alignment(n, n + 1),
    "ctc": lambda n: ctc(n, 4, (1, 2)),
    "one of": one_of,
    "subset": lambda n: subset(n, 2),
    "grammar": lambda n: grammar(n, 2, 2),
    "matching": matching,
}
SLOPES = ("log_partition", "marginals", "entropy", "max_score", "log_prob_labels")


@pytest.mark.parametrize("name", CORE)
def test_one_graph_serves_all_lengths(name: str):
    check(FAMILIES["chain"], name, None, FOUR, grad=False)


@pytest.mark.parametrize("name", ["log_partition", "log_prob_labels"])
def test_one_graph_of_a_training_step_serves_ten_lengths(name: str):
    check(FAMILIES["chain"], name, True, TEN, grad=True)


@pytest.mark.parametrize("make", [name for name in FAMILIES if name != "chain"])
def test_one_graph_of_a_backward_pass_serves_every_kind(make: str):
    check(FAMILIES[make], "log_partition", None, FOUR, grad=True)


@pytest.mark.parametrize("make", ["segments", "spans", "arborescence", "alignment", "ctc", "one of"])
def test_one_graph_of_a_best_structure_serves_lengths(make: str):
    check(FAMILIES[make], "argmax", None, FOUR, grad=False)


@pytest.mark.exhaustive
@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("make", FAMILIES)
def test_one_graph_serves_ten_lengths(make: str, name: str, dynamic: bool | None):
    check(FAMILIES[make], name, dynamic, TEN, grad=False)


@pytest.mark.exhaustive
@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.parametrize("make", FAMILIES)
def test_one_graph_of_a_backward_pass_serves_ten_lengths(make: str, name: str, dynamic: bool | None):
    check(FAMILIES[make], name, dynamic, TEN, grad=True)


def test_what_a_compiled_graph_cannot_hold_says_so():
    phi = spans(4).draw((2,), seed=0)
    tree = ss.SpanTree()
    for query in (lambda x: ss.count(tree, x), lambda x: ss.evaluate(tree, ss.EntropySemiring(), x)):
        with pytest.raises(Exception, match="which a compiled graph cannot hold"):
            torch.compile(query, backend="aot_eager", fullgraph=True)(phi)
        torch._dynamo.reset()
        torch.testing.assert_close(torch.compile(query, backend="aot_eager")(phi), query(phi))
