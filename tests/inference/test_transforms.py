"""Queries under torch.func and torch.compile: the same numbers, one graph, and checks that still refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import operators
from tests.structures.families import Family, arborescence, chain, ctc, grammar, heads, matching, spanning, spans
from tests.structures.test_contract import fields

TREE = ss.SpanTree()
ARCS = spans(4).draw((2,), seed=20)
BEST = ss.argmax(TREE, spans(4).draw((2,), seed=21))
FAMILIES = (chain(4, 3), chain(1, 3), spans(4), heads(4))
QUERIES = (ss.log_partition, ss.marginals, ss.max_score, ss.entropy)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)
every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.__name__)


# forward mode loads rules of torch that warn of torch's own use of torch.jit
forward_mode = pytest.mark.filterwarnings("ignore::DeprecationWarning")


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


WALKED = (chain(4, 3), spans(4), arborescence(4), matching(3), ctc(4, 3, (1, 2)), spanning(4))


def mapped(query: Callable[..., Any], phi: Any, **how: Any) -> Any:
    return torch.func.vmap(query, **how)(phi)


def one_by_one(query: Callable[..., Any], phi: Any) -> Any:
    found = [query(type(phi)(*(f[i] for f in phi)) if isinstance(phi, tuple) else phi[i]) for i in range(3)]
    return torch.utils._pytree.tree_map(lambda *each: torch.stack(each), *found)


def equal(one: Any, other: Any) -> bool:
    pairs = zip(torch.utils._pytree.tree_leaves(one), torch.utils._pytree.tree_leaves(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("family", WALKED, ids=str)
def test_vmap_finds_structures(family: Any, labels: bool):
    phi, structure = family.draw((3, 2), seed=9), family.structure
    for query in (
        lambda x: ss.argmax(structure, x, labels=labels),
        lambda x: ss.topk(structure, x, 3, labels=labels),
        lambda x: ss.contains(structure, x, ss.argmax(structure, x)),
        lambda x: ss.count(structure, x),
    ):
        assert equal(mapped(query, phi), one_by_one(query, phi))
    nested = torch.func.vmap(torch.func.vmap(lambda x: ss.topk(structure, x, 3, labels=labels)))(phi)
    flat = ss.topk(structure, phi, 3, labels=labels)
    assert equal(nested, torch.utils._pytree.tree_map(lambda x: x.movedim(0, 2), flat))


@pytest.mark.parametrize("family", WALKED, ids=str)
def test_vmap_draws_the_same_or_differently(family: Any):
    one, structure = family.draw((2,), seed=10), family.structure
    phi = type(one)(*(f.expand(3, *f.shape) for f in one)) if isinstance(one, tuple) else one.expand(3, *one.shape)
    for query in (
        lambda x, g: ss.sample(structure, x, 50, generator=g),
        lambda x, g: ss.sample(structure, x, (5, 10), generator=g, labels=True),
        lambda x, g: ss.sample_without_replacement(structure, x, 2, generator=g),
    ):
        def seeded(x: Any, query: Callable[..., Any] = query) -> Any:
            return query(x, torch.Generator().manual_seed(3))

        assert equal(mapped(seeded, phi, randomness="same"), one_by_one(seeded, phi))
        found = mapped(seeded, phi, randomness="different")
        assert equal(found, mapped(seeded, phi, randomness="different"))
        shapes = [x.shape for x in torch.utils._pytree.tree_leaves(seeded(one))]
        assert [x.shape[1:] for x in torch.utils._pytree.tree_leaves(found)] == shapes
        assert any(not torch.equal(x[0], x[1]) for x in torch.utils._pytree.tree_leaves(found))
        with pytest.raises(RuntimeError, match="randomness"):
            mapped(seeded, phi)


@pytest.mark.statistical
def test_mapped_draws_have_their_own_law():
    """Each instance has potentials of its own: its share of draws must be that of its own marginals."""
    phi = spans(4).draw((3, 2), seed=11)
    draws = torch.func.vmap(lambda x: ss.sample(TREE, x, 4000), randomness="different")(phi)
    # five deviations of a mean of 4000, of 96 entries: false alarms below 1e-4
    assert ((draws.mean(1) - ss.marginals(TREE, phi)).abs() < 5 * 0.5 / 4000**0.5).all()


def test_vmap_over_nothing_and_over_listing():
    empty = spans(4).draw((0, 2), seed=0)
    assert torch.func.vmap(lambda x: ss.topk(TREE, x, 3).scores)(empty).shape == (0, 3, 2)
    for randomness in ("same", "different"):
        drawn = torch.func.vmap(lambda x: ss.sample(TREE, x, 7), randomness=randomness)(empty)
        assert drawn.shape == (0, 7, 2, 4, 4)
    with pytest.raises(NotImplementedError, match="enumerate_events"):
        torch.func.vmap(lambda x: ss.enumerate_events(TREE, x))(spans(4).draw((2,), seed=0))


GENERIC = (ss.KBestSemiring(2), ss.ExpectationSemiring(), ss.EntropySemiring(), ss.CountingSemiring())


@forward_mode
@pytest.mark.parametrize("semiring", GENERIC, ids=str)
def test_semirings_without_a_reduction_under_transforms(semiring: ss.Semiring):
    phi, along = spans(3).draw((2,), seed=12), spans(3).draw((2,), seed=13)

    def value(x: Tensor) -> Tensor:
        return ss.evaluate(TREE, semiring, x).double()

    close(torch.func.vmap(value)(phi), torch.stack([value(x) for x in phi]))
    leaf = phi.clone().requires_grad_()
    weights = torch.randn(value(phi).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if not value(leaf).requires_grad:
        return
    (wanted,) = torch.autograd.grad((value(leaf) * weights).sum(), leaf)
    close(torch.func.grad(lambda x: (value(x) * weights).sum())(phi), wanted)
    close(torch.func.jvp(lambda x: (value(x) * weights).sum(), (phi,), (along,))[1], (wanted * along).sum())
    with pytest.raises(ValueError, match="NaN"):
        torch.func.vmap(value)(torch.full_like(phi, torch.nan))


@forward_mode
@every_query
@every_family
def test_forward_mode_is_the_gradient(family: Any, query: Callable[..., Any]):
    phi, along = family.draw((2,), seed=2), family.draw((2,), seed=3)

    def answers(*given: Tensor) -> tuple[Tensor, ...]:
        return fields(query(family.structure, family.kind(*given)))

    found = torch.func.jvp(answers, fields(phi), fields(along))[1]
    for i, tangent in enumerate(found):
        rows = torch.func.jacrev(lambda *given, i=i: answers(*given)[i], argnums=tuple(range(len(fields(phi)))))
        pairs = zip(rows(*fields(phi)), fields(along), strict=True)
        close(tangent, sum((r * a).flatten(tangent.dim()).sum(-1) for r, a in pairs))


TWICE = (chain(3, 2), spans(3), arborescence(4), spanning(4))


@forward_mode
@pytest.mark.parametrize("family", TWICE, ids=str)
def test_second_derivatives_by_any_two_modes(family: Any):
    phi, wanted = fields(family.draw((), seed=4)), []
    for i, field in enumerate(phi):
        for part in torch.eye(field.numel(), dtype=field.dtype).reshape(-1, *field.shape):
            vectors = [part if i == j else torch.zeros_like(f) for j, f in enumerate(phi)]
            rows = ss.covariance_vp(family.structure, family.kind(*phi), family.kind(*vectors))
            wanted.append(torch.cat([r.flatten() for r in fields(rows)]))
    sizes = [f.numel() for f in phi]

    def log_z(flat: Tensor) -> Tensor:
        parts = zip(flat.split(sizes), phi, strict=True)
        return ss.log_partition(family.structure, family.kind(*(x.reshape(f.shape) for x, f in parts)))

    point = torch.cat([f.flatten() for f in phi])
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        for inner in (torch.func.jacfwd, torch.func.jacrev):
            close(outer(inner(log_z))(point), torch.stack(wanted))
    close(torch.func.hessian(log_z)(point), torch.stack(wanted))
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        with pytest.raises(NotImplementedError, match="third derivatives"):
            outer(torch.func.hessian(log_z))(point)


@forward_mode
@pytest.mark.parametrize("family", TWICE, ids=str)
def test_gradients_check_in_both_modes(family: Any):
    phi = tuple(f.requires_grad_() for f in fields(family.draw((2,), seed=5)))

    def log_z(*given: Tensor) -> Tensor:
        return ss.log_partition(family.structure, family.kind(*given))

    def means(*given: Tensor) -> tuple[Tensor, ...]:
        return fields(ss.marginals(family.structure, family.kind(*given)))

    for function in (log_z, means):
        assert torch.autograd.gradcheck(function, phi, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(log_z, phi, check_fwd_over_rev=True, check_rev_over_rev=True, fast_mode=True)


@forward_mode
def test_forward_mode_of_a_stated_gradient_is_refused():
    phi, along = spans(3).draw((), seed=6), spans(3).draw((), seed=7)
    generator = torch.Generator().manual_seed(0)
    refused = (
        lambda x: ss.surrogates.straight_through(TREE, x),
        lambda x: ss.evaluate(TREE, ss.SampleSemiring(generator), x),
        lambda x: ss.evaluate(TREE, ss.GumbelSoftmaxSemiring(generator=generator), x),
        lambda x: ss.relaxations.perturbed(TREE, x, generator=generator),
    )
    for query in refused:
        with pytest.raises(NotImplementedError, match="stated, for reverse mode only"):
            torch.func.jvp(query, (phi,), (along,))
        assert not torch.equal(torch.func.grad(lambda x, query=query: (query(x) * along).sum())(phi), 0 * phi)


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


UNTOUCHED = (
    ("log_partition", lambda x: ss.log_partition(TREE, x)),
    ("max_score", lambda x: ss.max_score(TREE, x)),
    ("marginals", lambda x: ss.marginals(TREE, x).square().sum((1, 2))),
    ("expectation", lambda x: ss.expectation(TREE, x, ARCS)),
    ("entropy", lambda x: ss.entropy(TREE, x)),
    ("evaluate", lambda x: ss.evaluate(TREE, ss.LogSemiring(), x)),
    ("log_prob", lambda x: ss.log_prob(TREE, x, BEST)),
    ("nll", lambda x: ss.losses.nll(TREE, x, BEST)),
    ("trees", lambda x: ss.log_partition(ss.Arborescence(), x)),
)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("query", [q for _, q in UNTOUCHED], ids=[name for name, _ in UNTOUCHED])
@forward_mode
def test_a_gradient_inside_a_compiled_graph(query: Callable[[Tensor], Tensor], backend: str):
    """Where nothing comes between the function's argument and the query, no tensor has `requires_grad`."""
    gradient = torch.func.grad(lambda x: query(x).sum())
    phi = spans(4).draw((2,), seed=8)
    leaf = phi.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(query(leaf).sum(), leaf)
    close(gradient(phi), wanted)
    close(torch.compile(gradient, backend=backend, fullgraph=True)(phi), wanted)


OPEN = (ss.SpanTree(), spans(4, 3)), (ss.PCFG(), grammar(3, 2, 1)), (ss.PCFG(), grammar(3, 2, 1, spans=True))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("structure", "family"), OPEN, ids=lambda x: str(x) if isinstance(x, Family) else "")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_graph_of_a_form_settled_by_the_potentials(structure: Any, family: Family):
    if str(family).endswith("tied") and torch.__version__ < "2.8":
        pytest.skip("the compiler of torch 2.7 unpacks no tuple whose class has a `__new__` of its own")
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
    _, charts = operators.total([phi], lengths, True, *call)
    weight = torch.ones(2, dtype=torch.float64)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(operators.total, ([phi], lengths, True, *call), test_utils=tests)
    torch.library.opcheck(operators.gradient, ([phi], lengths, charts, weight, *call), test_utils=tests)
    torch.library.opcheck(operators.curvature, ([phi], lengths, charts, weight, [phi], *call), test_utils=tests)
