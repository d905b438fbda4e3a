"""The CUDA machine without a GPU: kernels interpreted and compiled offline, in processes of their own; its choice."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import semiring_struct as ss
from semiring_struct.executors import Cuda
from semiring_struct.executors.cuda.encode import TILE, encode, shape_of_tiles, ways
from semiring_struct.executors.cuda.machine import _without_triton
from semiring_struct.inference.door import open_door
from semiring_struct.ops import one_hot_argmax
from semiring_struct.semirings import Reduction
from tests.executors.windows import Overlapping
from tests.structures.families import Family, chain, grammar

ROOT = Path(__file__).resolve().parents[2]
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
REGISTERS, STACK, SHARED = 255, 128, 4096
DOTS = 40960  # shared bytes where matrices are multiplied, which takes them from there


class Own(Reduction):
    """A reduction that no machine but the eager one knows."""

    def value(self, x):
        return x.amax(-1)

    def weights(self, x, generator=None):
        return one_hot_argmax(x, -1)

    def bend(self, x, weights, tangent):
        return torch.zeros_like(weights)


def alone(module: str, *words: str, interpret: bool = False) -> str:
    """Run a module of the tests in a process of its own and return what it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | ({"TRITON_INTERPRET": "1"} if interpret else {})
    command = [sys.executable, "-m", f"tests.executors.{module}", *words]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@needs_triton
@pytest.mark.parametrize("part", ["scale", "windows", "orders", "chains", "products", "random"])
def test_interpreted_kernels_agree_with_eager(part: str):
    alone("interpreted", part, interpret=True)


@needs_triton
def test_interpreted_kernels_draw_what_the_cpu_machine_draws():
    pytest.importorskip("numba")
    alone("interpreted", "noisy", interpret=True)


@needs_triton
@pytest.mark.exhaustive
@pytest.mark.parametrize("part", ["shipped", "others", "more random", "random products"])
def test_interpreted_kernels_agree_with_eager_on_more(part: str):
    alone("interpreted", part, interpret=True)


@needs_triton
@pytest.mark.exhaustive
def test_interpreted_kernels_draw_what_the_cpu_machine_draws_from_more():
    pytest.importorskip("numba")
    alone("interpreted", "more noise", interpret=True)


def within_budget(printed: str, count: int) -> None:
    lines = printed.splitlines()
    assert len(lines) == count
    for line in lines:
        name, *used = line.split()
        registers, stack, shared = map(int, used)
        assert registers <= REGISTERS and stack <= STACK, line
        assert shared <= (DOTS if name.count("-") == 4 else SHARED), line


@needs_triton
def test_compiles_for_sm_90():
    within_budget(alone("compiled", "forward-fp32-tsallis", "forward-fp32-soft-64", "forward-fp32-soft-0-32"), 3)


@needs_triton
@pytest.mark.exhaustive
def test_all_kernels_compile_for_sm_90():
    """Every kernel, for every reduction that it is launched with, in both dtypes."""
    within_budget(alone("compiled", "all"), 52)


def test_lanes_own_their_cells():
    """Lanes of a sliding window never meet: what overlaps is run through one after the other."""
    assert ways([1, 1, 4, 1, 1, 3], [0, 0, 1, 0, 0, 1]) == [[1, 1, 4, 1, 1, 1], [1] * 6, [1, 1, 1, 1, 1, 3]]
    assert ways([1, 1, 4, 1, 1, 3], [0, 0, 0, 0, 0, 1]) == [[1, 1, 1, 1, 1, 3], [1, 1, 4, 1, 1, 1], [1] * 6]
    door = open_door(Overlapping(), torch.zeros(1, 7), None)
    assert encode(door.program) is encode(door.program)


class Blurred(ss.DynamicProgram):
    """A recursion that is no chain: its cells are read turned around, so that none stays where it was."""

    event_dim = (3,)

    def inside(self, p, move):
        n, c = move.shape[:2]
        state = p.chart(n + 1, c)
        state[0] = p.one
        for i in range(n):
            state[i + 1] = (state[i, ::-1][:, None] * move[i]).sum(0)
        return state[n].sum(0)


def test_chains_are_found_in_the_table():
    """Untied and tied, with a side of 16 at least; not where cells change places, nor where there are too many."""

    def side(structure: Any, *fields: torch.Tensor) -> int:
        kind = ss.ChainPotentials if len(fields) > 1 else lambda x: x
        return encode(open_door(structure, kind(*fields), None).program).chain

    chain = ss.LinearChain()
    assert side(chain, torch.zeros(1, 9, 5), torch.zeros(1, 8, 5, 5)) == 16
    assert side(chain, torch.zeros(1, 9, 33), torch.zeros(1, 1, 33, 33)) == 64
    assert side(chain, torch.zeros(1, 9, 65), torch.zeros(1, 8, 65, 65)) == 0
    assert side(chain, torch.zeros(1, 2, 5), torch.zeros(1, 1, 5, 5)) == 0
    assert side(ss.SpanTree(), torch.zeros(1, 5, 5)) == 0
    assert side(Blurred(), torch.zeros(1, 4, 3, 3)) == 0


def test_products_are_found_where_tiles_are_not_mostly_padding():
    """Neither small ones, nor a vector times a matrix."""

    def whether(family: Family) -> bool:
        return encode(open_door(family.structure, family.draw((1,), seed=0), None).program).product > 0

    assert whether(grammar(9, 12, 12))
    assert not whether(grammar(4, 3, 3)) and not whether(chain(11, 19, tied=True))


def test_tiles_follow_the_loops():
    assert shape_of_tiles([(1, 32, 32)]) == (32, 32)
    assert shape_of_tiles([(1, TILE, 1)]) == (TILE, 1)
    assert shape_of_tiles([(1, 1, 5000)]) == (1, TILE)


def test_refusals_name_their_reason(monkeypatch: pytest.MonkeyPatch):
    program = open_door(ss.SpanTree(), torch.zeros(1, 3, 3), None).program
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    log, own = ss.LogSemiring().reduction, Own()
    assert "the potentials are on cpu" in (Cuda().refuse(program, log, cpu) or "")
    assert "Own is not among" in (Cuda().refuse(program, own, cuda) or "")
    for semiring in (ss.SparsemaxSemiring(), ss.SampleSemiring(), ss.GumbelSoftmaxSemiring()):
        assert "Reduction" not in (Cuda().refuse(program, semiring.reduction, cuda) or "")
    assert "no reduction" in (Cuda().refuse(program, None, cuda) or "")
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert "NVIDIA's GPUs only" in (Cuda().refuse(program, log, cuda) or "")
    monkeypatch.setattr(torch.version, "hip", None)
    machine = "semiring_struct.executors.cuda.machine"
    monkeypatch.setattr(f"{machine}._without_triton", _without_triton.__wrapped__)
    monkeypatch.setattr(f"{machine}.find_spec", lambda name: None)
    assert "not installed" in (Cuda().refuse(program, log, cuda) or "")
    monkeypatch.setattr(f"{machine}.find_spec", lambda name: "found")
    for version in ("3.3.1", "3.4.0+git1", "2.10"):
        monkeypatch.setattr(f"{machine}.import_module", lambda name, v=version: SimpleNamespace(__version__=v))
        assert f"triton {version} does not compile" in (Cuda().refuse(program, log, cuda) or "")
    monkeypatch.setattr(f"{machine}.import_module", lambda name: {}[name])
    assert "cannot be imported" in (Cuda().refuse(program, log, cuda) or "")
    monkeypatch.setattr(f"{machine}.import_module", lambda name: SimpleNamespace(__version__="3.10.0"))
    assert "no GPU has run it" in (Cuda().refuse(program, log, cuda) or "")
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "cuda")
    assert Cuda().refuse(program, log, cuda) is None
    monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", "eager")
    assert "cuda" in ss.explain(ss.SpanTree(), torch.zeros(1, 3, 3)).refused
