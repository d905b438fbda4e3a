"""Which method applies to which structure: every pair tried at small size, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.diagnostics.measure import distribution_of, estimates
from semiring_struct.diagnostics.methods import METHODS, Method
from semiring_struct.inference.fields import fields_of, pack_like
from semiring_struct.structures import Structure


def why_not(method: Method, structure: Structure, phi: Any) -> str | None:
    """None where a method gives a finite gradient on these potentials and a smooth cost; else why it does not apply.

    `phi` without batch dims, small enough to enumerate. Raises `ArithmeticError` for a gradient that is not finite.
    """
    fields = [f.detach() for f in fields_of(phi)]

    def cost(event: Any) -> Tensor:
        used = torch.stack([e.flatten(2).cos().sum(-1) for e in fields_of(event)]).sum(0)
        return 1 + used + used * used

    def problem(*given: Tensor) -> tuple[Any, Any]:
        return distribution_of(structure, pack_like(phi, given)), cost

    try:
        found = estimates(method.estimate, problem, fields, 2, torch.Generator(fields[0].device).manual_seed(0))
    except NotImplementedError as error:
        return str(error)
    if not bool(found.isfinite().all()):
        raise ArithmeticError(f"{method.name} of {structure!r}: value or gradient is not finite")
    return None


def methods_table(cases: Mapping[str, tuple[Structure, Any]], methods: Sequence[Method] = METHODS) -> str:
    """Markdown tables, one per family of methods: `yes` where a method applies to a structure, a dot where it refuses.

    `cases` maps the name of a row to a structure and small log-potentials for it.
    """
    parts = []
    for family in dict.fromkeys(method.family for method in methods):
        listed = [method for method in methods if method.family == family]
        lines = [
            f"## {family.capitalize()}",
            "",
            _row("structure", [m.name for m in listed]),
            _row("---", ["---"] * len(listed)),
        ]
        for name, (structure, phi) in cases.items():
            cells = ["yes" if why_not(method, structure, phi) is None else "·" for method in listed]
            lines.append(_row(f"`{name}`", cells))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _row(first: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"
