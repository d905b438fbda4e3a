"""Settings: programs are remembered by their values, and they stand still once a query has been asked."""

from __future__ import annotations

import copy
import functools
import pickle
import weakref
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass
class Steps:
    """Iterates like its list."""

    items: list[int]

    def __iter__(self) -> Any:
        return iter(self.items)


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


@pytest.mark.parametrize(
    ("held", "stir"),
    [({1}, lambda s: s.add(2)), ({1: 0}, lambda s: s.update({2: 0})), (Steps([1]), lambda s: s.items.append(2))],
    ids=["set", "dict", "dataclass"],
)
def test_other_containers_that_are_changed_in_place_are_refused_too(held: Any, stir: Any):
    held = copy.deepcopy(held)
    jumps = Jumps(held)
    assert ways(jumps) == 1
    stir(held)
    with pytest.raises(AttributeError, match=r"Jumps\.sizes was changed in place"):
        ways(jumps)
    assert ways(Jumps(held)) == 13


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


def first(k: int) -> Any:
    """A structure of a class of its own."""

    class First(ss.DynamicProgram):
        event_dim = 1
        factor = 1

        def __init__(self, k: int):
            self.k = k

        def inside(self, p: Any, x: Any) -> Any:
            return x[: self.kept()].sum(0)

        def kept(self) -> int:
            return self.k * self.factor

    return First(k)


OPAQUE = {"object": object(), "list": [object()], "array": np.array([object()]), "dict": {"a": torch.Generator()}}


@pytest.mark.parametrize("held", OPAQUE.values(), ids=OPAQUE)
def test_what_does_not_compare_by_value_is_refused_by_name(held: Any):
    class Holds(ss.DynamicProgram):
        event_dim = 1

        def __init__(self) -> None:
            self.held = held

        def inside(self, p: Any, x: Any) -> Any:
            return x.sum(0)

    with pytest.raises(TypeError, match=r"Holds: the setting 'held' holds .* leave it out of `recorded_by`"):
        ways(Holds())

    class LeavesOut(Holds):
        recorded_by = ()

    assert ways(LeavesOut()) == 6


def test_a_refused_query_leaves_settings_free():
    structure = ss.Subset(2)
    with pytest.raises(ss.ShapeError):
        ss.count(structure, torch.zeros(()))
    structure.k = 3
    assert ways(structure) == 20


def test_structures_that_have_labels_only_are_fixed_too():
    structure = ss.Subset(2)
    structure.from_labels(torch.tensor([0, 1]), ITEMS)
    with pytest.raises(AttributeError, match="cannot be set"):
        structure.k = 3


def test_another_inside_is_another_program():
    old = first(2)
    kind = type(old)
    assert ways(old) == 2
    kind.inside = lambda self, p, x: x[:1].sum(0)
    assert ways(kind(2)) == ways(old) == 1
    kind.inside.__code__ = (lambda self, p, x: x[:4].sum(0)).__code__  # as tools that reload modules do
    assert ways(kind(2)) == ways(old) == 4


def test_another_method_or_constant_of_the_class_is_another_program():
    old = first(2)
    type(old).factor = 2
    assert ways(old) == 4
    type(old).kept = lambda self: 1
    assert ways(old) == ways(type(old)(2)) == 1


def test_another_inside_of_a_shipped_class_is_another_program(monkeypatch: pytest.MonkeyPatch):
    structure = ss.Subset(2)
    assert ways(structure) == 15
    with monkeypatch.context() as patch:
        patch.setattr(ss.Subset, "inside", lambda self, p, item: item[:1].sum(0))
        assert ways(structure) == ways(ss.Subset(2)) == 1
    assert ways(structure) == 15


def test_classes_of_one_name_are_told_apart():
    one, other = first(2), first(2)
    type(other).inside = lambda self, p, x: x.sum(0)
    assert (ways(one), ways(other), ways(one)) == (2, 6, 2)


def test_a_setting_that_is_left_out_cannot_be_read():
    class Lies(Jumps):
        recorded_by = ()

    with pytest.raises(ss.ProgramError, match=r"Lies\.inside reads self\.sizes.*name it in `recorded_by`"):
        ways(Lies((1,)))


def test_functions_compare_by_code_and_closure():
    class Filtered(Jumps):
        def inside(self, p: Any, item: Any) -> Any:
            return item[: self.sizes(2)].sum(0)

    def adding(k: int) -> Any:
        return Filtered(lambda x: x + k)

    assert [ways(adding(k)) for k in (0, 1, 2, 0)] == [2, 3, 4, 2]
    assert ss.program(adding(1), ITEMS) is ss.program(adding(1), ITEMS)


def test_what_a_cached_property_keeps_is_no_setting():
    class Derived(Jumps):
        @functools.cached_property
        def longest(self) -> Any:
            return object(), max(self.sizes)

        def prepare(self, log_potentials: Any) -> Any:
            return log_potentials * self.longest[1]

    structure = Derived([1, 2])
    assert ways(structure) == ways(structure) == 13
    assert "longest" not in repr(structure)


def test_inside_may_leave_notes_on_itself():
    class Notes(Jumps):
        def inside(self, p: Any, item: Any) -> Any:
            self.size = item.shape[0]
            return item[: self.half()].sum(0)

        def half(self) -> int:
            return self.size // 2

    structure = Notes(())
    assert [int(ss.count(structure, torch.zeros(n))) for n in (6, 8, 6)] == [3, 4, 3]
    assert not hasattr(structure, "size")


def test_settings_that_hold_structures_count_by_value():
    class Wraps(ss.DynamicProgram):
        event_dim = 1

        def __init__(self, inner: Any):
            self.inner = inner

        def inside(self, p: Any, x: Any) -> Any:
            return self.inner.inside(p, x)

    assert [ways(Wraps(ss.Subset(k))) for k in (1, 2, 3, 1)] == [6, 15, 20, 6]


def test_forgotten_structures_are_freed():
    def ask(k: int) -> weakref.ref:
        structure = Jumps([1, k])
        ways(structure)
        return weakref.ref(structure)

    ghosts = [ask(k) for k in range(2, 5)]
    assert all(ghost() is None for ghost in ghosts)


def graph(k: int) -> ss.FactorGraph:
    return ss.FactorGraph("ab,bc" if k == 1 else "ab,cb" if k == 2 else "ba,bc")


SQUARES = torch.arange(4.0).view(2, 2), torch.arange(4.0).sin().view(2, 2)
MAKERS: dict[str, tuple[Callable[[int], Any], Any]] = {
    "number": (ss.Subset, ITEMS), "tuple": (lambda k: Jumps((k,)), ITEMS), "list": (lambda k: Jumps([k]), ITEMS),
    "texts": (graph, SQUARES), "no program": (lambda k: ss.Arborescence(k == 1), torch.zeros(4, 4)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MAKERS)
def test_a_compiled_graph_answers_for_the_structure_it_is_given(name: str):
    torch._dynamo.reset()
    make, phi = MAKERS[name]
    compiled = torch.compile(lambda structure, x: ss.log_partition(structure, x), backend="eager", fullgraph=True)
    for k in (1, 2, 3, 1, 2):
        torch.testing.assert_close(compiled(make(k), phi), ss.log_partition(make(k), phi))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_graph_may_make_its_structure():
    torch._dynamo.reset()

    def loss(x: torch.Tensor, targets: torch.Tensor, temperature: float) -> tuple[torch.Tensor, ...]:
        semiring = ss.SoftmaxSemiring(temperature)
        return (
            ss.log_partition(ss.Subset(2), x[0]),
            ss.log_partition(ss.CTC(targets), x),
            ss.evaluate(ss.Subset(3), semiring, x[0]),
        )

    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    x = torch.arange(20.0).sin().view(5, 4)
    for temperature in (0.5, 1.0, 2.0):
        args = x, torch.tensor([1, 2]), temperature
        torch.testing.assert_close(compiled(*args), loss(*args))
