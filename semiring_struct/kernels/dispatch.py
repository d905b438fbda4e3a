"""The choice among a kernel's implementations: the slow one that is the truth, fast twins that may refuse a call."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch

SWITCH = "SEMIRING_STRUCT_EXECUTOR"
PLAIN = "eager"


@dataclass(frozen=True)
class Twin:
    """A fast implementation. `refuse` says why it will not take these arguments, or None; `run` is as the reference."""

    name: str
    run: Callable[..., Any]
    refuse: Callable[..., str | None]


def dispatch(
    reference: Callable[..., Any], twins: tuple[Twin, ...], *args: Any
) -> tuple[Callable[..., Any], dict[str, str]]:
    """The first twin that takes the arguments, else the reference; and why the twins before it refused."""
    refused: dict[str, str] = {}
    for twin in twins:
        reason = twin.refuse(*args)
        if reason is None:
            return twin.run, refused
        refused[twin.name] = reason
    return reference, refused


@lru_cache(maxsize=1)
def _has_numba() -> bool:
    return find_spec("numba") is not None


def compiled_here(device: torch.device) -> str | None:
    """Why code compiled by numba will not run for tensors of a device, or None."""
    if os.environ.get(SWITCH) == PLAIN:
        return f"{SWITCH}={PLAIN}"
    if not _has_numba():
        return "numba is not installed: pip install 'semiring-struct[cpu]'"
    return None if device.type == "cpu" else f"compiled for the CPU; the tensors are on {device}"
