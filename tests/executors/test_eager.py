"""The eager machine's own ways: loops handled in stretches, draws from a table or not; and the seam for others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import Eager, Job, Machine, machine
from semiring_struct.executors.eager import local, paths
from semiring_struct.executors.operators import flat
from semiring_struct.inference.door import open_door
from tests.structures.families import Family, alignment, chain, heads, segments, spans
from tests.structures.test_contract import fields

LONG = (chain(30, 4), chain(30, 4, tied=True), segments(15, 4, 3), spans(9), heads(8), alignment(7, 9))
every_long = pytest.mark.parametrize("family", LONG, ids=str)


def everything(family: Family) -> list[Tensor]:
    """Forward, reverse, the dual channel, walks and the generic run."""
    forbidden = 0.05 if len(family.sizes) == 1 else 0.0  # an alignment with nothing has no way round a forbidden gap
    phi, lengths = family.draw((3,), seed=0, forbidden=forbidden), family.lengths(3, seed=0)
    v = family.draw((3,), seed=1)
    how: dict[str, Any] = {"lengths": lengths}
    return [
        ss.log_partition(family.structure, phi, **how),
        *fields(ss.marginals(family.structure, phi, **how)),
        *fields(ss.covariance_vp(family.structure, phi, v, **how)),
        *fields(ss.sample(family.structure, phi, (40,), generator=torch.Generator().manual_seed(0), **how)),
        ss.count(family.structure, phi, **how),
        ss.evaluate(family.structure, ss.SparsemaxSemiring(), phi, **how),
    ]


@every_long
@pytest.mark.parametrize("stretch", [1, 100, 1000])
def test_the_length_of_a_stretch_changes_nothing(family: Family, stretch: int, monkeypatch: pytest.MonkeyPatch):
    expected = everything(family)
    monkeypatch.setattr(local, "STRETCH", stretch)
    for one, other in zip(everything(family), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


class Mirrored(ss.DynamicProgram):
    """Each state from the one before turned around; in a turn of its loop one row reads what the other has written."""

    event_dim = 2

    def inside(self, p, table):
        n, c = table.shape
        state = p.chart(n, c)
        state[0] = table[0].sum(0) * table[0]
        for i in range(1, n):
            state[i] = (state[i - 1, ::-1] * table[i]).sum(0) * table[i]
        return state[p.length - 1].sum(-1)


@pytest.mark.parametrize("n", range(1, 8))
def test_a_row_sees_turned_around_what_another_row_of_its_turn_wrote(n: int):
    table = torch.randn(n, 2, dtype=torch.float64)
    state = table[0].logsumexp(0) + table[0]
    for row in table[1:]:
        state = (state.flip(0) + row).logsumexp(0) + row
    torch.testing.assert_close(ss.log_partition(Mirrored(), table), state.logsumexp(0))


@every_long
def test_draws_from_a_table_are_draws_without_one(family: Family, monkeypatch: pytest.MonkeyPatch):
    phi, lengths = family.draw((2,), seed=2, forbidden=0.05), family.lengths(2, seed=2)

    def drawn() -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(1)
        return fields(ss.sample(family.structure, phi, (400,), generator=generator, lengths=lengths))

    tabled = drawn()
    monkeypatch.setattr(paths, "TABLE_BYTES", 0)
    assert all(torch.equal(one, other) for one, other in zip(drawn(), tabled, strict=True))


@every_long
def test_single_precision_is_near_double(family: Family):
    phi = family.kind(*(field.float() for field in fields(family.draw((3,), seed=3, scale=3.0))))
    exact = family.kind(*(field.double() for field in fields(phi)))
    for query in (ss.log_partition, ss.max_score, ss.entropy):
        one, other = query(family.structure, phi), query(family.structure, exact)
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)
    pairs = zip(fields(ss.marginals(family.structure, phi)), fields(ss.marginals(family.structure, exact)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)


class Picky(Machine):
    """Takes nothing, and says why."""

    name = "picky"

    def refuse(self, program: Any, reduction: Any, device: Any) -> str | None:
        return "not today"


def test_a_machine_that_refuses_is_passed_over_and_its_reason_shown(monkeypatch: pytest.MonkeyPatch):
    Picky.__abstractmethods__ = frozenset()
    monkeypatch.delenv(machine.SWITCH)
    monkeypatch.setattr(machine, "_MACHINES", [Picky(), Eager()])  # type: ignore[abstract]
    plan = ss.explain(ss.SpanTree(), torch.zeros(3, 3), "marginals")
    assert plan.executor == Eager.name
    assert plan.refused == {"picky": "not today"}
    assert "not today" in str(plan)
    assert ss.log_partition(ss.SpanTree(), torch.zeros(3, 3)).isfinite()


def test_the_switch_names_the_only_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(machine.SWITCH, "eager")
    assert ss.log_partition(ss.SpanTree(), torch.zeros(3, 3)).isfinite()
    monkeypatch.setenv(machine.SWITCH, "nothing")
    with pytest.raises(ValueError, match=r"'nothing'.*eager"):
        ss.log_partition(ss.SpanTree(), torch.zeros(3, 3))


def test_a_job_is_given_fields_of_unit_stride_within_an_instance():
    """Windows count in entries: CTC's blanks, a strided view of the frames, would be read at the wrong places."""
    door = open_door(ss.CTC(torch.tensor([1, 2])), torch.randn(2, 5, 3, dtype=torch.float64), None)
    reduction = ss.LogSemiring().reduction
    assert reduction is not None
    strided = [f.reshape(f.shape[0], -1) for f in door.flat]
    with pytest.raises(RuntimeError, match="unit stride"):
        Job(door.program, reduction, strided, door.lengths)
    job = Job(door.program, reduction, [flat(f) for f in door.flat], door.lengths)
    torch.testing.assert_close(Eager().total(job)[0], ss.log_partition(door.structure, door.fields[0]))
