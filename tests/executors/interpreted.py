"""The CUDA machine's kernels, interpreted on the CPU, against the eager machine; run as a module of its own process.

Triton decides on import whether to interpret, so this cannot share a process with tests that compile. Buffers that are
made without being filled are full of NaN here.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import Cpu, Cuda, Eager, Job, Machine, matrix
from semiring_struct.executors.cuda import encode as encode_module
from semiring_struct.executors.cuda.encode import encode
from semiring_struct.executors.operators import flat
from semiring_struct.inference.door import open_door
from tests.executors.windows import Matrices, Overlapping, Wide
from tests.programs.random_programs import potentials, programs
from tests.structures.families import Family, alignment, chain, heads, low_rank_grammar, segments, spans

CUDA, EAGER = Cuda(), Eager()
PLAIN = (ss.LogSemiring(), ss.MaxSemiring())
SMOOTH = (
    ss.SoftmaxSemiring(0.7), ss.SparsemaxSemiring(0.8), ss.EntmaxSemiring(1.5), ss.EntmaxSemiring(1.2, 2.0),
    ss.EntmaxSemiring(3.0, 0.5),
)  # fmt: skip
NOISY = (ss.SampleSemiring(), ss.GumbelSoftmaxSemiring(0.7), ss.GumbelSoftmaxSemiring(0.7, hard=True))


def job_of(structure: Any, phi: Any, semiring: ss.Semiring, lengths: Any = None) -> Job:
    door = open_door(structure, phi, lengths)
    assert semiring.reduction is not None
    fields = [flat(f) for f in door.flat]
    return Job(door.program, semiring.reduction, fields, door.lengths, seed=5)


def near(one: Any, other: Any, tolerance: float) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype and a.is_contiguous()
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def compare(job: Job, tolerance: float = 1e-9, other: Machine = EAGER, bend: bool = True) -> list[Tensor]:
    """Totals, charts, gradients and what the Hessian does to tangents; returns the gradients."""
    one, two = CUDA.total(job), other.total(job)
    near(one, two, tolerance)
    generator = torch.Generator().manual_seed(1)
    seed = torch.randn(one[0].shape, dtype=torch.float64, generator=generator)
    slopes = CUDA.gradient(job, one[1], seed)
    near(slopes, other.gradient(job, two[1], seed), 3 * tolerance)
    if bend:
        tangents = [torch.randn(f.shape, dtype=f.dtype, generator=generator) for f in job.fields]
        bent = CUDA.curvature(job, one[1], seed, tangents)
        rise, *rest = other.curvature(job, two[1], seed, tangents)
        near(bent, [rise.to(bent[0].dtype), *rest], 10 * tolerance)
    return slopes


def repeated(job: Job) -> None:
    """The same gradients, bit by bit, when asked for again."""
    value, charts = CUDA.total(job)
    one, two = (CUDA.gradient(job, charts, torch.ones_like(value)) for _ in range(2))
    assert all(map(torch.equal, one, two))


def family(f: Family, semiring: ss.Semiring) -> Job:
    """With forbidden parts, and full, short and empty instances."""
    return job_of(f.structure, f.draw((3,), seed=2, forbidden=0.3), semiring, f.lengths(3, seed=2))


def full(f: Family, semiring: ss.Semiring) -> Job:
    """Two full instances with a few forbidden parts."""
    return job_of(f.structure, f.draw((2,), seed=2, forbidden=0.1), semiring)


def shipped(families: list[Family]) -> None:
    """Values and gradients of both orders, and ties."""
    for f in families:
        for semiring in PLAIN + SMOOTH:
            compare(family(f, semiring))
            assert any(x.any() for x in compare(full(f, semiring), bend=False))
    repeated(family(families[0], PLAIN[0]))
    tied = job_of(chain(3, 2).structure, chain(3, 2).kind(torch.zeros(1, 3, 2), torch.zeros(1, 2, 2, 2)), PLAIN[1])
    compare(tied)


def orders() -> None:
    """One structure under a reduction of each kind, second order included."""
    for semiring in (SMOOTH[0], SMOOTH[2]):
        assert all(x.any() for x in compare(full(chain(3, 2), semiring)))


def chains() -> None:
    """Loops that are chains, of an odd size, with matrices of their own or shared, in both dtypes."""
    for f in (chain(4, 3), chain(4, 3, tied=True)):
        assert encode(family(f, PLAIN[0]).program).chain == 16
        for semiring in (*PLAIN, SMOOTH[0]):
            compare(family(f, semiring), bend=False)
            assert all(x.any() for x in compare(full(f, semiring), bend=False))
        narrow = [x.float() for x in full(f, PLAIN[0]).fields]
        compare(replace(full(f, PLAIN[0]), fields=narrow), 5e-5, bend=False)
        repeated(full(f, PLAIN[0]))


def products() -> None:
    """Rows that are products of matrices, in one tile or several, certified or not, beside a row that is none."""
    generator = torch.Generator().manual_seed(0)
    for batch, n, both, side in ((1, 2, 1, 36), (1, 2, 2, 20)):
        x = torch.randn(batch, n, both, side, side, generator=generator, dtype=torch.float64)
        assert encode(job_of(Matrices(), x, PLAIN[0]).program).product > 0
        forbidden = x.masked_fill(torch.rand(x.shape, generator=generator) < 0.5, -torch.inf)
        compare(job_of(Matrices(), forbidden.float(), PLAIN[0]), 5e-5, bend=False)
    compare(job_of(Matrices(), 300 * forbidden, SMOOTH[0]), bend=False)
    repeated(job_of(Matrices(), x, PLAIN[0]))
    with_all_products()
    f = low_rank_grammar(3, 2, 2, 3)
    assert encode(full(f, PLAIN[0]).program).product > 0
    for job in (family(f, PLAIN[0]), full(f, SMOOTH[0])):
        compare(job, bend=False)


def with_all_products() -> None:
    """From here on, every row that can be a product is run as one, whatever it costs."""
    matrix.SAVING, encode_module.PADDING = 0, 1 << 30


def noisy(families: list[Family]) -> None:
    """Choices that read noise by its number are those of the machine on the CPU; totals have no noise in them."""
    for f in families:
        for semiring in NOISY:
            job = full(f, semiring)
            compare(job, other=Cpu())
            value, charts = CUDA.total(job)
            near((value, charts), EAGER.total(job), 1e-9)
            flat = replace(job, fields=[torch.zeros_like(x) for x in job.fields])
            charts = CUDA.total(flat)[1]
            drawn = [torch.cat(CUDA.gradient(replace(flat, seed=i), charts, torch.ones_like(value)), 1) for i in (5, 6)]
            assert all(d.any() for d in drawn) and not torch.equal(*drawn)
            if not isinstance(semiring, ss.GumbelSoftmaxSemiring) or semiring.hard:
                assert all(torch.equal(d, d.round()) for d in drawn)


def windows() -> None:
    """Windows that name a cell several times, and more dims than the kernels have loops."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    wide = torch.randn(1, 2, 2, 2, 2, 2, generator=generator, dtype=torch.float64)
    for semiring in PLAIN:
        compare(job_of(Overlapping(), x, semiring), bend=semiring is PLAIN[0])
        compare(job_of(Wide(), wide, semiring), bend=False)
    repeated(job_of(Overlapping(), x, PLAIN[0]))


def scale() -> None:
    """Single precision, and potentials of 1e4: nothing but finite slopes, charts that keep their digits."""
    f = chain(5, 3)
    phi = f.kind(*(x.float() for x in f.draw((2,), seed=3, forbidden=0.1)))
    compare(job_of(f.structure, phi, PLAIN[0]), 5e-5, bend=False)
    large = f.kind(*(x.float() for x in f.draw((2,), seed=4, forbidden=0.2, scale=1e4)))
    for semiring in (PLAIN[0], SMOOTH[1]):
        job = job_of(f.structure, large, semiring)
        value, charts = CUDA.total(job)
        torch.testing.assert_close(value, EAGER.total(job)[0], rtol=1e-7, atol=1e-7)
        slopes = CUDA.gradient(job, charts, torch.ones_like(value))
        assert all(s.isfinite().all() and (s >= 0).all() for s in slopes)


def random(examples: int, semirings: tuple[ss.Semiring, ...] = PLAIN + SMOOTH) -> None:
    """Random programs, each under a random reduction."""

    @settings(max_examples=examples, derandomize=True, deadline=None, database=None)
    @given(programs, st.sampled_from(semirings), st.integers(2, 3), st.integers(0, 1000))
    def run(program: Any, semiring: ss.Semiring, size: int, seed: int) -> None:
        compare(job_of(program, potentials(program, size, seed), semiring), 1e-8)

    run()


def poison() -> None:
    """From here on, whatever is left uninitialised holds NaN."""
    make = torch.empty

    def empty(shape: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        made = make(shape, dtype=dtype, device=device)
        return made.fill_(torch.nan) if made.is_floating_point() else made

    torch.empty = empty


def main() -> None:
    torch.set_num_threads(1)
    poison()
    parts = {
        "shipped": lambda: shipped([chain(4, 3), spans(4)]),
        "others": lambda: shipped([chain(4, 2, tied=True), segments(4, 2, 2), alignment(2, 2), heads(3)]),
        "orders": orders,
        "chains": chains,
        "products": products,
        "noisy": lambda: noisy([chain(2, 2)]),
        "more noise": lambda: noisy([spans(4), segments(4, 2, 2), alignment(2, 2)]),
        "windows": windows,
        "scale": scale,
        "random": lambda: random(3),
        "more random": lambda: random(60),
        "random products": lambda: (with_all_products(), random(120, (PLAIN[0], SMOOTH[0]))),
    }
    for name in sys.argv[1:]:
        parts[name]()


if __name__ == "__main__":
    main()
