"""What a structure is made of: settings, compared by value, and fixed once a query has been asked."""

from __future__ import annotations

import json
import marshal
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from semiring_struct.ops import constant
from semiring_struct.programs import ClassState, Described, Local, Undescribed, Writer, warn_if_exporting
from semiring_struct.structures.shapes import Declaration, parse

KEPT = "_kept"  # the attribute of what was derived from the settings
UNCHANGING = (bool, int, float, complex, str, bytes, range, slice, type, type(None), Tensor, torch.dtype, torch.device)


@dataclass
class Kept:
    """What was derived from the settings of a structure and from its class, as that was.

    `text` describes them, and `locals` are what it names that only this process can find; `stamps` are the contents
    of recorded settings that can be changed in place.
    """

    state: ClassState
    declaration: Declaration | None
    asked: bool
    label_shapes: dict[object, tuple[int, ...] | None] = field(default_factory=dict)
    text: str = ""
    locals: list[Local] = field(default_factory=list)
    stamps: dict[str, bytes | None] = field(default_factory=dict)

    def fresh(self, kind: type) -> bool:
        """Whether the text can be taken as it is: it is written, and there is nothing to compare or to say."""
        return bool(self.text) and not self.stamps and not self.locals and self.state.holds(kind)


class Settings(Described):
    """The settings of a structure: its attributes, but for what a `cached_property` keeps.

    Once a query has been asked, setting or deleting one raises `AttributeError`; so does the next query after a list,
    dict, set, array or dataclass among them was changed in place. A copy is free again.
    """

    shapes: ClassVar[Mapping[str, str]] = {}
    """Fields' shapes in letters, e.g. `{"emission": "n c", "transition": "n-1 c c"}`; size 1 ties a dim."""
    _kept: Kept

    def __setattr__(self, name: str, value: Any) -> None:
        _note(type(self), name)
        self._change(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._change(name)
        super().__delattr__(name)

    def _change(self, name: str) -> None:
        kept = self.__dict__.get(KEPT)
        if kept is None:
            return
        if kept.asked:
            raise self._fixed(name, "cannot be set or deleted")
        del self.__dict__[KEPT]

    def _fixed(self, name: str, what: str) -> AttributeError:
        who = type(self).__name__
        return AttributeError(
            f"{who}.{name} {what}: a query has been asked, and programs are remembered by the settings. Make a new "
            f"{who}; a copy.copy of this one may be changed. What follows from settings may be a cached_property",
            name=name,
            obj=self,
        )

    def described_by(self) -> dict[str, Any]:
        """The settings."""
        return self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: whatever follows from them is derived anew."""
        return {name: getattr(self, name) for name in self._setting_names()}

    def _setting_names(self) -> tuple[str, ...]:
        if not torch.compiler.is_compiling():
            return self._found_names()
        # constant functions see nothing of an object that is made inside the graph, whose attributes have been noted
        return tuple([name for name in _known_names(type(self), self._found_names()) if name in self.__dict__])

    @constant
    def _found_names(self) -> tuple[str, ...]:
        kind = type(self)
        return tuple(k for k in vars(self) if k != KEPT and not isinstance(getattr(kind, k, None), cached_property))

    def __repr__(self) -> str:
        settings = self.__getstate__()
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"

    def same_as(self, other: Settings) -> bool:
        """Whether both are one family with equal settings (tensors by their values)."""
        mine, theirs = self.__getstate__(), other.__getstate__()
        return type(self) is type(other) and _equal(mine, theirs)

    def _derived(self) -> Kept:
        """What is kept; nothing, where a method or another attribute of the class has been replaced since."""
        kept, kind = self.__dict__.get(KEPT), type(self)
        if kept is None or not kept.state.holds(kind):
            declaration = parse(kind.__name__, self.shapes) if self.shapes else None
            kept = Kept(ClassState.of(kind), declaration, asked=kept is not None and kept.asked)
            self.__dict__[KEPT] = kept
        return kept

    @property
    def declaration(self) -> Declaration | None:
        """`shapes`, parsed."""
        return self._derived().declaration

    @property
    def recorded_by(self) -> tuple[str, ...]:
        """The settings that the program depends on, beside the shapes of its fields. Default: all of them."""
        return self._setting_names()

    def _description(self) -> str:
        """The text that describes this structure by its recorded settings."""
        kept = self.__dict__.get(KEPT)
        return kept.text if kept is not None and kept.fresh(type(self)) else self._describe()

    def _describe(self) -> str:
        kept = self._derived()
        if not kept.text:
            settings = self._recorded()
            kept.text, kept.locals = self._write(settings)
            kept.asked = True
            kept.stamps = {n: _stamp(v) for n, v in settings.items() if not _unchanging(v)}
        elif any(stamp is None or _stamp(getattr(self, name)) != stamp for name, stamp in kept.stamps.items()):
            self._compare(kept.text)
        warn_if_exporting(type(self), kept.locals)
        return kept.text

    @constant
    def _describe_now(self) -> None:
        """For a graph being compiled: then what is kept can be read, and guarded, as a constant."""
        self._describe()

    def _recorded(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.recorded_by}

    def _write(self, settings: dict[str, Any]) -> tuple[str, list[Local]]:
        writer = Writer()
        try:
            return writer.text(type(self), settings), writer.locals
        except Undescribed as error:
            raise TypeError(
                f"{type(self).__name__}: the setting {error}. Programs are remembered by the values of settings: make "
                "it of numbers, strings, tuples, lists, dicts, sets, arrays or dataclasses; or, where `inside` does "
                "not read it, leave it out of `recorded_by`"
            ) from None

    def _compare(self, text: str) -> None:
        """Raise where the settings have other values than the text says."""
        now = self._write(self._recorded())[0]
        if now != text:
            before, after = (json.loads(x).get("settings", {}) for x in (text, now))
            changed = (k for k in {**before, **after} if json.dumps(before.get(k)) != json.dumps(after.get(k)))
            raise self._fixed(next(changed), "was changed in place")


_NAMES: WeakKeyDictionary[type, dict[str, None]] = WeakKeyDictionary()


@constant
def _note(kind: type, name: str) -> None:
    """Remember that objects of this class may have an attribute of this name."""
    _NAMES.setdefault(kind, {})[name] = None


@constant
def _known_names(kind: type, found: tuple[str, ...]) -> tuple[str, ...]:
    return tuple({**dict.fromkeys(found), **_NAMES.get(kind, {})})


def _unchanging(value: object) -> bool:
    """Whether nothing can change this value in place; of a tensor, its shape."""
    return all(map(_unchanging, value)) if isinstance(value, (tuple, frozenset)) else isinstance(value, UNCHANGING)


def _stamp(value: Any) -> bytes | None:
    """The content of a value of plain Python, None for another: cheaper than its description."""
    try:
        return marshal.dumps(value, 2)  # the last format without references, in which equal content is equal bytes
    except ValueError:
        return None


def _equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or (a.shape == b.shape and a.device == b.device and bool((a == b).all()))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)
