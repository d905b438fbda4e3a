"""Exported models in other processes: the same structure, or a refusal, whatever was used there first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import semiring_struct as ss

EMISSION, TRANSITION = torch.arange(12.0).view(1, 4, 3).sin(), torch.arange(9.0).view(1, 3, 3).cos()
ITEMS = torch.arange(5.0).cos()

USED_FIRST = """
import sys, torch, semiring_struct as ss
class Two(ss.DynamicProgram):
    event_dim = (2, 3)
    def __init__(self, k): self.k = k
    def inside(self, p, e, t): return e[self.k, 0] * t[0, 0, 0]
for k in range(3):
    ss.log_partition(Two(k), (torch.zeros(4, 3), torch.zeros(3, 3, 3)))
    ss.max_score(Two(k), (torch.zeros(4, 3), torch.zeros(3, 3, 3)))
for path in sys.argv[1:]:
    model, args = torch.export.load(path).module(), torch.load(path + ".args")
    try:
        torch.save(model(*args), path + ".out")
    except ss.ProgramError as error:
        torch.save(str(error), path + ".out")
"""


class Model(torch.nn.Module):
    """A query of a structure."""

    def __init__(self, query: Any):
        super().__init__()
        self.query = query

    def forward(self, *potentials: torch.Tensor) -> Any:
        return self.query(*potentials)


def chain_queries(emission: torch.Tensor, transition: torch.Tensor) -> tuple[torch.Tensor, ...]:
    phi, chain = ss.ChainPotentials(emission, transition), ss.LinearChain()
    soft = ss.evaluate(chain, ss.SoftmaxSemiring(0.5), phi)
    return ss.argmax(chain, phi, labels=True), ss.log_partition(chain, phi), soft


def local_class() -> ss.DynamicProgram:
    class Nearby(ss.DynamicProgram):
        event_dim = 1

        def inside(self, p: Any, x: Any) -> Any:
            return x.sum()

    return Nearby()


SUBSET, NEARBY = ss.Subset(2), local_class()
CASES = {
    "chain": (chain_queries, (EMISSION, TRANSITION)),
    "subset": (lambda x: ss.log_partition(SUBSET, x), (ITEMS,)),
    "nearby": (lambda x: ss.log_partition(NEARBY, x), (ITEMS,)),
}


@pytest.mark.filterwarnings("ignore")
def test_an_exported_model_answers_for_its_structure_or_refuses(tmp_path: Path):
    expected, paths = {}, []
    for name, (query, args) in CASES.items():
        exported = torch.export.export(Model(query), args)
        paths.append(str(tmp_path / name))
        torch.export.save(exported, paths[-1])
        torch.save(args, paths[-1] + ".args")
        expected[name] = query(*args)
        torch.testing.assert_close(exported.module()(*args), expected[name])
    command = [sys.executable, "-W", "ignore", "-c", USED_FIRST, *paths]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    for name in ("chain", "subset"):
        torch.testing.assert_close(torch.load(tmp_path / f"{name}.out"), expected[name])
    assert "Nearby, which only the process that made it could find" in torch.load(tmp_path / "nearby.out")
