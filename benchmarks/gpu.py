"""The CUDA machine beside the eager one on a GPU: checked first, then timed, in one call of under eight minutes.

    python -m benchmarks.gpu

writes `benchmarks/results/gpu.json` and `benchmarks/results/gpu.md`. It ends with an error where there is no GPU or no
Triton, and where a check fails.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from benchmarks.cases import Case, parse
from benchmarks.conditions import conditions
from benchmarks.contenders import version
from semiring_struct.executors import Cpu, Cuda, Eager, Job, Machine
from semiring_struct.executors.cuda import machine as cuda_machine
from semiring_struct.inference.door import open_door

RESULTS = Path(__file__).parent / "results"
BUDGET = 420.0  # seconds for everything; what would begin later is left out, by name
CHECKS = 240.0  # seconds of these for the checks: most go into compiling, a few seconds for each kernel and tile
PER_CALL = 2.0  # seconds for one contender at one case
CASES = ("chain", "tagger", "semi-markov", "spans", "projective", "alignment")
SEMIRINGS = {"log": ss.LogSemiring(), "max": ss.MaxSemiring()}
OTHERS = {
    "sparsemax": ss.SparsemaxSemiring(), "softmax": ss.SoftmaxSemiring(0.7), "entmax": ss.EntmaxSemiring(1.5),
    "sample": ss.SampleSemiring(), "gumbel": ss.GumbelSoftmaxSemiring(0.7),
    "gumbel hard": ss.GumbelSoftmaxSemiring(0.7, hard=True),
}  # fmt: skip
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def job_of(case: Case, semiring: ss.Semiring, kind: torch.dtype, device: str) -> Job:
    """The case's program, potentials of a dtype on a device."""
    phi = case.potentials()
    parts = [f.to(device, kind) for f in (phi if isinstance(phi, tuple) else (phi,))]
    door = open_door(case.structure, type(phi)(*parts) if isinstance(phi, tuple) else parts[0], None)
    if semiring.reduction is None:
        raise ValueError(f"{semiring} has no reduction")
    fields = [f.reshape(f.shape[0], -1) for f in door.flat]
    return Job(door.program, semiring.reduction, fields, door.lengths)


def both(machine: Machine, job: Job) -> list[Tensor]:
    """The total and its gradient."""
    value, charts = machine.total(job)
    return [value, *machine.gradient(job, charts, torch.ones_like(value))]


def everything(machine: Machine, job: Job) -> list[Tensor]:
    """The total, its gradient, and what its Hessian does to the gradient."""
    value, charts = machine.total(job)
    ones = torch.ones_like(value)
    slopes = machine.gradient(job, charts, ones)
    return [value, *slopes, *machine.curvature(job, charts, ones, slopes)]


def check(case: Case, name: str, kind: torch.dtype, warps: int) -> list[str]:
    """What is wrong at a small size: unlike the other machines on the CPU, or a second run."""
    small = Case(case.family, tuple(min(size, 9) for size in case.sizes))
    semiring = (SEMIRINGS | OTHERS)[name]
    there, here = job_of(small, semiring, kind, "cuda"), job_of(small, semiring, kind, "cpu")
    # the eager machine's noise is torch's own
    other = Cpu() if here.reduction.noisy else Eager()
    if other.refuse(here.program, here.reduction, torch.device("cpu")) is not None:
        return []
    expected = everything(other, here)
    found, again = (with_warps(warps, lambda: everything(Cuda(), there)) for _ in range(2))
    wrong = []
    if not all(torch.equal(a, b) for a, b in zip(found, again, strict=True)):
        wrong.append("two runs differ")
    for one, two in zip(found, expected, strict=True):
        if not torch.allclose(one.cpu().double(), two.double(), rtol=TOLERANCE[kind], atol=TOLERANCE[kind]):
            wrong.append(f"unlike the {other.name} machine")
    return [f"{small.name} {name} {kind} at {warps} warps: {what}" for what in wrong]


def checks(cases: list[Case]) -> list[tuple[Case, str, torch.dtype, int]]:
    """Log-sums of all families first; then, of the first family, everything else."""
    first, usual = cases[0], cuda_machine.WARPS
    found = [(case, "log", torch.float32, usual) for case in {c.family: c for c in cases}.values()]
    found += [(first, name, torch.float32, usual) for name in ("max", *OTHERS)]
    found += [(first, "log", torch.float32, warps) for warps in (1, 8)]
    return found + [(first, name, torch.float64, usual) for name in ("log", "max", *OTHERS)]


def with_warps(warps: int, call: Callable[[], list[Tensor]]) -> list[Tensor]:
    """A call with another number of warps per instance."""
    usual, cuda_machine.WARPS = cuda_machine.WARPS, warps
    try:
        return call()
    finally:
        cuda_machine.WARPS = usual


def milliseconds(call: Callable[[], Any]) -> float:
    """Median of a call on the GPU, the first (which compiles) left out."""
    call()
    torch.cuda.synchronize()
    times, end = [], time.monotonic() + PER_CALL
    while len(times) < 3 or (time.monotonic() < end and len(times) < 50):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def measure(case: Case, semiring: str) -> list[dict[str, Any]]:
    """One line per pass: times of both machines in milliseconds."""
    job = job_of(case, SEMIRINGS[semiring], torch.float32, "cuda")
    passes: dict[str, Callable[[Machine], Any]] = {
        "forward": lambda machine: machine.total(job),
        "forward and backward": lambda machine: both(machine, job),
    }
    lines = []
    for name, run in passes.items():
        ours, plain = (milliseconds(lambda m=m, run=run: run(m)) for m in (Cuda(), Eager()))
        lines.append({"case": case.name, "semiring": semiring, "pass": name, "cuda": ours, "eager": plain})
    return lines


def table(found: dict[str, Any]) -> str:
    """The Markdown page."""
    where = found["conditions"]
    lines = [
        "# The CUDA machine beside the eager one", "", f"{where['gpu']}, CUDA {where['cuda']}, {where['date']}.",
        f"{where['versions']}, triton {where['triton']}. float32, median milliseconds.", "",
        "| case | semiring | pass | cuda | eager | eager / cuda |", "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for x in found["times"]:
        ratio = x["eager"] / x["cuda"]
        lines.append(
            f"| {x['case']} | {x['semiring']} | {x['pass']} | {x['cuda']:.3f} | {x['eager']:.3f} | {ratio:.1f} |"
        )
    if found["left_out"]:
        lines += ["", f"Left out for want of time: {', '.join(found['left_out'])}."]
    return "\n".join(lines) + "\n"


def run(families: list[str]) -> dict[str, Any]:
    """Check every family, then time every case until the budget is spent."""
    start = time.monotonic()
    cases = [case for family in families for case in parse(family)]
    wrong: list[str] = []
    times: list[dict[str, Any]] = []
    left_out = []
    for case, name, kind, warps in checks(cases):
        if time.monotonic() - start > CHECKS:
            left_out.append(f"the check of {case.family} {name} {kind} at {warps} warps")
        else:
            wrong += check(case, name, kind, warps)
    if wrong:
        raise SystemExit("\n".join(["checks failed:", *wrong]))
    for case in cases:
        for semiring in SEMIRINGS:
            if time.monotonic() - start > BUDGET:
                left_out.append(f"{case.name} {semiring}")
            else:
                times += measure(case, semiring)
    where = {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "triton": version("triton")}
    return {"conditions": conditions() | where, "times": times, "left_out": left_out}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help="families or cases, as for python -m benchmarks")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for gpu.json and gpu.md")
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device is available: there is nothing to check or time")
    if find_spec("triton") is None:
        raise SystemExit("triton is not installed: pip install 'semiring-struct[cuda]'")
    found = run(given.cases.split(","))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "gpu.md").write_text(table(found))
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
