"""Who can answer a query, and what a contender hands over to be timed."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from benchmarks.cases import Case

OURS = "semiring-struct"
MODULES = {
    OURS: "benchmarks.ours",
    "torch-struct": "benchmarks.peers.torchstruct",
    "pytorch-crf": "benchmarks.peers.pytorchcrf",
    "torch": "benchmarks.peers.pytorch",
    "plain": "benchmarks.peers.plain",
    "synjax": "benchmarks.peers.syn",
}
PEERS = tuple(name for name in MODULES if name != OURS)

SAMPLES = 10
"""How many draws the query `sample` takes."""
MANY = 1000
"""How many the query `samples` takes, as labels."""
BEST = 5
"""How many structures the query `topk` takes."""


@dataclass(frozen=True)
class Run:
    """`call()` is timed; `read` turns what it returned into numbers on which all contenders must agree, if any.

    Inputs are brought into a contender's own layout before `call`, outside the clock.
    """

    call: Callable[[], Any]
    read: Callable[[Any], Tensor | None]


class Contender(Protocol):
    """A module of this shape."""

    def prepare(self, case: Case, query: str, potentials: Any) -> Run | None:
        """The query on these log-potentials (in our layout), or None where the contender does not offer it."""
        ...

    def heavy(self, case: Case, query: str) -> str | None:
        """Why this is left out unless asked for, or None."""
        ...


def find(name: str) -> Contender:
    """The contender of this name; raises `ImportError` where its library is not installed."""
    if name not in MODULES:
        raise ValueError(f"no contender is called {name!r}; there are {', '.join(MODULES)}")
    return importlib.import_module(MODULES[name])  # type: ignore[return-value]


def version(name: str) -> str:
    """The installed version, or `not installed`."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
