"""No answer and no gradient depends on an order of summation that a GPU leaves open, in any query or method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import semiring_struct as ss
from semiring_struct import diagnostics, traces
from semiring_struct.inference.oracles import offered
from tests.diagnostics.matrix import cases
from tests.inference import catalogue
from tests.structures.families import Family
from tests.structures.test_contract import fields
from tests.unordered import Unordered

SEMIRINGS = (
    ss.LogSemiring(), ss.MaxSemiring(), ss.SoftmaxSemiring(0.7), ss.SparsemaxSemiring(0.8), ss.EntmaxSemiring(1.5),
    ss.EntmaxSemiring(1.3), ss.KBestSemiring(3), ss.EntropySemiring(), ss.ExpectationSemiring(ss.LogSemiring()),
)  # fmt: skip


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def answers(family: Family, phi: Any, lengths: Any) -> dict[str, Any]:
    """Everything a structure answers, and gradients of what has any, of both orders."""
    structure, how, asks = family.structure, {"lengths": lengths}, offered(family.structure)
    leaves = [f.clone().requires_grad_() for f in fields(phi)]
    given = family.kind(*leaves)
    other = family.kind(*(f.flip(0) for f in fields(phi)))
    out: dict[str, Any] = {}

    def keep(name: str, value: Any, *, twice: bool = False) -> None:
        parts = fields(value)
        out[name] = parts
        if all(p.requires_grad for p in parts):
            weight = [torch.randn(p.shape, generator=seeded(), dtype=p.dtype) for p in parts]
            total = sum((p * w).sum() for p, w in zip(parts, weight, strict=True) if p.isfinite().all())
            if not isinstance(total, Tensor):
                return
            out[f"{name}, gradient"] = torch.autograd.grad(total, leaves, create_graph=twice, allow_unused=True)
            if twice:
                again = sum((g * g).sum() for g in out[f"{name}, gradient"] if g is not None)
                out[f"{name}, second"] = torch.autograd.grad(again, leaves, allow_unused=True)

    keep("log_partition", ss.log_partition(structure, given, **how), twice=True)
    keep("marginals", ss.marginals(structure, given, **how))
    keep("entropy", ss.entropy(structure, given, **how))
    keep("kl", ss.kl(structure, given, other, **how))
    keep("variance", ss.variance(structure, phi, other, **how))
    keep("covariance_vp", ss.covariance_vp(structure, phi, other, **how))
    keep("max_score", ss.max_score(structure, given, **how))
    out["count"] = (ss.count(structure, phi, **how),)
    listed = ss.topk(structure, phi, 3, **how)
    out["topk"] = (listed.scores, *fields(listed.events))
    distinct = ss.sample_without_replacement(structure, phi, 2, generator=seeded(), **how)
    out["distinct"] = (*fields(distinct.events), distinct.perturbed)
    for number in (1, 40):
        out[f"{number} draws"] = fields(ss.sample(structure, phi, (number,), generator=seeded(), **how))
    out["enumerated"] = fields(ss.enumerate_events(structure, phi, **how))
    keep("log_prob of events", ss.log_prob(structure, given, ss.argmax(structure, phi, **how), **how))
    if not isinstance(structure, ss.DTW | ss.LowRankPCFG):
        labels = ss.sample(structure, phi, (5,), labels=True, generator=seeded(), **how)
        out["labels"] = (labels,)
        keep("log_prob of labels", ss.log_prob(structure, given, labels, **how))
    if "evaluate" in asks:
        for semiring in SEMIRINGS:
            keep(str(semiring), ss.evaluate(structure, semiring, given, **how))
        keep("sampled", ss.evaluate(structure, ss.SampleSemiring(seeded()), given, **how))
        keep("Gumbel", ss.evaluate(structure, ss.GumbelSoftmaxSemiring(0.7, generator=seeded()), given, **how))
    return out


def agree(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, parts in one.items():
        for a, b in zip(parts, other[name], strict=True):
            assert (a is None) == (b is None), name
            if a is not None:
                assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("family", catalogue.EACH, ids=str)
def test_queries(family: Family):
    """Values and gradients agree with those of the CPU, draws included."""
    phi, lengths = family.draw((3,), seed=2), family.lengths(3, seed=2, feasible=True)
    with Unordered() as device:
        found = answers(family, phi, lengths)
    assert device.seen > 100
    agree(found, answers(family, phi, lengths))


@pytest.mark.parametrize("name", cases())
def test_estimators_relaxations_and_surrogates(name: str):
    """Every method on every structure that it applies to; a refusal stays one."""
    for method in diagnostics.METHODS:
        plain = diagnostics.why_not(method, *cases()[name])
        with Unordered():
            assert diagnostics.why_not(method, *cases()[name]) == plain


ALGORITHMS = {
    "top": (traces.TopK(3), (7,)),
    "ranking": (traces.Ranking(), (5,)),
    "tree": (traces.Kruskal(), (4, 4)),
    "arborescence": (traces.ChuLiuEdmonds(), (4, 4)),
    "matching": (traces.GreedyMatching(), (3, 3)),
    "brackets": (traces.BinaryTree(), (5,)),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_traces(name: str):
    algorithm, shape = ALGORITHMS[name]

    def ask() -> dict[str, Any]:
        leaf = torch.randn(2, *shape, generator=seeded(), dtype=torch.float64, requires_grad=True)
        drawn = algorithm.sample(leaf.detach().expand(6, 2, *shape), generator=seeded())
        value = algorithm.log_prob(drawn, leaf)
        noise = algorithm.conditional_noise(drawn, leaf, generator=seeded())
        weight = torch.randn(value.shape, generator=seeded(), dtype=value.dtype)
        slope = torch.autograd.grad((value * weight).sum() + noise.square().sum(), leaf)
        return {"drawn": (drawn,), "log_prob": (value,), "noise": (noise,), "slope": slope}

    with Unordered():
        found = ask()
    agree(found, ask())


def test_hidden_markov_models_and_soft_matchings():
    def ask() -> dict[str, Any]:
        shapes = (2,), (2, 2), (2, 3)
        args = [torch.randn(s, generator=seeded(), dtype=torch.float64, requires_grad=True) for s in shapes]
        seen = torch.randint(0, 3, (4, 9), generator=seeded())
        value = ss.HMM(*args, seen).log_partition()
        soft = ss.relaxations.sinkhorn(args[1].exp(), iterations=5).mean
        slopes = torch.autograd.grad((value * torch.arange(1.0, 5.0)).sum() + soft.square().sum(), args)
        return {"value": (value, soft), "slopes": slopes}

    with Unordered():
        found = ask()
    agree(found, ask())
