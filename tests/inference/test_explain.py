"""`explain` says in words what a query will run."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct import inference
from semiring_struct.executors.cpu import machine
from semiring_struct.kernels import dispatch


def test_reasons_of_refusal_are_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SEMIRING_STRUCT_EXECUTOR")
    assert "executor  cpu" in str(ss.explain(ss.SpanTree(), torch.zeros(2, 5, 5)))
    counting = str(ss.explain(ss.SpanTree(), torch.zeros(2, 5, 5), "count"))
    assert "refused   cpu: the semiring has no reduction" in counting and "executor  eager" in counting
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    monkeypatch.setattr(machine, "without_numba", dispatch.without_numba.__wrapped__)
    assert "pip install 'semiring-struct[cpu]'" in str(ss.explain(ss.SpanTree(), torch.zeros(2, 5, 5)))


def test_a_plan_names_semiring_program_and_executor():
    plan = str(ss.explain(ss.SpanTree(), torch.zeros(2, 5, 5), ss.marginals))
    for word in ("SpanTree", "LogSemiring", "eager", "products"):
        assert word in plan
    assert "MaxSemiring" in str(ss.explain(ss.SpanTree(), torch.zeros(2, 5, 5), ss.argmax))


# no queries of any structure
OTHERS = {"Beliefs", "Plan", "einsum", "explain", "loopy_belief_propagation", "program", "score", "soft_dtw"}
SEARCHES = {"beam_search", "greedy"}  # not offered by programs


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_every_search_has_a_plan(name: str):
    law = ss.Autoregressive(lambda state, last: (torch.zeros(len(last), 2), state))
    assert f"Autoregressive.{name.split('_')[0]}" in str(ss.explain(law, torch.zeros(3, 2), name))
    with pytest.raises(ss.UnsupportedQueryError, match="argmax"):
        ss.explain(ss.SpanTree(), torch.zeros(5, 5), name)


@pytest.mark.parametrize("name", sorted(set(inference.__all__) - OTHERS - SEARCHES))
def test_every_query_has_a_plan(name: str):
    plan = ss.explain(ss.SpanTree(), torch.zeros(5, 5), name)
    assert name in str(plan) and "eager" in str(plan)
    assert str(ss.explain(ss.SpanTree(), torch.zeros(5, 5), getattr(ss, name))) == str(plan)


def test_the_recorded_program_prints_as_equations():
    program = ss.program(ss.LinearChain(), ss.ChainPotentials(torch.zeros(5, 3), torch.zeros(4, 3, 3)))
    text = str(program)
    assert "emission" in text and "transition" in text and "⊗" in text
    assert program is ss.program(ss.LinearChain(), ss.ChainPotentials(torch.ones(2, 5, 3), torch.zeros(2, 4, 3, 3)))
