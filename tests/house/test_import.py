"""What the library and its first queries bring into a process, and systems whose Python lacks parts of POSIX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from semiring_struct.ops import constant

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch._dynamo", "torch._inductor", "sympy", "triton", "numba", "llvmlite", "scipy", "matplotlib", "networkx"]
QUERIES = """
import torch
import semiring_struct as ss

chain, phi = ss.LinearChain(), ss.ChainPotentials(torch.zeros(4, 3, 2, requires_grad=True), torch.zeros(4, 2, 2, 2))
ss.log_partition(chain, phi).sum().backward()
assert torch.allclose(ss.marginals(chain, phi).emission, torch.full((4, 3, 2), 0.5))
assert ss.sample(chain, phi, (2,), labels=True).shape == (2, 4, 3)
assert ss.argmax(chain, phi).emission.shape == (4, 3, 2) and len(ss.topk(chain, phi, 2).scores) == 2
ss.entropy(chain, phi).sum().backward()
"""
WINDOWS = """
import os
import sys

import torch

for name in ("fcntl", "resource", "pwd", "grp", "termios", "syslog"):
    sys.modules[name] = None
for name in ("register_at_fork", "fork", "getuid", "geteuid", "sched_getaffinity", "uname", "O_CLOEXEC"):
    if hasattr(os, name):
        delattr(os, name)
torch.set_num_threads(2)
"""


def run(code: str, machine: str = "eager") -> str:
    environment = os.environ | {"SEMIRING_STRUCT_EXECUTOR": machine, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.mark.parametrize("code", ["import semiring_struct", QUERIES], ids=["import", "queries"])
def test_neither_import_nor_plain_queries_bring_in_what_they_do_not_use(code: str):
    loaded = "import json, sys\nprint(json.dumps([name for name in sys.modules if name.count('.') < 2]))"
    before, after = (set(json.loads(run(f"{first}\n{loaded}"))) for first in ("import torch", code))
    assert not (after - before) & set(HEAVY)


@pytest.mark.parametrize("machine", ["eager", "cpu"])
def test_a_system_without_posix(machine: str):
    if machine == "cpu":
        pytest.importorskip("numba")
    run(WINDOWS + QUERIES, machine)


def test_constants_are_marked_as_torch_marks_them():
    def ours() -> int:
        return 1

    def its() -> int:
        return 1

    assert vars(constant(ours)) == vars(torch.compiler.assume_constant_result(its))
