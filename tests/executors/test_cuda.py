"""The CUDA machine without a GPU: kernels interpreted and compiled offline, in processes of their own; its choice."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import semiring_struct as ss
from semiring_struct.executors import Cuda
from semiring_struct.executors.cuda.encode import TILE, encode, shape_of_tiles, ways
from semiring_struct.inference.door import open_door
from tests.executors.windows import Overlapping

ROOT = Path(__file__).resolve().parents[2]
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
REGISTERS, STACK, SHARED = 255, 64, 4096


def alone(module: str, *words: str, interpret: bool = False) -> str:
    """Run a module of the tests in a process of its own and return what it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | ({"TRITON_INTERPRET": "1"} if interpret else {})
    command = [sys.executable, "-m", f"tests.executors.{module}", *words]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@needs_triton
def test_interpreted_kernels_agree_with_eager():
    alone("interpreted", "scale", "windows", interpret=True)


@needs_triton
@pytest.mark.exhaustive
def test_interpreted_kernels_agree_with_eager_on_shipped_structures():
    alone("interpreted", "shipped", "others", interpret=True)


def within_budget(printed: str) -> None:
    for line in printed.splitlines():
        registers, stack, shared = map(int, line.split())
        assert registers <= REGISTERS and stack <= STACK and shared <= SHARED


@needs_triton
def test_compiles_for_sm_90():
    within_budget(alone("compiled", "forward-fp32-log", "forward-fp32-max"))


@needs_triton
@pytest.mark.exhaustive
def test_all_kernels_compile_for_sm_90():
    names = [f"{n}-{k}-{r}" for n in ("forward", "reverse") for k in ("fp32", "fp64") for r in ("log", "max")]
    within_budget(alone("compiled", *names))


def test_lanes_own_their_cells():
    """Lanes of a sliding window never meet: what overlaps is run through one after the other."""
    assert ways([1, 1, 4, 1, 1, 3], [0, 0, 1, 0, 0, 1]) == [[1, 1, 4, 1, 1, 1], [1] * 6, [1, 1, 1, 1, 1, 3]]
    assert ways([1, 1, 4, 1, 1, 3], [0, 0, 0, 0, 0, 1]) == [[1, 1, 1, 1, 1, 3], [1, 1, 4, 1, 1, 1], [1] * 6]
    door = open_door(Overlapping(), torch.zeros(1, 7), None)
    assert encode(door.program) is encode(door.program)


def test_tiles_follow_the_loops():
    assert shape_of_tiles([(1, 32, 32)]) == (32, 32)
    assert shape_of_tiles([(1, TILE, 1)]) == (TILE, 1)
    assert shape_of_tiles([(1, 1, 5000)]) == (1, TILE)


def test_refusals_name_their_reason(monkeypatch: pytest.MonkeyPatch):
    program = open_door(ss.SpanTree(), torch.zeros(1, 3, 3), None).program
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    log, soft = ss.LogSemiring().reduction, ss.SoftmaxSemiring(0.5).reduction
    assert "the potentials are on cpu" in (Cuda().refuse(program, log, cpu) or "")
    assert "SoftmaxReduction" in (Cuda().refuse(program, soft, cuda) or "")
    assert "no reduction" in (Cuda().refuse(program, None, cuda) or "")
    monkeypatch.setattr("semiring_struct.executors.cuda.machine._has_triton", lambda: False)
    assert "not installed" in (Cuda().refuse(program, log, cuda) or "")
    monkeypatch.setattr("semiring_struct.executors.cuda.machine._has_triton", lambda: True)
    assert "no GPU has run it" in (Cuda().refuse(program, log, cuda) or "")
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "cuda")
    assert Cuda().refuse(program, log, cuda) is None
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "eager")
    assert "cuda" in ss.explain(ss.SpanTree(), torch.zeros(1, 3, 3)).refused
