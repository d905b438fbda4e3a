"""Queries under torch.func and torch.compile: the same numbers, one graph, and checks that still refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import operators
from tests.structures.families import Family, chain, grammar, heads, spans
from tests.structures.test_contract import fields

TREE = ss.SpanTree()
FAMILIES = (chain(4, 3), chain(1, 3), spans(4), heads(4))
QUERIES = (ss.log_partition, ss.marginals, ss.max_score, ss.entropy)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)
every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.__name__)


def close(one: Any, other: Any) -> None:
    for a, b in zip(fields(one), fields(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@every_query
@every_family
def test_vmap_is_a_batch_dim(family: Any, query: Callable[..., Any]):
    phi = family.draw((3, 2), seed=0)
    close(torch.func.vmap(lambda x: query(family.structure, x))(phi), query(family.structure, phi))
    nested = torch.func.vmap(torch.func.vmap(lambda x: query(family.structure, x)))
    close(nested(phi), query(family.structure, phi))


@every_family
def test_vmap_maps_lengths_and_gradients(family: Any):
    phi, lengths = family.draw((3,), seed=1), family.lengths(3, seed=1)
    one = torch.func.vmap(lambda x, n: ss.log_partition(family.structure, x, lengths=n))(phi, lengths)
    close(one, ss.log_partition(family.structure, phi, lengths=lengths))
    per_instance = torch.func.vmap(torch.func.grad(lambda x: ss.entropy(family.structure, x)))(phi)
    leaves = [field.clone().requires_grad_() for field in fields(phi)]
    total = ss.entropy(family.structure, family.kind(*leaves)).sum()
    close(tuple(fields(per_instance)), torch.autograd.grad(total, leaves))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forward_mode_is_refused_rather_than_zero():
    with pytest.raises((NotImplementedError, RuntimeError), match="jvp"):
        torch.func.jvp(lambda x: ss.log_partition(ss.SpanTree(), x), (torch.zeros(3, 3),), (torch.ones(3, 3),))


@pytest.fixture
def fresh() -> None:
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh")
@every_query
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_graph(query: Callable[..., Any]):
    compiled = torch.compile(lambda x: query(TREE, x), backend="aot_eager", fullgraph=True)
    for seed in range(2):
        phi = spans(4).draw((2,), seed=seed)
        close(compiled(phi), query(ss.SpanTree(), phi))


OPEN = (ss.SpanTree(), spans(4, 3)), (ss.PCFG(), grammar(3, 2, 1)), (ss.PCFG(), grammar(3, 2, 1, spans=True))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("structure", "family"), OPEN, ids=lambda x: str(x) if isinstance(x, Family) else "")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_graph_of_a_form_settled_by_the_potentials(structure: Any, family: Family):
    phi = family.draw((2,), seed=0)
    compiled = torch.compile(lambda x: ss.marginals(structure, x), backend="aot_eager", fullgraph=True)
    close(compiled(phi), ss.marginals(structure, phi))
    decoded = torch.compile(lambda x: ss.argmax(structure, x, labels=True), backend="aot_eager", fullgraph=True)
    assert torch.equal(decoded(phi), ss.argmax(structure, phi, labels=True))


@pytest.mark.usefixtures("fresh")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_graph_with_lengths_and_backward():
    def loss(x: Tensor, lengths: Tensor) -> Tensor:
        return ss.log_partition(TREE, x, lengths=lengths).sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    phi, lengths = spans(4).draw((2,), seed=0).requires_grad_(), torch.tensor([2, 4])
    compiled(phi, lengths).backward()
    assert phi.grad is not None
    close(phi.grad, ss.marginals(ss.SpanTree(), phi.detach(), lengths=lengths))
    with pytest.raises((ValueError, RuntimeError), match="lengths must lie in"):
        compiled(phi, torch.tensor([2, 5]))
    with pytest.raises(ValueError, match="NaN"):
        compiled(torch.full_like(phi, float("nan")), lengths)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_operators_pass_the_checks_of_torch():
    structure = ss.SpanTree()
    phi, lengths = spans(3).draw((2,), seed=0), torch.tensor([[3], [2]])
    reduction = operators.description_of(ss.LogSemiring().reduction)
    call = (structure.handle, [3], reduction, 0)
    _, charts = operators.total([phi], lengths, *call)
    weight = torch.ones(2, dtype=torch.float64)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(operators.total, ([phi], lengths, *call), test_utils=tests)
    torch.library.opcheck(operators.gradient, ([phi], lengths, charts, weight, *call), test_utils=tests)
    torch.library.opcheck(operators.curvature, ([phi], lengths, charts, weight, [phi], *call), test_utils=tests)
