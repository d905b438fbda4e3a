"""SparseMAP against its optimality conditions over enumerated events, a quadratic program, and published cases."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.inference.fields import as_lengths, fields_of, map_fields, pack_like
from semiring_struct.ops import sparsemax
from semiring_struct.relaxations import sparsemap
from tests.structures.families import FAMILIES, NATIVE, Family

NEG_INF = float("-inf")


def flat(value: Any, lead: int) -> Tensor:
    """Fields side by side after `lead` dims."""
    return torch.cat([f.flatten(lead) for f in fields_of(value)], -1)


def quadratic_program(vertices: Tensor, eta: Tensor) -> Tensor:
    """The nearest point of conv(vertices) `(m, d)` to `eta (d)`: nonnegative least squares on the cone over them."""
    rows = np.concatenate([(vertices - eta).numpy().T, np.ones((1, len(vertices)))])
    weights, _ = scipy.optimize.nnls(rows, np.append(np.zeros(len(eta)), 1.0), maxiter=100_000)
    return torch.as_tensor(weights / weights.sum()) @ vertices


def is_optimal(phi: Tensor, curvature: Tensor, vertices: Tensor, found: ss.SparseMAP, i: int) -> None:
    """The conditions of optimality of instance `i`: its events exist, average to the mean, and none is better."""
    mean, weights = flat(pack_like(found.mean, [m[i] for m in fields_of(found.mean)]), 0), found.weights[:, i]
    events = flat(map_fields(lambda e: e[:, i], found.events), 1)
    assert (weights >= 0).all()
    assert (weights > 0).sum() <= mean.numel() + 1
    torch.testing.assert_close(weights.sum(), torch.ones((), dtype=weights.dtype))
    torch.testing.assert_close(weights @ events, mean)
    assert ((events[:, None] == vertices).all(-1).any(-1)).all()
    slope = torch.where(phi == NEG_INF, 0.0, phi) - curvature * mean
    assert ((vertices - mean) @ slope).max() <= 1e-7
    assert found.gap[i].abs() <= 1e-7


@pytest.mark.parametrize("family", FAMILIES + NATIVE, ids=str)
@pytest.mark.parametrize("forbidden", [0.0, 0.2])
def test_every_structure(family: Family, forbidden: float) -> None:
    phi = family.draw((6,), 1, forbidden=forbidden)
    lengths = family.lengths(6, 2)
    feasible = ss.count(family.structure, phi, lengths) > 0
    phi = map_fields(lambda f: f[feasible], phi)
    sides = [] if lengths is None else [x[feasible] for x in fields_of(lengths)]
    found = sparsemap(family.structure, phi, as_lengths(sides))
    assert found.weights.shape[1] == feasible.sum() > 0
    for i in range(found.weights.shape[1]):
        every = flat(family.events(*(int(side[i]) for side in sides)), 1).double()
        eta = flat(pack_like(phi, [f[i] for f in fields_of(phi)]), 0)
        allowed = ~((every != 0) & (eta == NEG_INF)).any(-1)
        is_optimal(eta, torch.ones_like(eta), every[allowed], found, i)
        nearest = quadratic_program(every[allowed], torch.where(eta == NEG_INF, 0.0, eta))
        torch.testing.assert_close(flat(map_fields(lambda f, i=i: f[i], found.mean), 0), nearest, rtol=0, atol=1e-7)


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_one_option_is_sparsemax() -> None:
    x = leaf(5, 6)
    found = sparsemap(ss.OneOf(), x)
    expected = sparsemax(x, -1)
    torch.testing.assert_close(found.mean, expected)
    u = torch.randn_like(x)
    torch.testing.assert_close(torch.autograd.grad(found.mean, x, u), torch.autograd.grad(expected, x, u))


def test_bits_are_clipped() -> None:
    t = torch.linspace(-1.5, 2.5, 17, dtype=torch.float64)
    torch.testing.assert_close(sparsemap(ss.BitVector(), t).mean, t.clamp(0, 1))
    two_states = sparsemap(ss.BitVector(), t + 1, curvature=2.0).mean
    torch.testing.assert_close(two_states, ((t + 1) / 2).clamp(0, 1))


def largest_by_day(families: list[Family]) -> list[Any]:
    """Of families that differ in size alone the largest, whose polytope is never a point; the others at night."""
    kept = {re.sub(r"\d+", "", str(f)): f for f in sorted(families, key=lambda f: math.prod(f.shapes[0]))}
    return [f if f in kept.values() else pytest.param(f, marks=pytest.mark.exhaustive) for f in families]


@pytest.mark.parametrize("family", largest_by_day([f for f in FAMILIES + NATIVE if len(f.shapes) == 1]), ids=str)
def test_gradients(family: Family) -> None:
    """Of the mean and of a sum over events, in potentials and curvature."""
    if math.prod(family.shapes[0]) == 1:
        pytest.skip("one point")
    phi = family.draw((2,), 3, forbidden=0.1)
    phi = phi[ss.count(family.structure, phi) > 0]
    free = phi > NEG_INF
    curvature = 0.5 + torch.rand(phi.shape, dtype=torch.float64)
    losses = torch.randn(phi.shape[1:], dtype=torch.float64)
    v, c = phi[free].requires_grad_(), curvature.requires_grad_()
    found_first = sparsemap(family.structure, phi, curvature=curvature.detach())

    def run(v: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        # which events average to the mean is not unique: begin from the same ones
        found = sparsemap(family.structure, phi.masked_scatter(free, v), curvature=c, start=found_first)
        worth = (found.events * losses).flatten(2).sum(-1).square()
        return found.mean, (found.weights * worth).sum(0)

    assert torch.autograd.gradcheck(run, (v, c), fast_mode=v.numel() > 12)
    assert torch.autograd.gradgradcheck(lambda v, c: run(v, c)[0], (v, c), fast_mode=True)


def test_fields_may_bend_apart() -> None:
    """Emissions squared, transitions linear, against enumeration; gradients through both."""
    chain = ss.LinearChain()
    emission, transition = leaf(4, 4, 3), leaf(4, 3, 3, 3)
    found = sparsemap(chain, ss.ChainPotentials(emission, transition), curvature=(1.0, 0.0))
    every = flat(ss.enumerate_events(chain, ss.ChainPotentials(emission[0], transition[0])), 1)
    bend = torch.cat([torch.ones(12), torch.zeros(27)]).double()
    for i in range(4):
        phi = flat(ss.ChainPotentials(emission[i], transition[i]), 0).detach()
        is_optimal(phi, bend, every, ss.SparseMAP(*(map_fields(Tensor.detach, x) for x in found)), i)

    def run(e: Tensor, t: Tensor) -> Tensor:
        return flat(sparsemap(chain, ss.ChainPotentials(e, t), curvature=(1.0, 0.0)).mean, 1)

    assert torch.autograd.gradcheck(run, (emission, transition), fast_mode=True)


def test_ties_move_along_the_whole_face() -> None:
    """Two events make the point (1/2, 1/2), but it may move in both directions."""
    t = torch.full((2,), 0.5, dtype=torch.float64, requires_grad=True)
    found = sparsemap(ss.BitVector(), t)
    assert found.weights.shape[0] == 2
    jacobian = torch.autograd.functional.jacobian(lambda t: sparsemap(ss.BitVector(), t).mean, t)
    torch.testing.assert_close(jacobian, torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize(
    "structure, size", [(ss.ProjectiveTree(), (4, 4)), (ss.Subset(2), (5,)), (ss.SpanTree(), (4, 4))]
)
def test_zero_potentials(structure: Any, size: tuple[int, ...]) -> None:
    """All events tie: the Jacobian is the projector onto the directions of the polytope."""
    phi = torch.zeros(size, dtype=torch.float64)
    every = ss.enumerate_events(structure, phi).flatten(1)
    _, scale, right = torch.linalg.svd(every - every[0])
    basis = right[: int((scale > 1e-9).sum())]
    jacobian = torch.autograd.functional.jacobian(lambda x: sparsemap(structure, x).mean.flatten(), phi)
    torch.testing.assert_close(jacobian.flatten(1), basis.T @ basis)


def test_large_batches_converge() -> None:
    """No event is looked for one instance at a time: as many calls of the oracle as the slowest instance needs."""
    chain = ss.ChainPotentials(torch.randn(64, 8, 4), torch.randn(64, 7, 4, 4))
    for structure, phi, parts in (
        (ss.LinearChain(), chain, 8 * 4 + 7 * 16),
        (ss.ProjectiveTree(), torch.randn(64, 7, 7), 49),
        (ss.Subset(at_most=5), torch.randn(64, 12), 12),
        (ss.Arborescence(), torch.randn(64, 6, 6), 25),
        (ss.Matching(), torch.randn(64, 6, 6), 36),
        (ss.SpanningTree(), torch.randn(64, 7, 7), 21),
    ):
        found = sparsemap(structure, phi)
        assert found.gap.abs().max() <= 1e-6
        assert 1 < len(found.weights) <= parts + 1
        torch.testing.assert_close(found.weights.sum(0), torch.ones(64))


class Assignment(ss.Solver):
    """Perfect matchings of four pairs, by trying them all: a structure of which only the best is known."""

    event_dim = 2
    shapes = {"pair": "n n"}
    sides = ()

    def best(self, fields: tuple[Tensor, ...], lengths: Tensor) -> tuple[Tensor, ...]:
        used = torch.tensor([[4 * i + j for i, j in enumerate(p)] for p in itertools.permutations(range(4))])
        value, which = fields[0].flatten(1)[:, used].sum(-1).max(-1)
        return value > NEG_INF, used[which]


def test_an_argmax_is_all_it_needs() -> None:
    phi = torch.randn(64, 4, 4, dtype=torch.float64)
    phi[:, 0, 0] = NEG_INF
    found = sparsemap(Assignment(), phi.requires_grad_())
    every = torch.stack([torch.eye(4)[list(p)].flatten() for p in itertools.permutations(range(4))]).double()
    for i in range(0, 64, 8):
        is_optimal(phi[i].detach().flatten(), torch.ones(16), every[every[:, 0] == 0], found, i)
    assert found.gap.max() <= 1e-9
    pulled = torch.autograd.grad(found.mean, phi, torch.ones_like(phi))[0]
    assert pulled.abs().max() < 1e-12, "rows and columns sum to 1, whatever the potentials"


def test_warm_start() -> None:
    phi = torch.randn(8, 6, 6, dtype=torch.float64)
    before = sparsemap(ss.ProjectiveTree(), phi)
    again = sparsemap(ss.ProjectiveTree(), phi, start=before, iterations=0)
    torch.testing.assert_close(again.mean, before.mean)
    assert again.gap.max() <= 1e-9
    near = phi + 0.3 * torch.randn_like(phi)
    near[:, 0, 1] = NEG_INF
    torch.testing.assert_close(
        sparsemap(ss.ProjectiveTree(), near, start=before).mean, sparsemap(ss.ProjectiveTree(), near).mean
    )
    all_bits = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    dependent = ss.SparseMAP(all_bits.mean(0), all_bits, torch.full((4,), 0.25, dtype=torch.float64), torch.zeros(()))
    t = torch.tensor([0.3, 0.6], dtype=torch.float64)
    torch.testing.assert_close(sparsemap(ss.BitVector(), t, start=dependent).mean, t)


def test_stopping_early_reports_the_gap() -> None:
    phi = torch.randn(4, 7, 7, dtype=torch.float64)
    short, best = (sparsemap(ss.ProjectiveTree(), phi, iterations=i) for i in (2, 1000))

    def value(mean: Tensor) -> Tensor:
        return (phi * mean - mean.square() / 2).flatten(1).sum(-1)

    lost = value(best.mean) - value(short.mean)
    assert (lost >= 0).all()
    assert (lost <= short.gap + 1e-12).all()
    assert short.gap.max() > 1e-3


def test_padding_and_empty_instances() -> None:
    phi = torch.randn(4, 5, 3, dtype=torch.float64).mul(3), torch.randn(4, 4, 3, 3, dtype=torch.float64)
    lengths = torch.tensor([0, 2, 5, 1])
    leaves = [f.requires_grad_() for f in phi]
    found = sparsemap(ss.LinearChain(), ss.ChainPotentials(*leaves), lengths)
    grads = torch.autograd.grad((found.mean.emission**2).sum() + (found.weights**2).sum(), leaves)
    assert found.weights[:, 0].tolist() == [1.0] + [0.0] * (len(found.weights) - 1)
    for i, n in enumerate(lengths.tolist()):
        assert not found.mean.emission[i, n:].any()
        assert not grads[0][i, n:].any()
        assert not grads[1][i, max(n - 1, 0) :].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_precision(dtype: torch.dtype, scale: float) -> None:
    phi = (scale * torch.randn(6, 5, 5)).to(dtype)
    phi[:, torch.rand(5, 5) < 0.2] = NEG_INF
    phi[:, 0] = 0.0
    found, exact = (sparsemap(ss.ProjectiveTree(), x) for x in (phi.requires_grad_(), phi.detach().double()))
    assert found.mean.dtype == found.weights.dtype == found.gap.dtype == torch.float32
    torch.testing.assert_close(found.mean.double(), exact.mean, rtol=0, atol=1e-6)
    assert found.gap.max() <= 1e-6 * scale
    assert torch.autograd.grad(found.mean.square().sum(), phi)[0].isfinite().all()


def test_refusals() -> None:
    phi = torch.zeros(2, 4)
    phi[1, :3] = NEG_INF
    with pytest.raises(ss.InfeasibleError, match=r"index \(1,\)"):
        sparsemap(ss.Subset(2), phi)
    with pytest.raises(ValueError, match=">= 0"):
        sparsemap(ss.Subset(2), torch.zeros(4), curvature=-1.0)
    with pytest.raises(TypeError, match="one entry per field"):
        sparsemap(ss.Subset(2), torch.zeros(4), curvature=(1.0, 1.0))
    with pytest.raises(ss.ShapeError, match="broadcasts"):
        sparsemap(ss.Subset(2), torch.zeros(4), curvature=torch.ones(3))


def test_no_part_is_bent() -> None:
    """Without a quadratic it is the best event."""
    phi = torch.randn(5, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(
        sparsemap(ss.ProjectiveTree(), phi, curvature=0.0).mean, ss.argmax(ss.ProjectiveTree(), phi)
    )


def test_empty_batch() -> None:
    assert sparsemap(ss.Subset(2), torch.zeros(0, 4)).mean.shape == (0, 4)
