"""The structures of `docs/methods.md`, and how to write that page anew: `python -m tests.diagnostics.matrix`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import semiring_struct as ss
from semiring_struct import diagnostics
from tests.structures.families import FAMILIES, NATIVE, Family

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"

INTRODUCTION = """# Which method applies to which structure

Found by trying each pair at a small size: `yes` where the gradient is finite, a dot where the method refuses, by an
error that says what it would need. `python -m tests.diagnostics.matrix` writes this page, and a test tries every cell.
What each method is good for: [estimators](estimators.md), [surrogates](surrogates.md). Which is best on potentials and
a cost of your own: `ss.diagnostics.compare_gradients`.

The last rows are algorithms of `ss.traces`, whose cost sees what they build. `relax` and `trace_relax`, which need a
critic, and `vimco`, which is for a bound, are not in the list.

"""


def first_families() -> dict[str, Family]:
    """The first family of each class of structure, by the name of the class."""
    found: dict[str, Family] = {}
    for family in (*FAMILIES, *NATIVE):
        found.setdefault(type(family.structure).__name__, family)
    return found


def cases() -> dict[str, tuple[Any, Any]]:
    """Each class with a structure and small potentials, then algorithms with log-rates."""
    families = {name: (family.structure, family.draw((), 0)) for name, family in first_families().items()}
    generator = torch.Generator().manual_seed(0)
    rates = {shape: torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3,), (3, 3))}
    listed = [(ss.traces.TopK(2), (3,)), (ss.traces.Ranking(), (3,)), (ss.traces.BinaryTree(), (3,))]
    square = [(a, (3, 3)) for a in (ss.traces.Kruskal(), ss.traces.ChuLiuEdmonds(), ss.traces.GreedyMatching())]
    return families | {type(a).__name__: (a, rates[shape]) for a, shape in listed + square}


def page() -> str:
    """The whole page."""
    return INTRODUCTION + diagnostics.methods_table(cases())


if __name__ == "__main__":
    PAGE.write_text(page())
