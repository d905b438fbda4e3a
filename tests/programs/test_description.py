"""Descriptions: equal values have equal texts, a text gives the value back, what has no value is refused."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import semiring_struct as ss
from semiring_struct.programs import Described, Undescribed, Writer, rebuilt


class Holder(Described):
    def __init__(self, held: Any):
        self.held = held


class Pair(NamedTuple):
    left: int
    right: list[int]


@dataclass
class Config:
    width: int
    names: list[str] = field(default_factory=list)


class Color(enum.Enum):
    RED = 1


def double(x: int) -> int:
    return 2 * x


def within(width: int) -> Callable[[int], bool]:
    return lambda i: i < width


VALUES = (
    None, True, 1, 1.0, -0.0, float("inf"), "a:b", b"\x00\xff", 2j, (), (1, (2, "x")), [1, [2]], {"a": [1], 2: None},
    {3, 1}, frozenset({"a", "b"}), range(1, 9, 2), slice(None, 3), ..., Pair(1, [2]), Config(3, ["x"]), Color.RED,
    np.arange(6).reshape(2, 3), np.float32(0.5), np.array(["x", "yy"]), torch.float32, torch.device("cpu"),
    torch.Size((2, 3)), double, Config, within(3), Fraction(1, 3),
)  # fmt: skip


def text_of(value: Any) -> str:
    return Writer().text(Holder, {"held": value})


def back(value: Any) -> Any:
    return rebuilt(text_of(value), Holder).held


@pytest.mark.parametrize("value", VALUES, ids=[f"{i} {type(v).__name__}" for i, v in enumerate(VALUES)])
def test_a_value_comes_back(value: Any):
    found = back(value)
    assert type(found) is type(value)
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else repr(found) == repr(value)


def test_texts_tell_values_apart():
    texts = [text_of(v) for v in VALUES]
    assert len(set(texts)) == len(texts)
    assert text_of([1, 2]) != text_of((1, 2)) != text_of({1, 2})
    assert text_of(np.arange(3)) != text_of(np.arange(3.0)) != text_of(np.arange(3.0).reshape(1, 3))


def test_equal_values_have_equal_texts():
    for make in (lambda: {"a": np.arange(3)}, lambda: {"y", "x"}, lambda: within(3), lambda: Fraction(2, 6)):
        assert text_of(make()) == text_of(make())
    assert text_of(within(3)) != text_of(within(4))


def test_tensors_are_described_by_shape():
    assert text_of([torch.zeros(2, 3)]) == text_of([torch.ones(2, 3)])
    found = back([torch.zeros(2, 3)])[0]
    assert found.is_meta and found.shape == (2, 3)


@pytest.mark.parametrize("value", [threading.Lock(), [object()], {"a": torch.Generator()}, np.array([object()])])
def test_what_does_not_compare_by_value_is_refused(value: Any):
    with pytest.raises(Undescribed, match="'held' holds"):
        text_of(value)


def test_a_class_whose_code_changed_is_another():
    class Once(Described):
        def inside(self) -> int:
            return 1

    before = Writer().text(Once, {})
    assert isinstance(rebuilt(before, Described), Once)
    Once.inside = lambda self: 2  # type: ignore[method-assign]
    after = Writer().text(Once, {})
    assert after != before
    with pytest.raises(ss.ProgramError, match="not the code that this graph was made with"):
        rebuilt(before, Described)
    Once.inside.__code__ = (lambda self: 3).__code__
    assert Writer().text(Once, {}) != after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"object":["nowhere.to_be:Found"]}', "module nowhere.to_be, which is not here"),
        ('{"object":["semiring_struct:Missing"]}', "Missing of the module semiring_struct"),
        ('{"object":["local:0123456789abcdef:Gone"]}', "Gone, which only the process that made it"),
        ('{"object":["semiring_struct.structures.base:Structure"]}', "describes none"),
        ("7", "describes none"),
        ("chain", "no description"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(text: str, message: str):
    with pytest.raises(ss.ProgramError, match=message):
        rebuilt(text, Holder)
