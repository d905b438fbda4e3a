"""Users' structures that are no programs: what follows from their native methods, and what is refused."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.ops import gumbel, logsumexp
from semiring_struct.testing import check_structure

NEG_INF = float("-inf")
PHI = torch.tensor([[0.3, NEG_INF, -1.0, 0.5], [1.0, 2.0, NEG_INF, 2.0]], dtype=torch.float64)


class Which(ss.LogPartition):
    """One of `k`, by its partition function alone."""

    event_dim = 1
    shapes = {"option": "k"}
    sides = ()

    def partition(self, fields: tuple[Tensor, ...], lengths: Tensor) -> Tensor:
        return logsumexp(fields[0].double(), -1)


class WhichOne(Which):
    """The same with native methods for all that finds structures."""

    uses_parts_once = True

    def best(self, fields: tuple[Tensor, ...], lengths: Tensor) -> tuple[Tensor, ...]:
        return self.k_best(fields, lengths, 1)

    def k_best(self, fields: tuple[Tensor, ...], lengths: Tensor, k: int) -> tuple[Tensor, ...]:
        return self.largest(fields[0], k)

    def draws(self, fields, lengths, number, seed):
        noise = gumbel((number, *fields[0].shape), generator=seeded(seed), dtype=torch.float64)
        top, at = (noise + fields[0]).max(-1)
        return (top > NEG_INF).flatten(), at.reshape(-1, 1)

    def distinct_draws(self, fields, lengths, k, seed):
        option = fields[0].double() - logsumexp(fields[0].double(), -1).clamp(min=-1e300)[:, None]
        noise = gumbel(option.shape, generator=seeded(seed), dtype=torch.float64)
        real, used = self.largest(option + noise, k)
        key = (option + noise).repeat(k, 1).gather(1, used.clamp(min=0)).squeeze(1)
        return torch.where(real, key, NEG_INF), used

    @staticmethod
    def largest(option: Tensor, k: int) -> tuple[Tensor, Tensor]:
        blank = option.new_full((len(option), k), NEG_INF)
        top, at = torch.cat([option, blank], -1).sort(stable=True, dim=-1, descending=True)
        used = torch.where(top > NEG_INF, at, -1)[:, :k].T.reshape(-1, 1)
        return used[:, 0] >= 0, used


def seeded(seed: Tensor) -> torch.Generator:
    return torch.Generator().manual_seed(int(seed))


class Winner(ss.Solver):
    """One of `k`, by an algorithm that finds the best."""

    event_dim = 1
    shapes = {"option": "k"}
    sides = ()

    def best(self, fields: tuple[Tensor, ...], lengths: Tensor) -> tuple[Tensor, ...]:
        top, at = fields[0].max(-1)
        return top > NEG_INF, at[:, None]


class Decoded(ss.DynamicProgram):
    """A program whose best structure comes from elsewhere."""

    event_dim = 1
    shapes = {"option": "k"}
    sides = ()

    def inside(self, p, option):
        return option.sum(-1)

    best = Winner.best


@pytest.mark.parametrize("structure", [Which(), WhichOne(), Winner(), Decoded()], ids=lambda s: type(s).__name__)
def test_every_query_offered(structure: ss.Structure):
    check_structure(structure, PHI, torch.eye(4))


def test_infeasible():
    phi = PHI.clone()
    phi[0] = NEG_INF
    for structure in (Which(), WhichOne(), Winner(), Decoded()):
        check_structure(structure, phi, torch.eye(4), gradients=False, draws=200)


def test_distribution():
    p, q = (ss.StructDistribution(WhichOne(), phi) for phi in (PHI, PHI + torch.arange(4)))
    truth = torch.distributions.Categorical(logits=PHI)
    torch.testing.assert_close(p.mean, truth.probs)
    torch.testing.assert_close(p.entropy(), truth.entropy())
    torch.testing.assert_close(
        torch.distributions.kl_divergence(p, q),
        torch.distributions.kl_divergence(truth, torch.distributions.Categorical(logits=PHI + torch.arange(4))),
    )
    torch.testing.assert_close(p.variance, truth.probs * (1 - truth.probs))
    assert p.enumerate_support().shape == (4, 2, 4)
    draws = p.sample((3,))
    torch.testing.assert_close(p.log_prob(draws), truth.log_prob(draws.argmax(-1)))


def test_refusals_name_what_is_offered():
    with pytest.raises(
        ss.UnsupportedQueryError, match=r"Winner gives no `partition`.*argmax, contains, max_score"
    ):
        ss.log_partition(Winner(), PHI)
    with pytest.raises(ss.UnsupportedQueryError, match=r"Which gives no `k_best`.*entropy"):
        ss.topk(Which(), PHI, 2)
    for structure in (Which(), Winner()):
        with pytest.raises(ss.UnsupportedQueryError, match="gives no program"):
            ss.program(structure, PHI)
        for semiring in (ss.LogSemiring(), ss.MaxSemiring(), ss.RealSemiring()):
            with pytest.raises(ss.UnsupportedQueryError, match="gives no program"):
                ss.evaluate(structure, semiring, PHI)


def test_nan_is_refused():
    bad = PHI.clone()
    bad[1, 0] = float("nan")
    for structure, query in ((Which(), ss.marginals), (WhichOne(), ss.argmax), (Winner(), ss.max_score)):
        with pytest.raises(ValueError, match="option holds NaN"):
            query(structure, bad)


def test_explain_names_the_native_method():
    assert "native Which.partition" in str(ss.explain(Which(), PHI, "entropy"))
    assert "native Which.partition" in str(ss.explain(Which(), PHI, "count"))
    assert "native WhichOne.partition, native WhichOne.best" in str(ss.explain(WhichOne(), PHI, "log_prob"))
    assert "native Decoded.best" in str(ss.explain(Decoded(), PHI, "argmax"))
    assert "native" not in str(ss.explain(Decoded(), PHI, "log_partition"))
    with pytest.raises(ss.UnsupportedQueryError):
        ss.explain(Winner(), PHI, "sample")


def test_same_settings_are_the_same_structure():
    assert Which().same_as(pickle.loads(pickle.dumps(Which())))
    assert not Which().same_as(Winner())
    targets = torch.tensor([[1, 2]])
    assert ss.CTC(targets).same_as(ss.CTC(targets.clone()))
    assert not ss.CTC(targets).same_as(ss.CTC(targets + 1))
