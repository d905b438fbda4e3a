"""Values as text: what operators and exported graphs carry in the place of structures and reductions.

A description is JSON. It names the class of a thing, by which the class can be imported, and gives its settings by
value, so that another process can rebuild it. Of a tensor it gives dtype and shape: a program may depend on no more.
What has no importable name, and what compares by value but cannot be written down, is `Local`: it stands under a name
that only this process can resolve, and that any other refuses.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import importlib
import json
import math
import operator
import secrets
import sys
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from semiring_struct.errors import ProgramError
from semiring_struct.ops import constant
from semiring_struct.programs.fingerprint import ClassState, code_of_class, code_of_function

RECENT = 1024  # local objects that are kept although nothing else holds them


class Described:
    """Something that is told from others of its class by its settings."""

    def described_by(self) -> dict[str, Any]:
        """These settings."""
        return vars(self)


class Undescribed(TypeError):
    """A value that does not compare by value."""


class Local:
    """An object that only this process can find, under a name that no other process has."""

    __slots__ = ("__weakref__", "name", "value")

    def __init__(self, label: str, value: object):
        self.name, self.value = f"{secrets.token_hex(8)}:{label}", value


class _Class(NamedTuple):
    """What is known of a class in a certain state."""

    state: ClassState
    reference: list[str]
    locals: list[Local]


_BY_KEY: weakref.WeakValueDictionary[object, Local] = weakref.WeakValueDictionary()
_BY_NAME: weakref.WeakValueDictionary[str, Local] = weakref.WeakValueDictionary()
_RECENT: OrderedDict[str, Local] = OrderedDict()
_CLASSES: OrderedDict[type, _Class] = OrderedDict()


def local(label: str, value: object, key: object) -> Local:
    """The `Local` of a value; one for all values of equal `key`, alive while someone holds it or it is recent."""
    found = _BY_KEY.get(key)
    if found is None:
        found = _BY_KEY[key] = Local(label, value)
        _BY_NAME[found.name] = found
    _RECENT[found.name] = found
    _RECENT.move_to_end(found.name)
    if len(_RECENT) > RECENT:
        _RECENT.popitem(last=False)
    return found


class Writer:
    """Writes values as JSON; `locals` are the objects in them that only this process can find.

    With `shapes` a tensor is described by its dtype and shape, else it has no description.
    """

    def __init__(self, shapes: bool = True) -> None:
        self.shapes = shapes
        self.locals: list[Local] = []

    def text(self, kind: type, settings: dict[str, Any]) -> str:
        """The description of an object of class `kind`; `Undescribed` says which setting has none."""
        return _dump(self._object(kind, settings))

    def text_or_itself(self, thing: object, settings: dict[str, Any]) -> str:
        """The description of `thing`; where it has none, one of it as this very object."""
        try:
            return self.text(type(thing), settings)
        except Undescribed:
            return _dump({"local": self._local(type(thing).__qualname__, thing, (id(thing), "itself"))})

    def _object(self, kind: type, settings: dict[str, Any]) -> dict[str, Any]:
        nodes = {}
        for name in sorted(settings):
            try:
                nodes[name] = self.node(settings[name])
            except Undescribed as error:
                raise Undescribed(f"{name!r} holds {error}") from None
        return {"object": self._class(kind), **({"settings": nodes} if nodes else {})}

    def _class(self, kind: type) -> list[str]:
        """A class by name; one from outside the library with the digest of its code."""
        known = _CLASSES.pop(kind, None)
        if known is None or not known.state.holds(kind):
            inner, now = Writer(), ClassState.of(kind)
            name = inner._name(kind, (id(kind), "itself"))
            _CLASSES[kind] = _Class(now, [name], [])  # for objects of the class among its own attributes
            code = code_of_class(kind, inner._constant)
            known = _Class(now, [name, code] if code else [name], inner.locals)
        _CLASSES[kind] = known
        if len(_CLASSES) > RECENT:
            _CLASSES.popitem(last=False)
        self.locals += known.locals
        return known.reference

    def _name(self, thing: Any, key: object) -> str:
        return name_of(thing) or f"local:{self._local(thing.__qualname__, thing, key)}"

    def node(self, value: Any) -> Any:
        """A value as JSON; raises `Undescribed`."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        write = _WRITE.get(type(value))
        return self._other(value) if write is None else write(self, value)

    def _other(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if not self.shapes:
                raise Undescribed("a tensor")
            return {"tensor": [_bare(value.dtype), *(int(n) for n in value.shape)]}
        if isinstance(value, enum.Enum):
            return {"member": [self._class(type(value)), value.name]}
        if isinstance(value, (np.ndarray, np.generic)):
            return _array(value)
        if isinstance(value, Described):
            return self._object(type(value), value.described_by())
        names = getattr(value, "_fields", None)
        if isinstance(value, tuple) and names is not None:
            return self._object(type(value), dict(zip(names, value, strict=True)))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._object(type(value), attributes(value))
        if isinstance(value, type):
            return {"class": self._class(value)}
        if isinstance(value, types.FunctionType):
            code = code_of_function(value, self._constant)
            return {"function": [self._name(value, (types.FunctionType, value.__qualname__, code)), code]}
        kind = type(value)
        if kind.__eq__ is object.__eq__:
            raise Undescribed(f"{_a(kind)}, which does not compare by value")
        try:
            return {"local": self._local(kind.__qualname__, value, (kind, value))}
        except TypeError:
            raise Undescribed(f"{_a(kind)}, which cannot be hashed") from None

    def _local(self, label: str, value: object, key: object) -> str:
        self.locals.append(local(label, value, key))
        return self.locals[-1].name

    def _constant(self, value: Any) -> str:
        """What code holds, a default or a closure's cell: by value, else as that one object."""
        if isinstance(value, type):
            return name_of(value) or self._local(value.__qualname__, value, (id(value), "itself"))
        try:
            return _dump(self.node(value))
        except Undescribed:
            return self._local(type(value).__qualname__, value, (id(value), "itself"))


@constant
def described(kind: type, shapes: bool, *settings: object) -> str:
    """The description of an object of class `kind`; `settings` are names, each followed by its value.

    A constant of compiled graphs: they are guarded by what `concrete` made of the values.
    """
    writer = Writer(shapes)
    given = {str(name): value for name, value in zip(settings[::2], settings[1::2], strict=True)}
    text = writer.text(kind, given)
    warn_if_exporting(kind, writer.locals)
    return text


def is_plain(value: object) -> bool:
    """Whether a compiled graph can keep a value as a constant, and guard it."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def concrete(value: Any) -> Any:
    """A plain value; inside a compiled graph, numbers that were symbols of it become what they are."""
    if isinstance(value, tuple):
        return tuple([concrete(x) for x in value])
    if isinstance(value, float):
        return math.fsum((value,))
    return operator.index(value) if isinstance(value, int) and not isinstance(value, bool) else value


def warn_if_exporting(kind: type, found: list[Local]) -> None:
    """Say so when a graph is exported that no other process will be able to run."""
    if found and torch.compiler.is_exporting():
        names = ", ".join(sorted({x.name.partition(":")[2] for x in found}))
        warnings.warn(
            f"this graph runs in this process only: {names}, which {kind.__name__} depends on, cannot be found by "
            "another. Put classes and functions at the top level of a module, and settings into numbers, strings, "
            "tuples, lists, dicts or arrays",
            stacklevel=2,
        )


_dump = json.JSONEncoder(separators=(",", ":")).encode


def _a(kind: type) -> str:
    return f"{'an' if kind.__name__[:1] in 'AEIOUaeiou' else 'a'} {kind.__name__}"


def _bare(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _array(value: Any) -> dict[str, Any]:
    whole = np.asarray(value)
    if whole.dtype.hasobject:
        raise Undescribed("an array of objects, which do not compare by value")
    data = base64.b64encode(whole.tobytes()).decode()
    return {"array" if isinstance(value, np.ndarray) else "scalar": [whole.dtype.str, list(whole.shape), data]}


def attributes(value: Any) -> dict[str, Any]:
    """What an object holds, without what a `cached_property` keeps."""
    if not hasattr(value, "__dict__"):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    kept = functools.cached_property
    return {k: v for k, v in vars(value).items() if not isinstance(getattr(type(value), k, None), kept)}


def name_of(thing: Any) -> str | None:
    """`module:qualname` where that leads to this class or function, else None."""
    found: Any = sys.modules.get(thing.__module__)
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return f"{thing.__module__}:{thing.__qualname__}" if found is thing else None


_WRITE: dict[type, Callable[[Writer, Any], Any]] = {
    tuple: lambda w, v: [w.node(x) for x in v],
    list: lambda w, v: {"list": [w.node(x) for x in v]},
    dict: lambda w, v: {"dict": [[w.node(k), w.node(x)] for k, x in v.items()]},
    set: lambda w, v: {"set": sorted((w.node(x) for x in v), key=_dump)},
    frozenset: lambda w, v: {"frozenset": sorted((w.node(x) for x in v), key=_dump)},
    bytes: lambda _, v: {"bytes": v.hex()},
    complex: lambda _, v: {"complex": [v.real, v.imag]},
    range: lambda _, v: {"range": [v.start, v.stop, v.step]},
    slice: lambda w, v: {"slice": [w.node(v.start), w.node(v.stop), w.node(v.step)]},
    torch.Size: lambda _, v: {"size": [int(n) for n in v]},
    torch.dtype: lambda _, v: {"dtype": _bare(v)},
    torch.device: lambda _, v: {"device": str(v)},
    type(...): lambda _, v: {"dots": None},
}


def rebuilt(text: str, kind: type) -> Any:
    """The thing that a description describes, made without running any code of its class.

    Raises `ProgramError` for what this process cannot find, for a class or function whose code is another here, and
    for a description of what is no `kind`.
    """
    try:
        out = _value(json.loads(text))
    except (ValueError, KeyError, AttributeError, IndexError) as error:
        raise ProgramError(f"{text!r} is no description of this library's ({error})") from error
    if not isinstance(out, kind):
        raise ProgramError(f"a graph needs a {kind.__name__}, and {text!r} describes none")
    return out


def _value(node: Any) -> Any:
    if not isinstance(node, dict):
        return tuple(map(_value, node)) if isinstance(node, list) else node
    if "object" in node:
        return made(_found(node["object"]), {k: _value(v) for k, v in node.get("settings", {}).items()})
    ((form, held),) = node.items()
    return _READ[form](held)


def made(kind: Any, settings: dict[str, Any]) -> Any:
    """An object of this class that holds these settings, made without its `__init__`."""
    if issubclass(kind, tuple):
        return tuple.__new__(kind, [settings[name] for name in getattr(kind, "_fields", ())])
    out = object.__new__(kind)
    for name, value in settings.items():
        object.__setattr__(out, name, value)
    return out


def _found(reference: list[str]) -> Any:
    """The class or function that a reference names, if its code is still the one that was described."""
    name, *code = reference
    out = _local_value(name.removeprefix("local:")) if name.startswith("local:") else _imported(name)
    now = Writer()._class(out) if isinstance(out, type) else Writer().node(out)["function"]
    if now[1:] != code:
        raise ProgramError(
            f"{out.__qualname__} of {out.__module__} is not the code that this graph was made with: it was changed, "
            "another one of that name is here, or another Python compiled it. Compile or export the graph anew"
        )
    return out


def _imported(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        out: Any = importlib.import_module(module)
        for part in path.split("."):
            out = getattr(out, part)
    except (ImportError, AttributeError) as error:
        raise ProgramError(
            f"this graph was made with {path} of the module {module}, which is not here ({error}). Graphs for other "
            "processes need structures whose classes stand at the top level of a module that these can import"
        ) from error
    return out


def _local_value(name: str) -> Any:
    found = _BY_NAME.get(name)
    if found is None:
        raise ProgramError(
            f"this graph was made with {name.partition(':')[2]}, which only the process that made it could find, while "
            "it lived. Graphs for other processes need structures of classes at the top level of a module, with "
            "settings such as numbers, strings, tuples, lists, dicts and arrays"
        )
    return found.value


def _read_array(held: Any) -> np.ndarray:
    kind, shape, data = held
    return np.frombuffer(base64.b64decode(data), dtype=np.dtype(kind)).reshape(shape)


_READ: dict[str, Callable[[Any], Any]] = {
    "list": lambda v: [_value(x) for x in v],
    "dict": lambda v: {_value(k): _value(x) for k, x in v},
    "set": lambda v: {_value(x) for x in v},
    "frozenset": lambda v: frozenset(_value(x) for x in v),
    "bytes": bytes.fromhex,
    "complex": lambda v: complex(*v),
    "range": lambda v: range(*v),
    "slice": lambda v: slice(*map(_value, v)),
    "size": torch.Size,
    "dtype": lambda v: getattr(torch, v),
    "device": torch.device,
    "dots": lambda _: ...,
    "tensor": lambda v: torch.empty(v[1:], dtype=getattr(torch, v[0]), device="meta"),
    "array": _read_array,
    "scalar": lambda v: _read_array(v)[()],
    "class": _found,
    "function": _found,
    "member": lambda v: _found(v[0]).__members__[v[1]],
    "local": _local_value,
}
