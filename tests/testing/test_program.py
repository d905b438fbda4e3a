"""`check_program` has teeth: every path of a machine, spoilt a little, is caught and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import semiring_struct as ss
from semiring_struct import inference
from semiring_struct.executors import Eager
from semiring_struct.programs.program import Cost, Program
from semiring_struct.semirings import LogReduction, SampleReduction, SparsemaxReduction
from semiring_struct.testing import check_program
from semiring_struct.testing._scalar import reuses_cells
from tests.structures.families import FAMILIES, Family, spans


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_built_in_programs(family: Family):
    check_program(family.structure, family.draw((2,), seed=0, forbidden=0.1))


@pytest.mark.parametrize(
    ("read", "named"),
    [
        (lambda p, alpha, n: alpha[n - 1].sum(-1), "without padding"),
        (lambda p, alpha, n: alpha[p.length - 2].sum(-1), "the answer is read too early"),
        (lambda p, alpha, n: alpha[p.length].sum(-1), r"alpha, of shape .* is indexed by p\.length"),
    ],
    ids=["the length is not read", "one too early", "one too late"],
)
def test_an_answer_read_at_the_wrong_length_is_caught(read: Callable[..., Any], named: str):
    class Misread(ss.DynamicProgram):
        event_dim = 2
        shapes = {"emission": "n c"}

        def inside(self, p, emission):
            n, c = emission.shape
            alpha = p.chart(n, c)
            alpha[0] = emission[0]
            for i in range(1, n):
                alpha[i] = alpha[i - 1].sum(0) * emission[i]
            return read(p, alpha, n)

    with pytest.raises((AssertionError, ss.ProgramError), match=named):
        check_program(Misread(), torch.randn(2, 4, 3, dtype=torch.float64))


def test_draws_by_gradients_are_tested_wherever_they_are_exact():
    class Square(ss.DynamicProgram):
        """Two structures, with the same choice made twice."""

        def inside(self, p, bit):
            chart = p.chart(2)
            chart[0] = bit.sum(0)
            chart[1] = chart[0] * chart[0]
            return chart[1]

    assert reuses_cells(ss.program(Square(), torch.zeros(2)))
    assert not any(reuses_cells(ss.program(f.structure, f.draw((), seed=0))) for f in FAMILIES)


def scaled(by: float) -> Callable[[Any], Any]:
    return lambda original: lambda *args, **kwargs: original(*args, **kwargs) * by


def to_the_first(original: Callable[..., Any]) -> Callable[..., Any]:
    """The first possible term, every time."""
    return lambda self, x, generator=None: torch.nn.functional.one_hot((x > -9e9).int().argmax(-1), x.shape[-1]).to(x)


def without_tangent(original: Callable[..., Any]) -> Callable[..., Any]:
    def curvature(self: Any, job: Any, charts: Any, seed: Any, tangents: list[Any]) -> list[Any]:
        rise, *bent = original(self, job, charts, seed, tangents)
        return [torch.zeros_like(rise), *bent]

    return curvature


def flat_paths(original: Callable[..., Any]) -> Callable[..., Any]:
    """Draws from a uniform law in place of the posterior."""
    return lambda structure, phi, *args, **kwargs: original(
        structure, torch.where(phi == -torch.inf, phi, 0.2 * phi), *args, **kwargs
    )


FAULTS = [
    (LogReduction, "value", scaled(1 + 1e-6), "log"),
    (LogReduction, "weights", scaled(1 + 1e-6), "gradient under LogSemiring"),
    (LogReduction, "bend", scaled(1 + 1e-4), "second derivative under LogSemiring"),
    (SparsemaxReduction, "weights", scaled(1 + 1e-6), "gradient under SparsemaxSemiring"),
    (SparsemaxReduction, "bend", scaled(1 + 1e-4), "second derivative under SparsemaxSemiring"),
    (SampleReduction, "weights", to_the_first, "SampleSemiring, fast"),
    (Eager, "curvature", without_tangent, "seed"),
    (inference, "topk", lambda original: lambda s, phi, k, **how: original(s, -phi, k, **how), "KBestSemiring"),
    (inference, "sample", flat_paths, "sample"),
    (inference, "variance", scaled(1 + 1e-4), "variance"),
    (Program, "cost", lambda _: property(lambda self: Cost(0, 0, 0, 0)), "cost"),
    (Program, "__str__", lambda _: lambda self: "equations", "print"),
]


@pytest.mark.parametrize(("where", "name", "spoil", "blamed"), FAULTS, ids=[f"{f[0].__name__}.{f[1]}" for f in FAULTS])
def test_a_spoilt_path_is_named(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, spoil: Any, blamed: str):
    monkeypatch.setattr(where, name, spoil(getattr(where, name)))
    with pytest.raises(AssertionError, match=blamed):
        check_program(ss.SpanTree(), spans(4).draw((3,), seed=1))
