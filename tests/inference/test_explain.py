"""`explain` says in words what a query will run."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct import inference


def test_a_plan_names_semiring_program_and_executor():
    plan = str(ss.explain(ss.SpanTree(), torch.zeros(2, 5, 5), ss.marginals))
    for word in ("SpanTree", "LogSemiring", "eager", "products"):
        assert word in plan
    assert "MaxSemiring" in str(ss.explain(ss.SpanTree(), torch.zeros(2, 5, 5), ss.argmax))


@pytest.mark.parametrize("name", sorted(set(inference.__all__) - {"Plan", "explain", "program", "score", "einsum"}))
def test_every_query_has_a_plan(name: str):
    plan = ss.explain(ss.SpanTree(), torch.zeros(5, 5), name)
    assert name in str(plan) and "eager" in str(plan)
    assert str(ss.explain(ss.SpanTree(), torch.zeros(5, 5), getattr(ss, name))) == str(plan)


def test_the_recorded_program_prints_as_equations():
    program = ss.program(ss.LinearChain(), ss.ChainPotentials(torch.zeros(5, 3), torch.zeros(4, 3, 3)))
    text = str(program)
    assert "emission" in text and "transition" in text and "⊗" in text
    assert program is ss.program(ss.LinearChain(), ss.ChainPotentials(torch.ones(2, 5, 3), torch.zeros(2, 4, 3, 3)))
