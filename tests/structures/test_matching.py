"""Matchings beside a known permanent, scipy, and counts; both assignment solvers; what a large one offers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import semiring_struct as ss
from semiring_struct.kernels.assignment import reference, scipy, solver
from semiring_struct.kernels.dispatch import Twin, dispatch

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers.json").read_text())


def same(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def scores(batch: int, n: int, seed: int, forbidden: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(batch, n, n, generator=generator, dtype=torch.float64)
    return pair.masked_fill(torch.rand(pair.shape, generator=generator) < forbidden, float("-inf"))


def test_known_permanent():
    case = CASES["sinkhorn_3x3"]
    phi = torch.tensor(case["logits"], dtype=torch.float64)
    same(ss.log_partition(ss.Matching(), phi), case["log_permanent"])
    same(ss.marginals(ss.Matching(), phi), case["exact_permutation_marginals"])
    assert ss.argmax(ss.Matching(), phi, labels=True).tolist() == case["optimal_assignment"]


@pytest.mark.parametrize("n", [1, 4, 9])
def test_counts_are_factorials(n: int):
    assert ss.count(ss.Matching(), torch.zeros(n, n)) == math.factorial(n)
    derangements = torch.zeros(n, n).fill_diagonal_(float("-inf"))
    share = sum((-1) ** k / math.factorial(k) for k in range(n + 1))
    assert ss.count(ss.Matching(), derangements) == round(share * math.factorial(n))


def test_large_ones_are_decoded_and_not_summed():
    phi = scores(3, 30, 0)
    best = torch.tensor([x.numpy()[linear_sum_assignment(x, maximize=True)].sum() for x in phi], dtype=torch.float64)
    same(ss.max_score(ss.Matching(), phi), best)
    ranked = ss.topk(ss.Matching(), phi, 3)
    assert ranked.valid.all() and torch.equal(ranked.scores[0], ss.max_score(ss.Matching(), phi))
    assert (ranked.scores[:-1] >= ranked.scores[1:]).all()
    assert ss.contains(ss.Matching(), phi, ranked.events).all()
    for query in (ss.log_partition, ss.marginals, ss.sample, ss.count):
        with pytest.raises(ss.UnsupportedQueryError, match=r"n up to 16; got n = 30.*argmax, max_score.*sinkhorn"):
            query(ss.Matching(), phi)


def test_sixteen_rows():
    """The largest sum: weights of rank one make every matching's weight the same."""
    row, column = scores(1, 16, 1)[0, :2]
    phi = row[:, None] + column
    same(ss.log_partition(ss.Matching(), phi), math.lgamma(17) + row.sum() + column.sum(), 1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_solvers_agree(n: int):
    """Values, on ties, forbidden pairs and ragged sizes too; and who has a matching."""
    phi = scores(200, n, n, forbidden=0.3)
    phi[100:] = phi[100:].round()
    lengths = torch.arange(200) % (n + 1)
    inside = torch.arange(n) < lengths[:, None]
    phi = torch.where(inside[:, :, None] & inside[:, None], phi, float("-inf"))
    (found, mine), (known, theirs) = reference.best(phi, lengths), scipy.best(phi, lengths)
    assert torch.equal(found, known) and not found.all()
    values = []
    for columns in (mine[found], theirs[found]):
        assert torch.equal((columns >= 0).sum(1), lengths[found])
        used = phi[found].gather(2, columns.clamp(min=0)[..., None])[..., 0]
        values.append(torch.where(columns >= 0, used, 0.0).sum(1))
    torch.testing.assert_close(*values, rtol=1e-12, atol=1e-12)


def test_without_scipy_the_reference_answers(monkeypatch: pytest.MonkeyPatch):
    phi = scores(4, 5, 3)
    expected = ss.argmax(ss.Matching(), phi)
    monkeypatch.setattr(scipy, "find_spec", lambda name: None)
    assert "pip install" in str(scipy.refuse(phi, torch.tensor([5] * 4)))
    chosen, refused = dispatch(reference.best, (Twin("scipy", scipy.best, scipy.refuse),), phi, None)
    assert chosen is reference.best and list(refused) == ["scipy"]
    monkeypatch.setattr(solver, "TWINS", (Twin("scipy", scipy.best, scipy.refuse),))
    torch.testing.assert_close(ss.argmax(ss.Matching(), phi), expected)


def test_labels_that_are_no_matchings():
    for columns, complaint in (([0, 0, 1], "once"), ([0, 1, 3], "0..length-1")):
        with pytest.raises(ValueError, match=complaint):
            ss.Matching().from_labels(torch.tensor(columns), torch.zeros(3, 3))


def test_explain():
    assert "native Matching.best" in str(ss.explain(ss.Matching(), torch.zeros(3, 3), "argmax"))
    assert "native" not in str(ss.explain(ss.Matching(), torch.zeros(3, 3), "log_partition"))
