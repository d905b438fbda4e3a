"""The CPU machine against the eager one: values, charts, gradients of both orders, for every reduction it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import Cpu, Eager, Job
from semiring_struct.executors.cpu import columns, lanes
from semiring_struct.executors.matrix import products
from semiring_struct.executors.operators import flat
from semiring_struct.inference.door import open_door
from tests.programs.random_programs import Chain, potentials, programs
from tests.programs.unshipped import Nussinov
from tests.structures.families import (
    FAMILIES,
    Family,
    alignment,
    chain,
    grammar,
    heads,
    low_rank_grammar,
    segments,
    spans,
)  # fmt: skip

CPU, EAGER = Cpu(), Eager()
SEMIRINGS = (
    ss.LogSemiring(), ss.MaxSemiring(), ss.SoftmaxSemiring(0.7), ss.SparsemaxSemiring(0.8), ss.EntmaxSemiring(1.5),
    ss.EntmaxSemiring(1.2, 2.0), ss.EntmaxSemiring(3.0, 0.5),
)  # fmt: skip
LARGE = (
    chain(11, 19), chain(40, 5), chain(5, 33), chain(11, 19, tied=True), segments(14, 5, 6), spans(17), spans(9, 5),
    heads(13), heads(9, single_root=True), alignment(8, 17), grammar(7, 5, 6), grammar(6, 9, 4, spans=True),
    low_rank_grammar(6, 4, 5, 6),
)  # fmt: skip


class Deep(ss.DynamicProgram):
    """More loops over cells, and more summed dims, than the machine has: it spells out the rest."""

    event_dim = (5, 5)

    def inside(self, p, left, right):
        chart = p.chart(2, 3, 3, 3, 2)
        chart[0, :, ::2, :, 0] = left[1, :, ::2, :, 0] * right[0, :, ::2, :, 1]
        chart[1] = left[0].permute(2, 1, 0, 3) * right[1]
        chart[0, :, 1, :, 1] = (left[:, :, None, ::-1, 0] * right.permute(0, 2, 3, 1, 4)[..., ::-1]).sum((0, 2, 4))
        return (chart.permute(0, 2, 1, 3, 4) * left[:, ::-1]).sum((0, 1, 2, 3, 4))


def job_of(structure: Any, phi: Any, semiring: ss.Semiring, lengths: Any = None, seed: int = 0) -> Job:
    door = open_door(structure, phi, lengths)
    fields = [flat(f) for f in door.flat]
    assert semiring.reduction is not None
    return Job(door.program, semiring.reduction, fields, door.lengths, seed)


def near(one: Any, other: Any, tolerance: float) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype or tolerance < 1e-8
        torch.testing.assert_close(a.double(), b.double(), rtol=tolerance, atol=tolerance)


def compare(job: Job, tolerance: float = 1e-9) -> None:
    """Everything that the two machines compute of a job."""
    assert CPU.refuse(job.program, job.reduction, torch.device("cpu")) is None
    one, other = CPU.total(job), EAGER.total(job)
    near(one, other, tolerance)
    generator = torch.Generator().manual_seed(job.seed)
    seed = torch.randn(one[0].shape, dtype=torch.float64, generator=generator)
    tangents = [torch.randn(f.shape, dtype=f.dtype, generator=generator) for f in job.fields]
    near(CPU.gradient(job, one[1], seed), EAGER.gradient(job, other[1], seed), 3 * tolerance)
    value, slopes = CPU.total_and_gradient(job)
    near([value, *slopes], [one[0], *EAGER.gradient(job, other[1], torch.ones_like(one[0]))], 3 * tolerance)
    bent = [run.curvature(job, charts, seed, tangents) for run, charts in ((CPU, one[1]), (EAGER, other[1]))]
    near(*bent, 10 * tolerance)


# fewer than are worked on side by side; a full group of lanes and a short one
BATCHES = (3, 11)


def drawn(family: Family, seed: int, batch: int, **how: float) -> Any:
    return family.draw((batch,), seed=seed, **how), family.lengths(batch, seed=seed)


@pytest.mark.parametrize("semiring", SEMIRINGS, ids=str)
@pytest.mark.parametrize("forbidden", [0.0, 0.3, 0.9])
def test_shipped_structures(semiring: ss.Semiring, forbidden: float):
    sided = isinstance(semiring, ss.LogSemiring | ss.SoftmaxSemiring | ss.MaxSemiring)
    slow = isinstance(semiring, ss.EntmaxSemiring) and semiring.alpha != 1.5
    some = (*FAMILIES, *LARGE) if forbidden == 0.3 and sided else LARGE[forbidden > 0.5 :: 2] if slow else LARGE
    for seed, family in enumerate(some):
        for batch in BATCHES if sided else BATCHES[:1]:
            phi, lengths = drawn(family, seed, batch, forbidden=forbidden)
            compare(job_of(family.structure, phi, semiring, lengths))


@pytest.mark.parametrize("family", LARGE, ids=str)
def test_single_precision(family: Family):
    for batch in BATCHES:
        phi, lengths = drawn(family, 1, batch, scale=2.0, forbidden=0.1)
        single = family.kind(*(f.float() for f in (phi if isinstance(phi, tuple) else (phi,))))
        for semiring in SEMIRINGS[:4]:
            compare(job_of(family.structure, single, semiring, lengths), 5e-5)


@settings(max_examples=60)
@given(structure=programs, size=st.integers(2, 6), seed=st.integers(0, 1000))
@example(structure=Chain(("total", ("state",)), ("total", ("reversed",)), None), size=5, seed=0)
def test_random_programs(structure: Any, size: int, seed: int):
    for pairs in (1, 5):
        drawn = [potentials(structure, size, seed + i) for i in range(pairs)]
        phi = type(drawn[0])(*(torch.cat(fields) for fields in zip(*drawn, strict=True)))
        for semiring in SEMIRINGS[:3]:
            compare(job_of(structure, phi, semiring, torch.tensor([size, 1] * pairs)))


@pytest.mark.parametrize("family", LARGE, ids=str)
def test_chances_may_be_too_many_to_keep(family: Family, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(columns, "KEPT_BYTES", 0)
    buffers = pytest.importorskip("semiring_struct.executors.cpu.lanes.state")._buffers
    buffers.cache_clear()
    for batch in BATCHES:
        phi, lengths = drawn(family, 2, batch, forbidden=0.3)
        compare(job_of(family.structure, phi, ss.LogSemiring(), lengths))
    buffers.cache_clear()


def test_more_dims_than_loops():
    generator = torch.Generator().manual_seed(0)
    phi = tuple(torch.randn(3, 2, 3, 3, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    for semiring in SEMIRINGS[:3]:
        compare(job_of(Deep(), phi, semiring))


def test_a_structure_of_ones_own():
    phi = torch.randn(3, 9, 9, dtype=torch.float64)
    for semiring in SEMIRINGS[:3]:
        compare(job_of(Nussinov(), phi, semiring, torch.tensor([9, 4, 0])))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", LARGE, ids=str)
def test_large_potentials(family: Family, kind: torch.dtype):
    for batch in BATCHES:
        phi, lengths = drawn(family, 2, batch, scale=1e4, forbidden=0.2)
        phi = family.kind(*(f.to(kind) for f in (phi if isinstance(phi, tuple) else (phi,))))
        job = job_of(family.structure, phi, ss.LogSemiring(), lengths)
        value, charts = CPU.total(job)
        torch.testing.assert_close(value, EAGER.total(job)[0], rtol=1e-7, atol=1e-7)
        slopes = CPU.gradient(job, charts, torch.ones_like(value))
        assert all(s.isfinite().all() and (s >= 0).all() for s in slopes)
        bent = CPU.curvature(job, charts, torch.ones_like(value), [torch.ones_like(f) for f in job.fields])
        assert all(b.isfinite().all() for b in bent)


def repeated(family: Family, semiring: ss.Semiring, copies: int, seed: int) -> tuple[Job, Job]:
    """One instance many times over, under a noisy semiring and under the log semiring."""
    phi = family.draw((1,), seed=seed, forbidden=0.1)
    job = job_of(family.structure, phi, semiring, seed=seed)
    fields = [f.expand(copies, -1) for f in job.fields]
    many = replace(job, fields=fields, lengths=job.lengths.expand(copies, -1))
    return many, replace(job, reduction=ss.LogSemiring().reduction)


@pytest.mark.statistical
@pytest.mark.parametrize("family", [chain(4, 3), spans(5), heads(4)], ids=str)
def test_draws_have_the_marginals(family: Family):
    """Each mean lies within 5.5 standard errors: a right sampler fails with chance below 1e-5 for all entries."""
    copies = 8000
    job, exact = repeated(family, ss.SampleSemiring(), copies, 5)
    value, charts = CPU.total(job)
    draws = CPU.gradient(job, charts, torch.ones(copies, dtype=torch.float64))
    log_z, expected = EAGER.total(exact)
    torch.testing.assert_close(value, log_z.expand(copies))
    for d, m in zip(draws, EAGER.gradient(exact, expected, torch.ones_like(log_z)), strict=True):
        assert ((d == 0) | (d == 1)).all()
        error = (m[0] * (1 - m[0]) / copies).clamp_min(0).sqrt()
        assert ((d.mean(0) - m[0]).abs() <= 5.5 * error + 1e-12).all()
    again = CPU.gradient(job, charts, torch.ones(copies, dtype=torch.float64))
    other = CPU.gradient(replace(job, seed=6), charts, torch.ones(copies, dtype=torch.float64))
    assert all(torch.equal(a, d) for a, d in zip(again, draws, strict=True))
    assert not all(torch.equal(a, d) for a, d in zip(other, draws, strict=True))


@pytest.mark.parametrize("family", [chain(4, 3), spans(5)], ids=str)
def test_relaxed_draws_and_their_derivative(family: Family):
    job, _ = repeated(family, ss.GumbelSoftmaxSemiring(0.7), 3, 7)
    job = replace(job, fields=[torch.where(f.isfinite(), f, 0.0) for f in job.fields])
    seed = torch.randn(3, dtype=torch.float64)
    tangents = [torch.randn_like(f) for f in job.fields]

    def slopes(move: float) -> list[Tensor]:
        moved = replace(job, fields=[f + move * t for f, t in zip(job.fields, tangents, strict=True)])
        return CPU.gradient(moved, CPU.total(moved)[1], seed)

    charts = CPU.total(job)[1]
    bent = CPU.curvature(job, charts, seed, tangents)[1:]
    for b, up, down in zip(bent, slopes(1e-5), slopes(-1e-5), strict=True):
        torch.testing.assert_close(b, (up - down) / 2e-5, rtol=1e-5, atol=1e-7)
    hard = replace(job, reduction=ss.GumbelSoftmaxSemiring(0.7, hard=True).reduction)
    chosen = CPU.gradient(hard, charts, torch.ones_like(seed))
    assert all(((c == 0) | (c == 1)).all() for c in chosen)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("run", [CPU, EAGER], ids=["cpu", "eager"])
def test_nothing_moves_where_there_is_no_structure(run: Any, hard: bool):
    phi = torch.randn(2, 4, 4).double()
    phi[0, 0, 3] = -torch.inf  # the whole sentence
    job = job_of(ss.SpanTree(labelled=False), phi, ss.GumbelSoftmaxSemiring(0.7, hard=hard), seed=3)
    value, charts = run.total(job)
    seed, tangents = torch.ones_like(value), [torch.randn_like(f) for f in job.fields]
    slopes = run.gradient(job, charts, seed)
    bent = run.curvature(job, charts, seed, tangents)[1:]
    assert value[0] == -torch.inf and not slopes[0][0].any() and not bent[0][0].any()
    assert slopes[0][1].any() and bent[0][1].any()


@pytest.mark.parametrize("labels", [19, 33])
def test_threads_change_nothing(labels: int):
    family = chain(11, labels)
    phi = family.draw((4,), seed=3)
    job = job_of(family.structure, tuple(f.repeat(16, *[1] * (f.dim() - 1)) for f in phi), ss.LogSemiring())
    seed = torch.ones(64, dtype=torch.float64)

    def both() -> list[Tensor]:
        value, charts = CPU.total(job)
        return [value, charts, *CPU.gradient(job, charts, seed)]

    alone = both()
    torch.set_num_threads(3)
    try:
        shared = both()
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def _poisoned(make: Callable) -> Callable:
    """What it makes of numbers is NaN until it is written."""

    def made(*args: Any, **how: Any) -> Any:
        fresh = make(*args, **how)
        if fresh.dtype in (torch.float32, torch.float64, np.float32, np.float64):
            fresh[...] = np.nan
        return fresh

    return made


@pytest.mark.parametrize("family", LARGE, ids=str)
def test_nothing_is_read_before_it_is_written(family: Family, monkeypatch: pytest.MonkeyPatch):
    def everything(job: Job) -> list[Tensor]:
        value, charts = CPU.total(job)
        seed, tangents = torch.ones_like(value), [torch.ones_like(f) for f in job.fields]
        both = CPU.total_and_gradient(job)
        return [value, *CPU.gradient(job, charts, seed), *CPU.curvature(job, charts, seed, tangents), both[0], *both[1]]

    for batch in BATCHES:
        phi, lengths = drawn(family, 5, batch, forbidden=0.2)
        for semiring in SEMIRINGS[:4]:
            job = job_of(family.structure, phi, semiring, lengths)
            expected = everything(job)
            with monkeypatch.context() as poison:
                poison.setattr(torch, "empty", _poisoned(torch.empty))
                poison.setattr(np, "empty", _poisoned(np.empty))
                found = everything(job)
            assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True))


def test_side_by_side_where_rows_are_small():
    def whether(family: Family, semiring: ss.Semiring, batch: int = 4) -> bool:
        return lanes.fit(job_of(family.structure, family.draw((batch,), seed=0), semiring))

    assert whether(chain(9, 8), ss.LogSemiring()) and whether(spans(7), ss.MaxSemiring())
    assert whether(chain(9, 40, tied=True), ss.LogSemiring())            # a product of matrices
    assert not whether(chain(9, 40), ss.LogSemiring())                   # its steps fill vectors
    assert not whether(chain(9, 40), ss.MaxSemiring())
    assert whether(chain(9, 40, tied=True), ss.MaxSemiring()) and not whether(chain(9, 64, tied=True), ss.MaxSemiring())
    assert not whether(chain(9, 8), ss.LogSemiring(), batch=3)
    assert not whether(chain(9, 8), ss.SparsemaxSemiring())


@pytest.mark.parametrize(("threads", "batches"), [(1, (4, 8, 9, 32)), (2, (8, 16, 32)), (16, (64, 256))])
def test_side_by_side_unless_that_keeps_threads_waiting(
    threads: int, batches: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    def whether(batch: int) -> bool:
        phi = ss.ChainPotentials(torch.zeros(batch, 400, 8), torch.zeros(batch, 399, 8, 8))
        return lanes.fit(job_of(ss.LinearChain(), phi, ss.LogSemiring()))

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert all(whether(b) for b in batches)
    assert not any(whether(b) for b in (2, 4, 8, 32) if b < batches[0])


def test_products_are_found_where_they_pay():
    def count(family: Family) -> int:
        return len(products(job_of(family.structure, family.draw((1,), seed=0), ss.LogSemiring()).program))

    assert count(chain(11, 19, tied=True)) == 1                      # one matrix for all steps
    assert count(chain(11, 19)) == count(spans(17)) == 0             # as many exponentials as products
    assert count(grammar(9, 12, 12)) > 5


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", [chain(11, 19, tied=True), grammar(7, 5, 6)], ids=str)
def test_sums_that_underflow_are_done_again(family: Family, kind: torch.dtype):
    """Potentials so far apart that no exponential of one side meets its partner's: 100 to 1000 digits."""
    for batch in BATCHES:
        phi, lengths = drawn(family, 4, batch, scale=300.0)
        phi = family.kind(*(f.to(kind) for f in phi))
        compare(job_of(family.structure, phi, ss.LogSemiring(), lengths), 2e-3 if kind == torch.float32 else 1e-9)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_field_shared_by_the_batch_is_read_where_it_lies(batch: int):
    phi = ss.ChainPotentials(torch.randn(batch, 9, 6).double(), torch.randn(1, 6, 6).double())
    expanded = ss.ChainPotentials(phi.emission, phi.transition.expand(batch, 1, 6, 6))
    compare(job_of(ss.LinearChain(), expanded, ss.LogSemiring()))
    strange = expanded.transition.clone()
    strange[batch - 1, 0, 2, 2] = torch.inf
    with pytest.raises(ValueError, match="transition holds NaN"):
        CPU.total(job_of(ss.LinearChain(), ss.ChainPotentials(phi.emission, strange), ss.LogSemiring()))


def test_a_field_shared_by_the_batch_may_be_read_once():
    emission, transition = torch.randn(1, 9, 6).double(), torch.randn(1, 8, 6, 6).double()
    phi = ss.ChainPotentials(emission.expand(19, 9, 6), transition.expand(19, 8, 6, 6))
    job = job_of(ss.LinearChain(), phi, ss.LogSemiring(), torch.arange(19) % 10)
    assert all(job.program.reads_once(i) for i in range(2)) and all(f.stride(0) == 0 for f in job.fields)
    compare(job)


@pytest.mark.parametrize("family", [chain(11, 7), alignment(8, 17), segments(14, 5, 6), heads(13)], ids=str)
def test_what_no_instance_reaches_has_no_slope(family: Family):
    short = tuple(torch.arange(8) % 4 for _ in family.sizes)
    phi = family.draw((8,), seed=5)
    compare(job_of(family.structure, phi, ss.LogSemiring(), short[0] if len(short) == 1 else short))


def test_a_table_with_lines_kept_apart(monkeypatch: pytest.MonkeyPatch):
    phi = ss.AlignmentPotentials(torch.randn(5, 6, 64), torch.randn(5, 6, 65), torch.randn(5, 7, 64))
    found = {}
    for machine in ("cpu", "eager"):
        monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", machine)
        lengths = torch.tensor([6, 3, 5, 0, 6]), torch.tensor([64, 64, 2, 9, 0])
        labels = ss.argmax(ss.Alignment(), phi, lengths=lengths, labels=True)
        found[machine] = [ss.log_partition(ss.Alignment(), phi, lengths), *ss.marginals(ss.Alignment(), phi, lengths)]
        found[machine] += [labels]
    near(found["cpu"], found["eager"], 1e-4)


def test_queries_run_on_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "cpu")
    phi = torch.randn(2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert ss.explain(ss.SpanTree(), phi).executor == "cpu"

    def marginals(x: Tensor) -> Tensor:
        return ss.marginals(ss.SpanTree(), x)

    assert torch.autograd.gradcheck(marginals, phi)
    assert torch.autograd.gradgradcheck(lambda x: ss.log_partition(ss.SpanTree(), x), phi)
    with pytest.raises(ValueError, match="span holds NaN"):
        ss.log_partition(ss.SpanTree(), torch.full((3, 3), torch.nan))


@pytest.mark.parametrize("batch", [1, 3, 5, 8, 11])
def test_a_gradient_may_be_of_another_batch_than_its_total(batch: int, monkeypatch: pytest.MonkeyPatch):
    """Jacobians map the backward pass alone, so that charts meet as many instances as there are rows."""
    phi = torch.randn(batch, 4, 4, dtype=torch.float64)

    def total(x: Tensor) -> Tensor:
        return ss.log_partition(ss.SpanTree(labelled=False), x)

    found = {}
    for machine in ("cpu", "eager"):
        monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", machine)
        found[machine] = [torch.func.jacrev(total)(phi)]
    near(found["cpu"], found["eager"], 1e-9)
