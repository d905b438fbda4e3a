"""Settings: programs are remembered by their values, and they stand still once a query has been asked."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import semiring_struct as ss


class Jumps(ss.DynamicProgram):
    """Ways from 0 to n by jumps of the given sizes; landing on i scores `item[i - 1]`."""

    event_dim = 1

    def __init__(self, sizes: Any):
        self.sizes = sizes

    def inside(self, p, item):
        n = item.shape[0]
        reached = p.chart(n + 1)
        reached[0] = p.one
        for i in range(1, n + 1):
            ways = [reached[i - s] * item[i - 1] for s in self.sizes if s <= i]
            if ways:
                reached[i] = sum(ways[1:], ways[0])
        return reached[p.length]


ITEMS = torch.zeros(6)
SIZES = ([1], [1, 2], [1, 2, 3], [2], [3])
WAYS = [1, 13, 24, 1, 1]


def by_hand(sizes: list[int]) -> int:
    ways = [1]
    for i in range(1, 7):
        ways.append(sum(ways[i - s] for s in sizes if s <= i))
    return ways[6]


def ways(structure: ss.DynamicProgram) -> float:
    return ss.count(structure, ITEMS).item()


@pytest.mark.parametrize("kind", [tuple, list, set, frozenset, np.array, lambda s: dict.fromkeys(s)],
                         ids=["tuple", "list", "set", "frozenset", "array", "dict"])  # fmt: skip
def test_programs_are_remembered_by_the_values_of_settings(kind: Any):
    assert [by_hand(s) for s in SIZES] == WAYS
    for _ in range(3):  # objects come and go, so that one takes the address of another
        assert [ways(Jumps(kind(s))) for s in SIZES] == WAYS


def test_equal_settings_share_a_program():
    assert ss.program(Jumps([1, 2]), ITEMS) is ss.program(Jumps([1, 2]), ITEMS)
    assert ss.program(Jumps([1, 2]), ITEMS) is not ss.program(Jumps([2, 1]), ITEMS)


def test_a_setting_stands_still_once_a_query_has_been_asked():
    jumps = Jumps((1,))
    jumps.sizes = (1, 2)  # nobody has asked yet
    assert ways(jumps) == 13
    with pytest.raises(AttributeError, match=r"Jumps\.sizes cannot be set.*Make a new Jumps"):
        jumps.sizes = (1, 2, 3)
    with pytest.raises(AttributeError, match="cannot be set or deleted"):
        del jumps.sizes
    assert ways(jumps) == 13


SHIPPED = (
    (ss.Subset(2), "k", 3, torch.zeros(6)),
    (ss.Subset(at_most=2), "at_most", 3, torch.zeros(6)),
    (ss.ProjectiveTree(), "single_root", True, torch.zeros(4, 4)),
    (ss.Arborescence(), "single_root", True, torch.zeros(4, 4)),
    (ss.CorrelatedSubset(2), "k", 3, ss.SubsetPotentials(torch.zeros(4), torch.zeros(3))),
)


@pytest.mark.parametrize(("structure", "name", "other", "phi"), SHIPPED, ids=lambda x: repr(x)[:30])
@pytest.mark.parametrize("query", [ss.count, ss.log_partition, ss.max_score, ss.entropy], ids=lambda q: q.__name__)
def test_settings_of_shipped_structures_stand_still(structure: Any, name: str, other: Any, phi: Any, query: Any):
    structure = copy.copy(structure)
    query(structure, phi)
    with pytest.raises(AttributeError, match=f"{name} cannot be set"):
        setattr(structure, name, other)


@pytest.mark.parametrize("change", [lambda s: s.append(2), lambda s: s.__setitem__(0, 2)], ids=["append", "set"])
def test_a_list_that_is_changed_in_place_is_refused_at_the_next_query(change: Any):
    sizes = [1]
    jumps = Jumps(sizes)
    assert ways(jumps) == 1
    change(sizes)
    with pytest.raises(AttributeError, match=r"Jumps\.sizes was changed in place"):
        ways(jumps)
    assert ways(Jumps(sizes)) == by_hand(sizes)


def test_an_array_that_is_changed_in_place_is_refused_at_the_next_query():
    sizes = np.array([1, 2])
    jumps = Jumps(sizes)
    assert ways(jumps) == 13
    sizes[0] = 3
    with pytest.raises(AttributeError, match="changed in place"):
        ways(jumps)


def test_copies_are_free_again():
    jumps = Jumps([1])
    ways(jumps)
    for other in (copy.copy(jumps), copy.deepcopy(jumps), pickle.loads(pickle.dumps(jumps))):
        assert other.same_as(jumps)
        assert ways(other) == 1
    other = copy.copy(jumps)
    other.sizes = [1, 2]
    assert (ways(other), ways(jumps)) == (13, 1)


def test_another_program_of_the_same_class_is_seen(monkeypatch: pytest.MonkeyPatch):
    """As after an edit that a tool reloads, which puts another function into the class."""
    structure = Jumps((1, 2))
    assert ways(structure) == 13
    monkeypatch.setattr(Jumps, "inside", lambda self, p, item: item[:4].sum())
    assert (ways(structure), ways(Jumps((1, 2)))) == (4, 4)


def test_what_does_not_compare_by_value_is_refused_by_name():
    class Opaque:
        def __iter__(self):
            return iter([1, 2])

    with pytest.raises(TypeError, match=r"Jumps: the setting 'sizes' holds an Opaque, which does not compare by value"):
        ways(Jumps(Opaque()))
