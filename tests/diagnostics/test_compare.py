"""`compare_gradients` finds the bias and variance that are known, counts calls, and says what does not apply."""

from __future__ import annotations

import sys
from typing import Any

import matplotlib as mpl
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import diagnostics, estimators

mpl.use("Agg")

THETA = torch.tensor([0.5, -0.2, 0.9, -1.0], dtype=torch.float64)
COSTS = torch.tensor([1.0, 3.0, -2.0, 0.5], dtype=torch.float64)


def linear(event: Tensor) -> Tensor:
    return (event * COSTS).sum(-1)


def mean_field(distribution: Any, generator: torch.Generator) -> Tensor:
    return distribution.mean


SOFT = diagnostics.of_event("mean field", "relaxations", mean_field)
WRONG = diagnostics.Method("twice", "estimators", lambda d, c, g: 2 * estimators.exact(d, c))


def test_known_variances():
    found = diagnostics.compare_gradients(ss.OneOf(), THETA, linear, trials=10_000, methods=diagnostics.METHODS[:10])
    exact = [0.348445993494, 0.48228372394, -0.873739718826, 0.043010001392]
    torch.testing.assert_close(found.exact, torch.tensor(exact, dtype=torch.float64))
    assert abs(found["score function"].variance - 1.32819066902) < 0.05
    assert found["MuProp"].variance < 1e-20  # a cost that is linear in the event
    for row in found.rows:
        if row.unbiased:
            assert row.bias <= 5 * row.bias_error + 1e-9, row
    assert found["sparsemax expectation"].bias > 0.1
    assert not found.refused


def test_calls_are_counted():
    found = diagnostics.compare_gradients(ss.OneOf(), THETA, linear, trials=10)
    events = {row.name: row.events for row in found.rows}
    assert events["score function"] == 1
    assert events["leave-one-out, 4 draws"] == 4
    assert events["REBAR"] == 3


def test_biased_and_wrong_methods_show():
    found = diagnostics.compare_gradients(
        ss.OneOf(), torch.stack([THETA, -THETA]), lambda e: linear(e).square(), [SOFT, WRONG], 10
    )
    assert [row.family for row in found.rows] == ["relaxations", "estimators"]
    assert found["mean field"].bias > 0.1
    assert found["twice"].bias == pytest.approx(float(found.exact.square().sum().sqrt()))


def test_what_does_not_apply_is_said():
    found = diagnostics.compare_gradients(
        ss.LinearChain(),
        ss.ChainPotentials(torch.zeros(2, 3, 2), torch.zeros(1, 2, 2)),
        lambda e: e.emission.argmax(-1).sum(-1).double(),
        [*diagnostics.METHODS, SOFT],
        trials=4,
        lengths=torch.tensor([3, 1]),
    )
    assert "one-of-k" in found.refused["REBAR"]
    assert "differentiable" in found.refused["MuProp"]
    assert "mean field" in found.refused
    text = repr(found)
    assert "not here: REBAR" in text
    assert len(text.splitlines()) == 2 + len(found.rows) + len(found.refused)


def test_long_chain_with_an_additive_cost():
    """Too many structures to list: the exact gradient is the program's."""
    chain = ss.LinearChain()
    phi = ss.ChainPotentials(torch.zeros(12, 3), torch.zeros(1, 3, 3))
    values = ss.ChainPotentials(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 3, 3))
    found = diagnostics.compare_gradients(chain, phi, estimators.AdditiveCost(chain, values), trials=10)
    assert found["MuProp"].variance < 1e-8
    assert "more than" in found.refused["sparsemax expectation"]


def test_plot():
    found = diagnostics.compare_gradients(ss.OneOf(), THETA, linear, trials=10)
    ax = found.plot()
    assert len(ax.collections) == len(found.rows)
    assert found.plot(ax) is ax
    mpl.pyplot.close("all")


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch):
    found = diagnostics.compare_gradients(ss.OneOf(), THETA, linear, [SOFT], trials=2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="plot"):
        found.plot()


def test_trials_are_refused_by_name():
    with pytest.raises(ValueError, match="trials"):
        diagnostics.compare_gradients(ss.OneOf(), THETA, linear, trials=1)


def test_algorithms_and_their_traces():
    """The score of the trace has less variance than that of the noise."""
    rates = torch.tensor([0.3, -0.4, 0.1, 0.0], dtype=torch.float64)
    found = diagnostics.compare_gradients(ss.traces.TopK(2), rates, lambda e: 5 + e[..., 0] * e[..., 1], trials=3000)
    assert found["T-REINFORCE, 4 draws"].variance < found["E-REINFORCE, 4 draws"].variance
    assert all(row.bias < 5 * row.bias_error + 1e-9 for row in found.rows if row.unbiased)
    assert "structure" in found.refused["marginals"]
