"""What a class's code is, in a few characters: another digest where a method, a default or a plain attribute differs.

Bytecode is compared, so the digest of one source file differs between versions of Python.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import types
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

PACKAGE = __name__.partition(".")[0]
KNOWN = frozenset({PACKAGE, "torch", "numpy", "typing_extensions"}) | sys.stdlib_module_names

Plain = Callable[[Any], str]  # a constant as text


class ClassState(NamedTuple):
    """A class as it is now: its attributes are held, so that none takes the address of another."""

    kind: type
    ids: list[int]
    held: tuple[object, ...]

    @staticmethod
    def of(kind: type) -> ClassState:
        """Of `inside` the code counts, since tools that reload modules put new code into old functions."""
        held: tuple[object, ...] = (_inside(kind),)
        for c in own_classes(kind):
            held += tuple(vars(c).values())
        return ClassState(kind, list(map(id, held)), held)

    def holds(self, kind: type) -> bool:
        """Whether this still is the state of a class: no attribute was set since. Cheap enough for every call."""
        if kind is not self.kind:
            return False
        ids = [id(_inside(kind))]
        for c in own_classes(kind):
            ids += map(id, vars(c).values())
        return ids == self.ids


def _inside(kind: Any) -> object:
    try:
        return kind.inside.__code__
    except AttributeError:
        return None


@lru_cache(maxsize=256)
def own_classes(kind: type) -> tuple[type, ...]:
    """The classes that make up `kind`, without those of this library, of Python and of what we build on."""
    return tuple(c for c in kind.__mro__ if not _known(c.__module__))


def _known(module: str) -> bool:
    return module != "__main__" and module.partition(".")[0] in KNOWN


def code_of_class(kind: type, plain: Plain) -> str:
    """The digest of a class, `""` where all that it is made of is known."""
    texts = [text for c in own_classes(kind) for text in _members(c, plain)]
    inside = getattr(kind, "inside", None)
    if isinstance(inside, types.FunctionType) and not _known(inside.__module__):
        texts.append(_function(inside, plain, set()))  # replaced from outside, maybe
    return _digest(texts) if texts else ""


def code_of_function(function: types.FunctionType, plain: Plain) -> str:
    """The digest of a function: its code, defaults and what its closure holds."""
    return _digest([_function(function, plain, set())])


def _digest(texts: list[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def _members(kind: type, plain: Plain) -> list[str]:
    out = [kind.__qualname__]
    for name, value in sorted(vars(kind).items()):
        functions = _functions(value)
        if functions:
            out += [f"{name} {_function(f, plain, set())}" for f in functions]
        elif not name.startswith("__") and isinstance(value, (bool, int, float, str, bytes, tuple, list, dict)):
            out.append(f"{name} {plain(value)}")
    return out


def _functions(value: object) -> list[types.FunctionType]:
    """The functions in what a class holds: methods of every kind, properties, what decorators wrapped."""
    if isinstance(value, property):
        parts = [value.fget, value.fset, value.fdel]
    elif isinstance(value, functools.cached_property):
        parts = [value.func]
    else:
        parts = [getattr(value, "__wrapped__", value)]
    return [f for f in parts if isinstance(f, types.FunctionType)]


def _function(f: types.FunctionType, plain: Plain, seen: set[int]) -> str:
    if id(f) in seen:
        return f.__qualname__
    seen.add(id(f))
    cells = zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)
    held = [f"{name}={_held(cell, plain, seen)}" for name, cell in cells if name != "__class__"]
    defaults = [plain(x) for x in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).items())]
    return f"{_code(f.__code__)}({','.join(defaults)})[{','.join(held)}]"


def _held(cell: types.CellType, plain: Plain, seen: set[int]) -> str:
    try:
        value = cell.cell_contents
    except ValueError:  # not assigned yet
        return ""
    if isinstance(value, types.FunctionType):
        return _function(value, plain, seen)
    return value.__name__ if isinstance(value, types.ModuleType) else plain(value)


def _code(code: types.CodeType) -> str:
    parts = (
        code.co_code.hex(), code.co_exceptiontable.hex(), code.co_names, code.co_varnames, code.co_freevars,
        code.co_argcount, code.co_kwonlyargcount, code.co_flags, [_constant(c) for c in code.co_consts],
    )  # fmt: skip
    return repr(parts)


def _constant(value: object) -> str:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, tuple):
        return f"({','.join(map(_constant, value))})"
    return repr(sorted(map(_constant, value)) if isinstance(value, frozenset) else value)
