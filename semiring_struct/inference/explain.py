"""What will run: the recorded program, and a printable plan of a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from semiring_struct import executors
from semiring_struct.inference.door import open_door
from semiring_struct.programs import Program
from semiring_struct.semirings import CountingSemiring, LogSemiring, MaxSemiring, Semiring
from semiring_struct.structures import Structure

_MAXIMA = ("max_score", "argmax", "topk", "contains")
_PASSES = {
    "log_partition": "forward", "max_score": "forward", "count": "forward", "evaluate": "forward",
    "argmax": "forward, then the chosen cells", "contains": "forward, then the chosen cells",
    "sample": "forward, then the cells of each draw", "topk": "forward, then a beam of k derivations",
    "sample_without_replacement": "forward, then a stochastic beam", "enumerate_events": "count, forward, then a beam",
    "renyi_entropy": "two forward", "covariance_vp": "two forward and two backward",
    "variance": "two forward and two backward",
}  # fmt: skip
_FORWARD_AND_BACK = ("marginals", "entropy", "cross_entropy", "kl", "expectation", "log_prob")


@dataclass(frozen=True)
class Plan:
    """What a query would do; print it."""

    query: str
    semiring: Semiring
    program: Program
    executor: str
    refused: dict[str, str]
    passes: str

    def __str__(self) -> str:
        c = self.program.cost
        rows = sum(len(b.rows) for b in self.program.blocks)
        lines = [
            f"{self.query} of {self.program.name}",
            f"  semiring  {self.semiring}",
            (
                f"  program   {self.program.statements} statements in {rows} rows, {c.products} products, "
                f"{c.bytes} bytes per instance"
            ),
            f"  passes    {self.passes}",
            f"  executor  {self.executor}",
            *(f"  refused   {name}: {reason}" for name, reason in self.refused.items()),
        ]
        return "\n".join(lines)

    __repr__ = __str__


def program(structure: Structure, log_potentials: Any, lengths: Any = None) -> Program:
    """The program recorded for potentials of this shape: it prints as equations and counts its products."""
    return open_door(structure, log_potentials, lengths).program


def explain(
    structure: Structure, log_potentials: Any, query: str | Callable = "log_partition", lengths: Any = None
) -> Plan:
    """The plan of a query, given by name or as the function itself: semiring, program, executor, and who refused.

    Raises `ValueError` for a query that does not exist.
    """
    name = query if isinstance(query, str) else query.__name__
    if name not in _PASSES and name not in _FORWARD_AND_BACK:
        raise ValueError(f"explain knows the queries {', '.join(sorted([*_PASSES, *_FORWARD_AND_BACK]))}; got {name!r}")
    door = open_door(structure, log_potentials, lengths)
    semiring: Semiring = LogSemiring()
    if name in _MAXIMA:
        semiring = MaxSemiring()
    elif name == "count":
        semiring = CountingSemiring()
    machine, refused = executors.choose(door.program, semiring.reduction, door.lengths.device)
    return Plan(name, semiring, door.program, machine.name, refused, _PASSES.get(name, "forward and backward"))
