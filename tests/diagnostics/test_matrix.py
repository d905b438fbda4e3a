"""Every method on every structure: it gives a finite gradient, or refuses by name, as the page says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import semiring_struct as ss
from semiring_struct import diagnostics
from semiring_struct.inference.fields import fields_of, pack_like
from tests.diagnostics.matrix import INTRODUCTION, PAGE, cases, first_families
from tests.structures.families import FAMILIES

TEXT = PAGE.read_text()


def lines(name: str) -> list[str]:
    return [line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |")]


def test_page_begins_as_written():
    assert TEXT.startswith(INTRODUCTION)


@pytest.mark.parametrize("name", cases())
def test_cells(name: str):
    """Fails where the page is not what `python -m tests.diagnostics.matrix` writes: run that, and read what changed."""
    table = diagnostics.methods_table({name: cases()[name]})
    assert lines(name), f"docs/methods.md has no row for {name}: run python -m tests.diagnostics.matrix"
    assert lines(name) == [line for line in table.splitlines() if line.startswith("| `")]
    assert all(line in TEXT for line in table.splitlines())


def test_reasons_name_what_is_missing():
    rebar = next(m for m in diagnostics.METHODS if m.name == "REBAR")
    assert diagnostics.why_not(rebar, ss.OneOf(), torch.zeros(3)) is None
    phi = ss.ChainPotentials(torch.zeros(2, 2), torch.zeros(1, 2, 2))
    assert "one-of-k" in (diagnostics.why_not(rebar, ss.LinearChain(), phi) or "")


def test_a_gradient_that_is_not_finite_is_no_answer():
    def broken(distribution: Any, cost: Any, generator: torch.Generator) -> torch.Tensor:
        return torch.nan * distribution.log_potentials.sum(-1)

    method = diagnostics.Method("broken", "estimators", broken)
    with pytest.raises(ArithmeticError, match="broken of OneOf"):
        diagnostics.why_not(method, ss.OneOf(), torch.zeros(3))


SHARED = [f for f in FAMILIES if f.name in ("alignment-2-3-tied", "affine-2-3-tied", "grammar-4-1-1-tied")]
EVERY = first_families() | {f.name: f for f in SHARED}


@pytest.mark.statistical
@pytest.mark.parametrize("name", EVERY)
def test_unbiased_methods_are(name: str):
    """On every structure, those whose structures share events included; within 5 standard errors, 6e-7 per entry."""
    structure = EVERY[name].structure
    phi = EVERY[name].draw((), 0, scale=0.2)  # no structure so rare that its share of the variance goes unseen

    def problem(*given: torch.Tensor) -> tuple[Any, Any]:
        def cost(event: Any) -> torch.Tensor:
            flat = torch.cat([e.flatten(2) for e in fields_of(event)], -1)
            used = (flat * torch.linspace(-1, 1, flat.shape[-1], dtype=flat.dtype)).sum(-1)
            return 2 + used + used.square()

        return ss.StructDistribution(structure, pack_like(phi, given)), cost

    for method in diagnostics.METHODS:
        if method.unbiased and diagnostics.why_not(method, structure, phi) is None:
            ss.testing.check_estimator(method.estimate, problem, list(fields_of(phi)), trials=400)
