"""What will run: the recorded program, and a printable plan of a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from semiring_struct import executors
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.oracles import meets, needs, refusal
from semiring_struct.programs import Program
from semiring_struct.semirings import CountingSemiring, LogSemiring, MaxSemiring, Semiring
from semiring_struct.structures import NATIVES, Structure

_MAXIMA = ("max_score", "argmax", "topk", "contains")
_PASSES = {
    "log_partition": "forward", "max_score": "forward", "count": "forward", "evaluate": "forward",
    "argmax": "forward, then the chosen cells", "contains": "forward, then the chosen cells",
    "sample": "forward, then the cells of each draw", "topk": "forward, then the cells of the k best",
    "sample_without_replacement": "forward, then a stochastic beam", "enumerate_events": "count, forward, then a beam",
    "renyi_entropy": "two forward", "covariance_vp": "two forward and two backward",
    "variance": "two forward and two backward", "greedy": "its own", "beam_search": "its own",
}  # fmt: skip
_FORWARD_AND_BACK = ("marginals", "entropy", "cross_entropy", "kl", "expectation", "log_prob")


@dataclass(frozen=True)
class Plan:
    """What a query would do; print it. `semiring` and `program` are None where a native method answers."""

    query: str
    semiring: Semiring | None
    program: Program | None
    executor: str
    refused: dict[str, str]
    passes: str

    def __str__(self) -> str:
        if self.program is None:
            return f"{self.query}\n  passes    {self.passes}\n  executor  {self.executor}"
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
    door = open_door(structure, log_potentials, lengths)
    if not meets(door.structure, "inside"):
        raise refusal(door.structure, "inside")
    return door.program


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
    natives = _natives(door, name)
    if len(natives) == len(needs(door.structure, name)):
        return Plan(f"{name} of {type(door.structure).__name__}", None, None, ", ".join(natives), {}, "its own")
    semiring: Semiring = LogSemiring()
    if name in _MAXIMA:
        semiring = MaxSemiring()
    elif name == "count":
        semiring = CountingSemiring()
    machine, refused = executors.choose(door.program, semiring.reduction, door.lengths.device)
    executor = ", ".join([machine.name, *natives])
    return Plan(name, semiring, door.program, executor, refused, _PASSES.get(name, "forward and backward"))


def _natives(door: Door, query: str) -> list[str]:
    """The native methods that take part in a query; raises where a need of it is not met at all."""
    names = []
    for need in needs(door.structure, query):
        if not meets(door.structure, need):
            raise refusal(door.structure, need)
        slopes = ("partition_and_marginals",) * (need == "partition" and query not in ("log_partition", "log_prob"))
        ways = (*slopes, need, *("partition",) * (need == "count"))
        found = [w for w in ways if w in NATIVES and door.structure.offers(w)]
        names += [f"native {type(door.structure).__name__}.{w}" for w in found[:1]]
    return names
