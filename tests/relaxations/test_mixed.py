"""Mixed variables: masses, densities and draws agree with one another and with the known answers."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.relaxations import GaussianSparsemax, GumbelSparsemax, HardConcrete, HardKuma, RectifiedBit
from tests.known import CASES, same, tensor

DRAWS = 200_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bits() -> list[RectifiedBit]:
    case = CASES["hard_concrete"]
    concrete = [HardConcrete(tensor(r[0]), case["beta"]) for r in case["rows_logalpha_P0_P1_Pcont_testvalue"]]
    return [*concrete, *(HardKuma(tensor(r[0]), tensor(r[1])) for r in CASES["hard_kuma"]["rows_a_b_P0_P1"])]


def test_hard_concrete_masses():
    case = CASES["hard_concrete"]
    for log_alpha, zero, one, between, middle in case["rows_logalpha_P0_P1_Pcont_testvalue"]:
        law = HardConcrete(tensor(log_alpha), case["beta"], case["gamma"], case["zeta"])
        same(law.log_prob_zero.exp(), zero)
        same(law.log_prob_one.exp(), one)
        same(law.nonzero_prob - law.log_prob_one.exp(), between)
        same(law.midpoint, middle)


def test_hard_kuma_masses():
    for a, b, zero, one in CASES["hard_kuma"]["rows_a_b_P0_P1"]:
        law = HardKuma(tensor(a), tensor(b))
        same(law.log_prob_zero.exp(), zero)
        same(law.log_prob_one.exp(), one)


@pytest.mark.statistical
@pytest.mark.parametrize("law", bits(), ids=repr)
def test_bits_masses_densities_and_draws_agree(law: RectifiedBit):
    edges = torch.linspace(0, 1, 6, dtype=torch.float64)
    fine = torch.linspace(0, 1, 50_001, dtype=torch.float64)[1:-1]
    density = law.log_prob(fine).exp()
    inside = [float(density[(fine > a) & (fine <= b)].sum() / 50_000) for a, b in itertools.pairwise(edges)]
    chance = [float(law.log_prob_zero.exp()), *inside, float(law.log_prob_one.exp())]
    assert abs(sum(chance) - 1) < 1e-3
    drawn = law.rsample((DRAWS,), generator=seeded(1))
    middle = [((drawn > a) & (drawn <= b) & (drawn < 1)).sum() for a, b in itertools.pairwise(edges)]
    seen = torch.stack([(drawn == 0).sum(), *middle, (drawn == 1).sum()]) / DRAWS
    p = tensor(chance)
    # five standard errors for each of seven cells, beside what the grid of the density leaves aside
    assert bool(((seen - p).abs() < 5 * (p * (1 - p) / DRAWS).sqrt() + 1e-4).all())
    atoms = law.log_prob(tensor([0.0, 1.0, 1.5]))
    same(atoms[:2], [float(law.log_prob_zero), float(law.log_prob_one)])
    assert float(atoms[2]) == float("-inf")


def test_bits_gradients():
    x = tensor([-1.0, 0.3, 1.2]).requires_grad_()
    a, b = tensor([0.7, 1.3]).requires_grad_(), tensor([1.1, 2.4]).requires_grad_()
    values = tensor([[0.0], [0.4], [1.0]])
    for build, args in [(HardConcrete, (x,)), (HardKuma, (a, b))]:
        assert torch.autograd.gradcheck(lambda *v, f=build: f(*v).log_prob(values), args)
        assert torch.autograd.gradcheck(lambda *v, f=build: f(*v).rsample((4,), generator=seeded(3)), args)


def test_sparsemax_of_two():
    for gap, scale, zero, one, between in CASES["gaussian_sparsemax_K2"]["rows_mudiff_sigma_P10zero_P1one_Pinterior"]:
        law = GaussianSparsemax(tensor([gap, 0.0]), scale)
        faces = torch.tensor([[False, True], [True, False], [True, True]])
        same(law.expand((3,)).face_log_prob(faces).exp(), [zero, one, between])
        fine = torch.linspace(0, 1, 20_001, dtype=torch.float64)[1:-1]
        assert abs(float(law.log_prob(torch.stack([fine, 1 - fine], -1)).exp().mean()) - between) < 1e-4


@pytest.mark.statistical
def test_sparsemax_of_three_faces():
    law = GaussianSparsemax(tensor([0.3, -0.2, 0.6]), 0.7)
    drawn = law.rsample((DRAWS,), generator=seeded(2)) > 0
    faces = [torch.tensor(f) for f in itertools.product([False, True], repeat=3) if any(f)]
    chance = torch.stack([law.face_log_prob(f).exp() for f in faces])
    same(chance.sum(), 1.0)
    seen = torch.stack([(drawn == f).all(-1).double().mean() for f in faces])
    assert bool(((seen - chance).abs() < 5 * (chance * (1 - chance) / DRAWS).sqrt()).all())


def test_sparsemax_density_integrates_to_the_chance_of_its_face():
    law = GaussianSparsemax(tensor([0.3, -0.2, 0.6]), 0.7)
    line = torch.linspace(0, 1, 301, dtype=torch.float64)
    middle = (line[1:] + line[:-1]) / 2
    x, y = torch.meshgrid(middle, middle, indexing="ij")
    inside = x + y < 1
    points = torch.stack([x, y, 1 - x - y], -1)[inside]
    total = law.log_prob(points).exp().sum() / 300**2
    whole = float(law.face_log_prob(torch.ones(3, dtype=torch.bool)).exp())
    assert abs(float(total) - whole) < 2e-3
    edge = torch.stack([middle, 1 - middle, torch.zeros_like(middle)], -1)
    pair = float(law.face_log_prob(torch.tensor([True, True, False])).exp())
    assert abs(float(law.log_prob(edge).exp().mean()) - pair) < 1e-4
    corner = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(law.expand((3,)).log_prob(corner), law.expand((3,)).face_log_prob(corner > 0))


def test_sparsemax_gradients():
    loc = tensor([[0.3, -0.2, 0.6]]).requires_grad_()
    points = tensor([[[0.5, 0.2, 0.3]], [[0.6, 0.0, 0.4]], [[0.0, 1.0, 0.0]]])
    assert torch.autograd.gradcheck(lambda v: GaussianSparsemax(v, 0.7).log_prob(points), loc)
    for law in (GaussianSparsemax, GumbelSparsemax):

        def draw(v: Tensor, law: type = law) -> Tensor:
            return law(v, 0.7).rsample((5,), generator=seeded(4))

        assert torch.autograd.gradcheck(draw, loc)
        torch.testing.assert_close(draw(loc).sum(-1), torch.ones(5, 1, dtype=torch.float64))


def test_refusals():
    with pytest.raises(ss.UnsupportedQueryError, match="rsample"):
        GaussianSparsemax(torch.zeros(5)).face_log_prob(torch.tensor([True, True, True, False, False]))
    with pytest.raises(ValueError, match="one coordinate"):
        GaussianSparsemax(torch.zeros(3)).face_log_prob(torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="one scale"):
        GaussianSparsemax(torch.zeros(3), torch.ones(3))
    with pytest.raises(ValueError, match="temperature"):
        HardConcrete(torch.zeros(3), 0.0)
    with pytest.raises(ValueError, match="low < 0"):
        HardKuma(torch.ones(3), torch.ones(3), low=0.1)
