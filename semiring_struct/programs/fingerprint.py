"""What a class's code is, in a few characters: another digest where a method, a default or a plain attribute differs.

Bytecode is compared, so the digest of one source file differs between versions of Python.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

PACKAGE = __name__.partition(".")[0]
KNOWN = frozenset({PACKAGE, "torch", "numpy", "typing_extensions"}) | sys.stdlib_module_names

Plain = Callable[[Any], str]  # a constant as text


def own_classes(kind: type) -> tuple[type, ...]:
    """The classes that make up `kind`, without those of this library, of Python and of what we build on."""
    return tuple(c for c in kind.__mro__ if c.__module__ == "__main__" or c.__module__.partition(".")[0] not in KNOWN)


def code_of_class(kind: type, plain: Plain) -> str:
    """The digest of a class, `""` where it is made of known ones only."""
    classes = own_classes(kind)
    return _digest([text for c in classes for text in _members(c, plain)]) if classes else ""


def code_of_function(function: types.FunctionType, plain: Plain) -> str:
    """The digest of a function: its code, defaults and what its closure holds."""
    return _digest([_function(function, plain, set())])


class State(NamedTuple):
    """The attributes of a class and their identities; they are held, so that no other takes the address of one."""

    held: tuple[object, ...]
    ids: tuple[int, ...]


def state(kind: type) -> State:
    """Cheap enough to be compared on every call: other `ids` once an attribute has been set anew.

    Of `inside` the code counts: tools that reload modules put new code into old functions.
    """
    held = tuple(v for c in own_classes(kind) for v in vars(c).values())
    held = (getattr(getattr(kind, "inside", None), "__code__", None), *held)
    return State(held, tuple(map(id, held)))


def _digest(texts: list[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def _members(kind: type, plain: Plain) -> list[str]:
    out = [kind.__qualname__]
    for name, value in sorted(vars(kind).items()):
        functions = _functions(value)
        if functions:
            out += [f"{name} {_function(f, plain, set())}" for f in functions]
        elif not name.startswith("__") and isinstance(value, bool | int | float | str | bytes | tuple | list | dict):
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
