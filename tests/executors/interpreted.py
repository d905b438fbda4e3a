"""The CUDA machine's kernels, interpreted on the CPU, against the eager machine; run as a module of its own process.

Triton decides on import whether to interpret, so this cannot share a process with tests that compile.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

import semiring_struct as ss
from semiring_struct.executors import Cuda, Eager, Job
from semiring_struct.inference.door import open_door
from tests.executors.windows import Overlapping, Wide
from tests.structures.families import Family, alignment, chain, segments, spans

CUDA, EAGER = Cuda(), Eager()
SEMIRINGS = (ss.LogSemiring(), ss.MaxSemiring())


def job_of(structure: Any, phi: Any, semiring: ss.Semiring, lengths: Any = None) -> Job:
    door = open_door(structure, phi, lengths)
    assert semiring.reduction is not None
    return Job(door.program, semiring.reduction, [f.reshape(f.shape[0], -1) for f in door.flat], door.lengths)


def compare(job: Job, tolerance: float = 1e-9) -> None:
    value, charts = CUDA.total(job)
    expected, theirs = EAGER.total(job)
    near = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(value, expected, **near)
    torch.testing.assert_close(charts, theirs, **near)
    seed = torch.randn(value.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slopes = CUDA.gradient(job, charts, seed)
    for one, other in zip(slopes, EAGER.gradient(job, theirs, seed), strict=True):
        assert one.dtype == other.dtype and one.is_contiguous()
        torch.testing.assert_close(one, other, rtol=3 * tolerance, atol=3 * tolerance)
    for one, other in zip(slopes, CUDA.gradient(job, charts, seed), strict=True):
        assert torch.equal(one, other)


def shipped(families: list[Family]) -> None:
    """With forbidden parts, ties, full, short and empty instances."""
    for family in families:
        for semiring in SEMIRINGS:
            phi, lengths = family.draw((3,), seed=2, forbidden=0.3), family.lengths(3, seed=2)
            compare(job_of(family.structure, phi, semiring, lengths))
    tied = job_of(chain(3, 2).structure, chain(3, 2).kind(torch.zeros(1, 3, 2), torch.zeros(1, 2, 2, 2)), SEMIRINGS[1])
    compare(tied)


def windows() -> None:
    """Windows that name a cell several times, and more dims than the kernels have loops."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    wide = torch.randn(1, 2, 2, 2, 2, 2, generator=generator, dtype=torch.float64)
    for semiring in SEMIRINGS:
        compare(job_of(Overlapping(), x, semiring))
        compare(job_of(Wide(), wide, semiring))


def scale() -> None:
    """Single precision, and potentials of 1e4: nothing but finite slopes, charts that keep their digits."""
    family = chain(5, 3)
    phi = family.kind(*(f.float() for f in family.draw((2,), seed=3, forbidden=0.1)))
    compare(job_of(family.structure, phi, SEMIRINGS[0]), 5e-5)
    large = family.kind(*(f.float() for f in family.draw((2,), seed=4, forbidden=0.2, scale=1e4)))
    job = job_of(family.structure, large, SEMIRINGS[0])
    value, charts = CUDA.total(job)
    torch.testing.assert_close(value, EAGER.total(job)[0], rtol=1e-7, atol=1e-7)
    slopes = CUDA.gradient(job, charts, torch.ones_like(value))
    assert all(s.isfinite().all() and (s >= 0).all() for s in slopes)


def main() -> None:
    torch.set_num_threads(1)
    parts = {
        "shipped": lambda: shipped([chain(4, 3), spans(4)]),
        "others": lambda: shipped([chain(4, 2, tied=True), segments(4, 2, 2), alignment(2, 2)]),
        "windows": windows,
        "scale": scale,
    }
    for name in sys.argv[1:]:
        parts[name]()


if __name__ == "__main__":
    main()
