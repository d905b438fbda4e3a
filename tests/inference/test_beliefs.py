"""Loopy belief propagation: exact on trees, close and self-consistent on loops, honest about its residual."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import graph
from tests.structures.test_factor_graph import drawn, same

TREES = ("a", "ab,bc,cd", "abc,cd,de,a,e", "ab,ac,ad,bE", "ab,cd")


@pytest.mark.parametrize("equation", TREES)
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_exact_on_trees(equation: str, damping: float):
    phi, model = drawn(equation), ss.FactorGraph(equation)
    found = ss.loopy_belief_propagation(model, phi, iterations=6 if damping == 0 else 120, damping=damping)
    same(found.log_partition, ss.log_partition(model, phi))
    for one, other in zip(found.marginals, ss.marginals(model, phi), strict=True):
        same(one, other)
    assert (found.residual < 1e-12).all()


@pytest.mark.parametrize("equation", TREES[1:3])
def test_exact_with_forbidden_values_and_gradients(equation: str):
    sizes = dict.fromkeys("abcde", 3)
    phi = graph(equation, **sizes).draw((3,), 4, forbidden=0.2)
    phi = tuple(field.requires_grad_() for field in phi)
    model = ss.FactorGraph(equation)
    found = ss.loopy_belief_propagation(model, phi, iterations=6)
    exact = ss.log_partition(model, phi)
    same(found.log_partition, exact)
    finite = exact > -torch.inf
    assert finite.any()
    one, other = (torch.autograd.grad(z[finite].sum(), phi) for z in (found.log_partition, exact))
    for a, b in zip(one, other, strict=True):
        same(a, b)


def test_an_infeasible_instance():
    phi = (torch.full((2, 2), -torch.inf), torch.zeros(2, 2))
    found = ss.loopy_belief_propagation(ss.FactorGraph("ab,bc"), phi)
    assert found.log_partition == -torch.inf
    assert not any(field.any() for field in found.marginals)


def test_tied_factors_count():
    phi = graph("ab,bc", (1, 2), (2, 2), a=3, b=2, c=2).draw((2,), 0)
    wide = (phi[0].expand(2, 3, 2).contiguous(), phi[1])
    model = ss.FactorGraph("ab,a,bc")
    third = torch.zeros(2, 3, dtype=torch.float64)
    tied = ss.loopy_belief_propagation(model, (phi[0], third, phi[1]), iterations=5)
    free = ss.loopy_belief_propagation(model, (wide[0], third, wide[1]), iterations=5)
    same(tied.log_partition, free.log_partition)
    same(tied.marginals[0], free.marginals[0].sum(1, keepdim=True))


def test_a_single_loop():
    """Weak couplings: close to exact, and locally consistent once settled; strong ones: the residual tells."""
    weak = tuple(0.3 * field for field in drawn("ab,bc,cd,da"))
    model = ss.FactorGraph("ab,bc,cd,da")
    found = ss.loopy_belief_propagation(model, weak, iterations=60)
    assert (found.residual < 1e-10).all()
    torch.testing.assert_close(found.log_partition, ss.log_partition(model, weak), rtol=0, atol=0.02)
    for one, other in zip(found.marginals, ss.marginals(model, weak), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.02)
    same(found.marginals[0].sum(1), found.marginals[1].sum(2))
    frustrated = torch.tensor([[6.0, -6.0], [-6.0, 6.0]])
    signs: tuple[Tensor, ...] = (frustrated, frustrated, frustrated, -frustrated)
    tilted = tuple(t + torch.tensor([0.5, 0.0]) for t in signs)
    unsettled = ss.loopy_belief_propagation(model, tilted, iterations=15)
    settled = ss.loopy_belief_propagation(model, tilted, iterations=400, damping=0.5)
    assert unsettled.residual > 1e-3 > settled.residual


def test_bethe_is_the_fixed_point_of_a_symmetric_loop():
    """A ring of n equal couplings: 2 (2 cosh J)^n against (2 cosh J)^n + (2 sinh J)^n, exactly."""
    n, coupling = 5, torch.tensor(0.7, dtype=torch.float64)
    table = coupling * torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    model = ss.FactorGraph("ab,bc,cd,de,ea")
    phi = (table,) * n
    found = ss.loopy_belief_propagation(model, phi)
    same(found.log_partition, n * (2 * coupling.cosh()).log())
    same(ss.log_partition(model, phi), ((2 * coupling.cosh()) ** n + (2 * coupling.sinh()) ** n).log())


def test_half_precision_and_batch_dims():
    phi = tuple(field.bfloat16().reshape(2, 1, *field.shape[1:]) for field in drawn("ab,bc"))
    found = ss.loopy_belief_propagation(ss.FactorGraph("ab,bc"), phi, iterations=4)
    assert found.log_partition.shape == found.residual.shape == (2, 1)
    assert found.marginals[0].dtype == found.log_partition.dtype == torch.float32


def test_refusals():
    phi = (torch.zeros(2, 2),)
    with pytest.raises(ss.UnsupportedQueryError, match="FactorGraph"):
        ss.loopy_belief_propagation(ss.OneOf(), torch.zeros(2))  # type: ignore[arg-type]
    with pytest.raises(ss.UnsupportedQueryError, match="twice"):
        ss.loopy_belief_propagation(ss.FactorGraph("aa"), phi)
    for iterations, damping in ((0, 0.0), (5, 1.0), (5, -0.1)):
        with pytest.raises(ValueError, match="iterations"):
            ss.loopy_belief_propagation(ss.FactorGraph("ab"), phi, iterations, damping)
