"""Functions that Python calls in compiled code (the extra `cpu`): compiled when first used, and kept in files."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite
import numba

from semiring_struct.kernels.kept import SETTINGS, Kept, not_kept

PACKAGE = Path(__file__).parents[1]
IMPORTS = re.compile(r"^\s*from (semiring_struct[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)


def entry(function: Callable | None = None, *, fastmath: frozenset[str] = frozenset()) -> Any:
    """Compile a function that holds no lock and divides as NumPy does; `fastmath`: what LLVM may assume of numbers.

    What was compiled is found again wherever the same sources, versions and processor are met: see `kept`.
    """
    if function is None:
        return lambda function: entry(function, fastmath=fastmath)
    jit: Any = numba.njit
    compiled = jit(nogil=True, error_model="numpy", fastmath=set(fastmath))(function)
    try:
        kept = Kept(function.__module__, function.__qualname__, content(function.__module__, fastmath))
    except OSError as error:
        not_kept(f"the source is not at hand: {error}")
        return compiled
    if hasattr(compiled, "_cache"):  # where numba's own caches sit; it promises no such place
        compiled._cache = kept
    elif not SETTINGS.DISABLE_JIT:
        not_kept(f"numba {numba.__version__} has no place for it")
    return compiled


def content(module: str, fastmath: frozenset[str]) -> str:
    """What a function of a module is compiled from, as a hash: sources, flags, and versions of the compilers.

    The sources are the module's file and those that it imports, directly or not, as far as they lie in the same folder
    of a room; compiled code refers to nothing beyond. Times of modification do not count.
    """
    versions = numba.__version__, llvmlite.__version__, sys.implementation.cache_tag
    made = sha256(repr((versions, sorted(fastmath))).encode())
    for name in sorted(sources(module)):
        made.update(_read(name))
    return made.hexdigest()[:16]


def sources(module: str) -> set[str]:
    """The modules whose text decides what functions of a module compile to."""
    folder = module.split(".")[:3]
    found, rest = {module}, [module]
    while rest:
        for name in _imported(rest.pop()) - found:
            if name.split(".")[:3] == folder:
                found.add(name)
                rest.append(name)
    return found


@lru_cache(maxsize=256)
def _imported(module: str) -> set[str]:
    names = set()
    for source, listed in IMPORTS.findall(_read(module).decode()):
        for name in re.findall(r"\w+", re.sub(r" as \w+", "", listed)):
            names.add(f"{source}.{name}" if _file(f"{source}.{name}") else source)
    return names


@lru_cache(maxsize=256)
def _read(module: str) -> bytes:
    path = _file(module)
    if path is None:
        raise FileNotFoundError(f"no source of {module}")
    return path.read_bytes().replace(b"\r\n", b"\n")


def _file(module: str) -> Path | None:
    """The source of a module of this library."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)
