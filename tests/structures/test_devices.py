"""What structures hold goes to the device of the potentials, once; the meta device stands for an accelerator."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import semiring_struct as ss
from semiring_struct.structures.rollout import Rollout
from tests.structures.families import EVEN, LABELLED, NATIVE, SPACED, Family

META = torch.device("meta")


class Uploads(TorchDispatchMode):
    """Counts the tensors that are copied from the CPU to another device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::_to_copy", "aten::copy_") and isinstance(args[0], torch.Tensor):
            target, source = (out, args[0]) if func._schema.name == "aten::_to_copy" else (args[0], args[1])
            self.count += source.device.type == "cpu" != target.device.type
        return out


def automaton() -> ss.Automaton:
    return ss.Automaton(EVEN.moves.clone(), EVEN.accepting.clone())


def test_an_automaton_is_moved_once():
    held = automaton()
    with Uploads() as first:
        tables = held.weights(torch.zeros((), device=META))
    assert first.count == 2 and all(t.device == META for t in tables)
    with Uploads() as again:
        held.weights(torch.zeros((), device=META, dtype=torch.float64))
        held.completable(3, None, META)
        held.allowed(torch.zeros(2, dtype=torch.int64, device=META), torch.ones(2, dtype=torch.bool, device=META), None)
    assert again.count == 0
    assert pickle.loads(pickle.dumps(held)).__dict__.keys() == {"moves", "accepting"}


def test_structures_over_an_automaton_prepare_on_the_device():
    chain = ss.constraints.AcceptedChain(automaton())
    phi = ss.ChainPotentials(torch.zeros(2, 4, 3, device=META), torch.zeros(2, 1, 3, 3, device=META))
    assert all(f.device == META for f in chain.prepare(phi))
    assert all(f.device == META for f in ss.constraints.AcceptedSubset(SPACED, 2).prepare(torch.zeros(4, device=META)))


def test_a_model_with_an_automaton_writes_on_the_device():
    held = automaton()
    model = ss.Autoregressive(lambda state, last: (torch.zeros(len(last), 3, device=META), state), automaton=held)
    roll = Rollout.begin(model, torch.zeros(2, 4, 3, device=META), torch.full((2, 1), 4, device=META))
    assert roll.completable is not None and roll.completable.device == META
    for _ in range(2):
        log_probs, roll = roll.choices(roll.log_prob)
        roll = roll.take(log_probs.argmax(-1), log_probs)
    assert roll.place.device == roll.log_prob.device == META


@pytest.mark.parametrize("family", LABELLED + NATIVE, ids=str)
def test_the_code_of_labels_is_made_on_the_device(family: Family):
    structure = family.structure
    sizes = structure.letters([tuple(shape) for shape in family.shapes])
    with Uploads() as moved:
        code = structure.code_on(sizes, META)
    assert code is not None and moved.count == 0
    plain = structure.label_code(sizes)
    for part, other in zip(code.fields, plain.fields, strict=True):
        assert (part is None) == (other is None)
        if part is not None:
            assert [t.device for t in part] == [META, META]
            assert [t.shape for t in part] == [t.shape for t in other]


def test_targets_may_stay_on_the_cpu():
    """With lists for lengths."""
    moved = ss.CTC(torch.tensor([[1, 2]]), [2]).over((3,))
    assert moved.targets.shape == (3, 2) and moved.target_lengths.shape == (3,)
    labels = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 0]])
    assert ss.contains(ss.CTC(torch.tensor([[1, 2]]), [2]), torch.zeros(2, 4, 3), labels).all()
