"""Nothing is kept: no graphs behind answers, no growth over many calls, no recording twice."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.executors import operators
from tests.structures.families import FAMILIES, Family, chain, spans
from tests.structures.test_contract import fields

STATM = Path("/proc/self/statm")


def work(family: Family, phi: object, generator: torch.Generator) -> Tensor:
    """A training step and some decoding."""
    leaves = [field.detach().requires_grad_() for field in fields(phi)]
    again = family.kind(*leaves)
    loss = ss.log_partition(family.structure, again).sum() + ss.entropy(family.structure, again).sum()
    loss.backward()
    ss.argmax(family.structure, phi)
    ss.sample(family.structure, phi, (2,), generator=generator)
    ss.topk(family.structure, phi, 2)
    ss.evaluate(family.structure, ss.SampleSemiring(torch.Generator().manual_seed(0)), phi)
    return loss.detach()


def alive() -> int:
    """How many tensors there are."""
    gc.collect()
    return sum(issubclass(type(x), Tensor) for x in gc.get_objects())


@pytest.mark.skipif(not STATM.exists(), reason="the resident size is read from /proc")
@pytest.mark.parametrize("family", [chain(4, 3), spans(4)], ids=str)
def test_many_calls_do_not_grow(family: Family):
    phi, generator = family.draw((3,), seed=0), torch.Generator().manual_seed(0)

    def resident() -> int:
        gc.collect()
        return int(STATM.read_text().split()[1]) * 4096

    for _ in range(30):
        work(family, phi, generator)
    tensors = alive()
    reductions, before = operators.reduction_of.cache_info().currsize, resident()
    for _ in range(80):
        work(family, phi, generator)
    assert resident() - before < 2**20
    assert alive() == tensors
    assert operators.reduction_of.cache_info().currsize == reductions, "a new generator must not be remembered"


@pytest.mark.parametrize("family", {type(f.structure): f for f in FAMILIES}.values(), ids=str)
def test_answers_do_not_keep_their_inputs_alive(family: Family):
    phi = family.draw((2,), seed=0)
    ghosts = [weakref.ref(field) for field in fields(phi)]
    kept = [
        ss.marginals(family.structure, phi),
        ss.argmax(family.structure, phi),
        ss.topk(family.structure, phi, 2),
        ss.entropy(family.structure, phi),
        ss.program(family.structure, phi),
    ]
    del phi
    gc.collect()
    assert kept and all(ghost() is None for ghost in ghosts)


def test_a_program_is_recorded_once_per_shape_and_setting():
    counted = []

    class Counted(ss.DynamicProgram):
        """A subset."""

        def inside(self, p, bit):
            counted.append(bit.shape)
            chart = p.chart(bit.shape[0] + 1)
            chart[0] = p.one
            for i in range(bit.shape[0]):
                chart[i + 1] = chart[i] + chart[i] * bit[i]
            return chart[p.length]

    for size in (3, 3, 4, 3, 4):
        for batch in ((), (2,), (5, 2)):
            ss.entropy(Counted(), torch.zeros(*batch, size))
            ss.argmax(Counted(), torch.zeros(*batch, size), lengths=torch.ones(batch, dtype=torch.long))
    assert counted == [(3,), (4,)]
