"""NaN and +inf that a structure can use are refused, by the name of the field, the instance and the entry."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import Family, arborescence, chain, ctc, matching, warping

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("corner", [(0, 399), (399, 0)], ids=str)
def test_a_part_of_structures_however_rare(corner: tuple[int, int]):
    """A share of 1e-300 of the paths goes through a corner: no float tells it from none, the best structure does."""
    grid = torch.zeros(500, 500)
    grid[corner] = NAN
    with pytest.raises(ValueError, match=rf"cell holds NaN or \+inf, first at entry \({corner[0]}, {corner[1]}\)"):
        ss.log_partition(ss.DTW(), grid, (400, 400))
    grid[corner], grid[400, 3], grid[3, 400] = 0.0, NAN, INF
    assert ss.log_partition(ss.DTW(), grid, (400, 400)).isfinite()


MESSAGES = {
    "log_partition": ss.log_partition,
    "marginals": ss.marginals,
    "argmax": ss.argmax,
    "count": ss.count,
    "entropy": ss.entropy,
    "sample": lambda s, phi, lengths: ss.sample(s, phi, lengths=lengths),
    "labels": lambda s, phi, lengths: ss.argmax(s, phi, True, lengths),
    "sparsemap": lambda s, phi, lengths: ss.relaxations.sparsemap(s, phi, lengths),
    "distribution": ss.StructDistribution,
}


@pytest.mark.parametrize("query", MESSAGES.values(), ids=MESSAGES.keys())
def test_the_message_names_field_instance_and_entry(query: Any):
    phi = chain(4, 3).draw((2, 3), seed=0)
    lengths = torch.tensor([[4, 3, 2], [1, 2, 3]])
    phi.emission[1, 1, 2:], phi.transition[0, 2, 2] = NAN, INF
    phi.transition[1, 2, 1, 0, 2] = NAN
    what = r"holds NaN or \+inf, first at entry"
    with pytest.raises(ValueError, match=rf"^transition {what} \(1, 0, 2\) of instance \(1, 2\);"):
        query(ss.LinearChain(), phi, lengths=lengths)
    with pytest.raises(ValueError, match=rf"^emission {what} \(2, 0\) of instance \(1, 1\);"):
        query(ss.LinearChain(), phi, lengths=None)
    with pytest.raises(ValueError, match=rf"^emission {what} \(2, 0\);"):
        query(ss.LinearChain(), ss.ChainPotentials(phi.emission[1, 1], phi.transition[1, 1]), lengths=None)


@pytest.mark.parametrize("family", [ctc(4, 3, (1, 2)), arborescence(4), matching(3), warping(3, 2)], ids=str)
def test_names_for_prepared_and_native_structures(family: Family):
    phi = family.draw((2,), seed=0)
    phi[1, 0, 1] = INF
    lengths = tuple(torch.tensor([n, n - (i == 0)]) for i, n in enumerate(family.sizes))
    name = family.structure.field_names[0]
    for query in (ss.log_partition, ss.marginals, lambda s, p, n: ss.argmax(s, p, lengths=n)):
        with pytest.raises(ValueError, match=rf"{name} holds NaN.*\(0, 1\) of instance \(1,\)"):
            query(family.structure, phi, lengths if len(lengths) > 1 else lengths[0])


def test_a_part_that_no_length_uses_is_refused_at_full_length():
    arcs = torch.zeros(2, 4, 4)
    arcs[:, 2, 2] = NAN
    with pytest.raises(ValueError, match=r"entry \(2, 2\) of instance \(0,\)"):
        ss.log_partition(ss.ProjectiveTree(), arcs)


class Mixed(ss.DynamicProgram):
    """Prepared fields that depend on every position: then what lies past a length matters, and is refused."""

    event_dim, shapes, field_dim = 1, {"item": "n"}, 1

    def prepare(self, log_potentials: Tensor) -> Tensor:
        return log_potentials - log_potentials.mean(-1, keepdim=True)

    def inside(self, p: Any, item: Any) -> Any:
        chart = p.chart(item.shape[0] + 1)
        chart[0] = p.one
        for i in range(item.shape[0]):
            chart[i + 1] = chart[i] * item[i]
        return chart[p.length]


def test_prepared_fields_that_depend_on_padding():
    phi = torch.zeros(2, 3)
    phi[1, 2] = NAN
    with pytest.raises(ValueError, match=r"item holds NaN or \+inf, first at entry \(2,\) of instance \(1,\)"):
        ss.log_partition(Mixed(), phi, torch.tensor([3, 1]))


def test_scores_leave_out_what_is_not_used():
    phi = torch.tensor([0.5, NAN, INF, -INF, 2.0]).requires_grad_()
    event = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0])
    value = ss.score(ss.Subset(2), phi, event)
    assert value == 2.5 and torch.autograd.grad(value, phi)[0].equal(event)
    for bad in (1, 2):
        with pytest.raises(ValueError, match="item holds NaN"):
            ss.score(ss.Subset(2), phi, torch.eye(5)[bad])
    assert ss.score(ss.Subset(2), phi, torch.eye(5)[3]) == -INF
