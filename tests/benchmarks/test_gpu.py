"""The GPU script without a GPU: what fails is reported and does not stop it; a rehearsal in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import semiring_struct as ss
from benchmarks import gpu
from benchmarks.cases import Case, parse
from semiring_struct.executors import Eager

ROOT = Path(__file__).resolve().parents[2]
CHAIN = Case("chain", (2, 3, 2))


class Broken(gpu.Timing):
    """A line that raises."""

    def run(self, place: gpu.Place) -> dict:
        raise RuntimeError("no such device\nnowhere")


class Measured(gpu.Timing):
    """A line whose result is known."""

    def run(self, place: gpu.Place) -> dict:
        return {"cuda": 1.0, "eager": 2.0}


def test_a_line_that_fails_says_so_and_the_next_one_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = [Broken(CHAIN, "log", "forward"), Measured(CHAIN, "max", "forward")]
    monkeypatch.setattr(gpu, "lines", lambda cases, place: iter(given))
    report = gpu.run(["chain"], gpu.Place("cpu"), tmp_path)
    assert [x["name"] for x in report.failed] == ["chain:2x3x2, log, forward"]
    page = (tmp_path / "gpu.md").read_text()
    assert "| chain:2x3x2, max, forward | 1.000 | 2.000 | 2.0 |" in page
    assert "- chain:2x3x2, log, forward: RuntimeError: nowhere" in page
    assert len(json.loads((tmp_path / "gpu.json").read_text())["lines"]) == 2


def test_what_would_begin_too_late_is_left_out_by_name(tmp_path: Path):
    report = gpu.run(["chain:2x3x2"], gpu.Place("cpu"), tmp_path, budget=-1.0)
    assert not report.found and "chain:2x3x2, log, forward" in report.left_out
    assert "Left out for want of time" in (tmp_path / "gpu.md").read_text()


@pytest.mark.parametrize("name", gpu.CASES)
def test_the_reference_is_the_library_s_answer(name: str):
    """The job that both machines are given, run by the eager one; CTC's blanks are a strided view of its scores."""
    case = gpu.Place("cpu").checked(parse(name)[0])
    job = gpu.job_of(case, "log", torch.float64, "cpu")
    phi = case.potentials()
    wide = type(phi)(*(f.double() for f in phi)) if isinstance(phi, tuple) else phi.double()
    torch.testing.assert_close(Eager().total(job)[0], ss.log_partition(case.structure, wide))


@pytest.mark.exhaustive
@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_it_can_be_rehearsed(tmp_path: Path):
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--cases", "chain:2x3x2", "--out", str(tmp_path)]
    command += ["--seconds", "3600"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
