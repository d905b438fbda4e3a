"""The CUDA machine beside the eager one on a GPU: checked and timed, in one call of under eight minutes.

    python -m benchmarks.gpu

writes `benchmarks/results/gpu.json` and `benchmarks/results/gpu.md`, anew after every line: a line that fails says why,
and the next one begins. It ends with 1 where a check or a timing failed, and with an error where there is no GPU or no
Triton. `--rehearse` runs every line at tiny sizes in Triton's interpreter (TRITON_INTERPRET=1), without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
from semiring_struct.executors.operators import flat
from semiring_struct.inference.door import open_door

RESULTS = Path(__file__).parent / "results"
BUDGET = 420.0  # seconds after which no line begins; most go into compiling, a few for each kernel and shape of tiles
PATIENCE = 50.0  # seconds more, after which a line that hangs is given up, and the program with it
PER_CALL = 1.0  # seconds for one contender at one case
CASES = ("chain", "tagger", "pcfg", "spans", "semi-markov", "projective", "alignment", "ctc")
LOG, MAX = ss.LogSemiring(), ss.MaxSemiring()
OTHERS = {
    "sparsemax": ss.SparsemaxSemiring(), "softmax": ss.SoftmaxSemiring(0.7), "entmax": ss.EntmaxSemiring(1.5),
    "sample": ss.SampleSemiring(), "gumbel": ss.GumbelSoftmaxSemiring(0.7),
    "gumbel hard": ss.GumbelSoftmaxSemiring(0.7, hard=True),
}  # fmt: skip
SEMIRINGS: dict[str, ss.Semiring] = {"log": LOG, "max": MAX, **OTHERS}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@dataclass(frozen=True)
class Place:
    """Where kernels run, and on how large a case: a GPU, or the interpreter on the CPU."""

    device: str

    @property
    def rehearsed(self) -> bool:
        """Whether this is no GPU."""
        return self.device == "cpu"

    def checked(self, case: Case) -> Case:
        """A case of the size that checks are made at; grammars as large as their products need to be."""
        most = 3 if self.rehearsed else 12 if case.family == "pcfg" else 9
        return Case(case.family, tuple(min(size, most) for size in case.sizes))

    def timed(self, case: Case) -> Case:
        """A case of the size that is timed."""
        return case.tiny() if self.rehearsed else case

    def wait(self) -> None:
        """Until the device has nothing left to do."""
        if not self.rehearsed:
            torch.cuda.synchronize()


def job_of(case: Case, name: str, kind: torch.dtype, device: str) -> Job:
    """The case's program, potentials of a dtype on a device."""
    phi, semiring = case.potentials(), SEMIRINGS[name]
    parts = [f.to(device, kind) for f in (phi if isinstance(phi, tuple) else (phi,))]
    door = open_door(case.structure, type(phi)(*parts) if isinstance(phi, tuple) else parts[0], None)
    if semiring.reduction is None:
        raise ValueError(f"{semiring} has no reduction")
    fields = [flat(f) for f in door.flat]
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


@dataclass(frozen=True)
class Check:
    """A case at a small size, twice on the GPU and once by another machine on the CPU; with the second order or not."""

    case: Case
    semiring: str
    kind: torch.dtype = torch.float32
    warps: int = cuda_machine.WARPS
    bend: bool = False

    @property
    def name(self) -> str:
        """What is checked."""
        kind = str(self.kind).removeprefix("torch.")
        order = "second order" if self.bend else "gradient"
        return f"{self.case.family}, {self.semiring}, {kind}, {self.warps} warps, {order}"

    def run(self, place: Place) -> dict[str, Any]:
        """What is wrong: unlike the other machine, or unlike a second run."""
        case, ask = place.checked(self.case), everything if self.bend else both
        there, here = (job_of(case, self.semiring, self.kind, device) for device in (place.device, "cpu"))
        # the eager machine's noise is torch's own
        other = Cpu() if here.reduction.noisy else Eager()
        why = other.refuse(here.program, here.reduction, torch.device("cpu"))
        if why is not None:
            return {"found": f"not checked: {why}"}
        expected = ask(other, here)
        found, again = (with_warps(self.warps, lambda: ask(Cuda(), there)) for _ in range(2))
        wrong = []
        if not all(torch.equal(a, b) for a, b in zip(found, again, strict=True)):
            wrong.append("two runs differ")
        near = TOLERANCE[self.kind]
        for i, (one, two) in enumerate(zip(found, expected, strict=True)):
            one, two = one.cpu().double(), two.double()
            if not torch.allclose(one, two, rtol=near, atol=near):
                off = (one - two).abs().max().item()
                wrong.append(f"result {i} is off the {other.name} machine's by {off:.1e}")
        return {"failed": "; ".join(wrong)} if wrong else {"found": "right"}


@dataclass(frozen=True)
class Timing:
    """One case and pass of both machines, or of the CUDA machine's launches alone."""

    case: Case
    semiring: str
    what: str

    @property
    def name(self) -> str:
        """What is timed."""
        return f"{self.case.name}, {self.semiring}, {self.what}"

    def run(self, place: Place) -> dict[str, Any]:
        """Medians in milliseconds, the first call (which compiles) left out."""
        job = job_of(place.timed(self.case), self.semiring, torch.float32, place.device)
        if self.what == REPLAY:
            both(Cuda(), job)
            return {"cuda": milliseconds(captured(lambda: both(Cuda(), job)), place), "eager": None}
        ours, plain = (milliseconds(lambda m=m: PASSES[self.what](m, job), place) for m in (Cuda(), Eager()))
        return {"cuda": ours, "eager": plain}


def passes(place: Place) -> list[str]:
    """What is timed; without a GPU nothing can be captured."""
    return [*PASSES] if place.rehearsed else [*PASSES, REPLAY]


PASSES: dict[str, Callable[[Machine, Job], Any]] = {
    "forward": lambda machine, job: machine.total(job), "forward and backward": both,
}  # fmt: skip
REPLAY = "forward and backward, replayed from a graph"


def with_warps(warps: int, call: Callable[[], list[Tensor]]) -> list[Tensor]:
    """A call with another number of warps per instance."""
    usual, cuda_machine.WARPS = cuda_machine.WARPS, warps
    try:
        return call()
    finally:
        cuda_machine.WARPS = usual


def captured(call: Callable[[], Any]) -> Callable[[], None]:
    """The launches of a call, without the code that makes them."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def milliseconds(call: Callable[[], Any], place: Place) -> float:
    """Median of a call by the clock on the wall, until the device is done."""
    call()
    place.wait()
    times: list[float] = []
    end = time.monotonic() + PER_CALL
    while not times or (time.monotonic() < end and len(times) < (1 if place.rehearsed else 50)):
        start = time.perf_counter()
        call()
        place.wait()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def lines(cases: list[Case], place: Place) -> Iterator[Check | Timing]:
    """In order of what is most worth knowing: log-sums of all families, their times, everything else, maxima."""
    firsts = list({case.family: case for case in reversed(cases)}.values())[::-1]
    yield from (Check(case, "log") for case in firsts)
    for name in ("log", "max"):
        yield from (Timing(case, name, what) for case in cases for what in passes(place))
        if name == "log":
            yield from (Check(firsts[0], "log", warps=warps) for warps in (1, 8))
            yield from (Check(case, "max") for case in firsts)
            yield from (Check(firsts[0], other, bend=True) for other in SEMIRINGS)
    yield from (Check(firsts[0], other, torch.float64, bend=True) for other in SEMIRINGS)
    yield from (Check(case, "log", torch.float64, bend=True) for case in firsts[1:])


@dataclass
class Report:
    """What is known so far, written to a folder after every line."""

    folder: Path
    where: dict[str, Any]
    found: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The lines that went wrong."""
        return [x for x in self.found if "failed" in x]

    def add(self, line: Check | Timing, result: dict[str, Any], seconds: float) -> None:
        """A line's result."""
        kind = "check" if isinstance(line, Check) else "time"
        self.found.append({"line": kind, "name": line.name, "seconds": round(seconds, 1), **result})
        self.write()

    def write(self) -> None:
        """Both files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        known = {"conditions": self.where, "lines": self.found, "left_out": self.left_out}
        (self.folder / "gpu.json").write_text(json.dumps(known, indent=1) + "\n")
        (self.folder / "gpu.md").write_text(self.page())

    def page(self) -> str:
        """The Markdown page."""
        where, checks = self.where, [x for x in self.found if x["line"] == "check"]
        versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items() if v not in (None, "not installed"))
        rows = [
            "# The CUDA machine beside the eager one", "", f"{where['gpu']}, CUDA {where['cuda']}, {where['date']}.",
            f"{versions}, triton {where['triton']}. float32, median milliseconds.", "",
            "| case | cuda | eager | eager / cuda |", "| --- | --- | --- | --- |",
        ]  # fmt: skip
        for x in self.found:
            if "cuda" in x:
                plain = "| |" if x["eager"] is None else f"{x['eager']:.3f} | {x['eager'] / x['cuda']:.1f} |"
                rows.append(f"| {x['name']} | {x['cuda']:.3f} | {plain}")
        rows += ["", "| check | result | seconds |", "| --- | --- | --- |"]
        rows += [f"| {x['name']} | {x.get('found', 'wrong')} | {x['seconds']} |" for x in checks]
        for title, names in (
            ("Failed", [f"{x['name']}: {x['failed']}" for x in self.failed]),
            ("Left out for want of time", self.left_out),
        ):
            if names:
                rows += ["", f"{title}:", "", *(f"- {name}" for name in names)]
        return "\n".join(rows) + "\n"


def attempt(line: Check | Timing, place: Place) -> dict[str, Any]:
    """A line's result, or how it failed."""
    try:
        return line.run(place)
    except Exception as e:  # whatever happens is what this line has to report
        said = str(e).strip().splitlines() or [""]
        return {"failed": f"{type(e).__name__}: {said[-1][:300]}"}


def usable(place: Place) -> bool:
    """Whether the device still answers; after a fault it does not, in this process."""
    try:
        place.wait()
    except RuntimeError:
        return False
    return True


def watch(report: Report, now: list[str], budget: float) -> threading.Timer:
    """End the process should a line hang, with what is known by then."""

    def give_up() -> None:
        report.found.append({"line": "check", "name": now[0], "seconds": PATIENCE, "failed": "did not come back"})
        report.write()
        os._exit(1)

    timer = threading.Timer(budget + PATIENCE, give_up)
    timer.daemon = True
    timer.start()
    return timer


def run(families: list[str], place: Place, folder: Path, budget: float = BUDGET) -> Report:
    """Every line in turn until the budget is spent or the device gone."""
    start, now = time.monotonic(), [""]
    gpu = "no GPU: kernels interpreted" if place.rehearsed else torch.cuda.get_device_name()
    where = conditions() | {"gpu": gpu, "cuda": torch.version.cuda, "triton": version("triton")}
    report = Report(folder, where)
    timer, gone = watch(report, now, budget), False
    for line in lines([case for family in families for case in parse(family)], place):
        began = time.monotonic()
        if gone or began - start > budget:
            report.left_out.append(line.name)
            continue
        now[0] = line.name
        report.add(line, attempt(line, place), time.monotonic() - began)
        print(f"{time.monotonic() - start:6.1f} s  {json.dumps(report.found[-1])}", flush=True)
        gone = not usable(place)
    timer.cancel()
    report.write()
    return report


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help="families or cases, as for python -m benchmarks")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for gpu.json and gpu.md")
    parser.add_argument("--seconds", type=float, default=BUDGET, help="after which no line begins")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes in Triton's interpreter, on the CPU")
    given = parser.parse_args(arguments)
    if find_spec("triton") is None:
        raise SystemExit("triton is not installed: pip install 'semiring-struct[cuda]'")
    if given.rehearse and os.environ.get("TRITON_INTERPRET") != "1":
        raise SystemExit("a rehearsal needs TRITON_INTERPRET=1")
    if not given.rehearse and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is available: there is nothing to check or time")
    report = run(given.cases.split(","), Place("cpu" if given.rehearse else "cuda"), given.out, given.seconds)
    sys.stdout.write(report.page())
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
