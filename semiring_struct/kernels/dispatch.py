"""The choice among a kernel's implementations: the slow one that is the truth, fast twins that may refuse a call."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
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
def without_numba() -> str | None:
    """Why numba compiles nothing in this process, or None. Imports it."""
    if find_spec("numba") is None:
        return "numba is not installed: pip install 'semiring-struct[cpu]'"
    try:
        config: Any = import_module("numba.core.config")
    except Exception as error:  # another version of NumPy or of LLVM than it was built for
        return f"numba is installed, but cannot be imported: {error}"
    return "NUMBA_DISABLE_JIT is set" if config.DISABLE_JIT else None


def compiled_here(device: torch.device) -> str | None:
    """Why code compiled by numba will not run for tensors of a device, or None."""
    if os.environ.get(SWITCH) == PLAIN:
        return f"{SWITCH}={PLAIN}"
    if device.type != "cpu":
        return f"compiled for the CPU; the tensors are on {device}"
    return without_numba()
