"""Named tuples of tensors as data: stored, loaded without trust, collated, sent between processes."""

from __future__ import annotations

import importlib
import io
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

import semiring_struct as ss


def holds_tensors(kind: Any) -> bool:
    """Whether every field is a tensor, or potentials: what is kept for a machine or a description is no data."""
    stated = next(c.__annotations__ for c in kind.__mro__ if "__annotations__" in vars(c))
    return all(any(word in str(note) for word in ("Tensor", "Potentials", "Any")) for note in stated.values())


def named_tuples() -> list[type]:
    """Every named tuple of tensors that a package exports, and those that its own make."""
    found = {ss.structures.PCFGSpanPotentials, ss.structures.LowRankPCFGSpanPotentials}
    for info in pkgutil.walk_packages(ss.__path__, "semiring_struct."):
        if info.ispkg and not info.name.startswith("semiring_struct.executors"):
            package = importlib.import_module(info.name)
            exported = (getattr(package, name) for name in getattr(package, "__all__", ()))
            found.update(c for c in exported if isinstance(c, type) and issubclass(c, tuple) and hasattr(c, "_fields"))
    found.update(c for c in vars(importlib.import_module("semiring_struct.types")).values() if hasattr(c, "_fields"))
    return sorted(filter(holds_tensors, found), key=lambda c: c.__name__)


KINDS = named_tuples()


def filled(kind: Any) -> Any:
    return kind(*(torch.randn(2, 3) for _ in kind._fields))


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and all(map(torch.equal, one, other))


def stored(value: Any) -> Any:
    memory = io.BytesIO()
    torch.save(value, memory)
    memory.seek(0)
    return torch.load(memory, weights_only=True)


def test_potentials_and_results_are_among_them():
    names = {kind.__name__ for kind in KINDS}
    assert {"ChainPotentials", "PCFGPotentials", "TopK", "Beam", "SparseMAP", "SoftMatching", "TagRules"} <= names


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_was_stored_is_loaded_without_trust(kind: Any):
    """Alone, within other data, and as what a module keeps beside its parameters."""
    value = filled(kind)
    assert same(stored(value), value)
    inside = stored({"phi": [value], "step": 3})
    assert inside["step"] == 3 and same(inside["phi"][0], value)

    class Holder(torch.nn.Module):
        def __init__(self, held: Any):
            super().__init__()
            self.held = held

        def get_extra_state(self) -> Any:
            return self.held

        def set_extra_state(self, state: Any) -> None:
            self.held = state

    empty = Holder(None)
    empty.load_state_dict(stored(Holder(value).state_dict()))
    assert same(empty.held, value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_batches_are_of_the_same_kind(kind: Any):
    one, two = filled(kind), filled(kind)
    batch = default_collate([one, two])
    assert same(batch, kind(*(torch.stack(pair) for pair in zip(one, two, strict=True))))


class Potentials(torch.utils.data.Dataset):
    """Potentials made in the worker."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[ss.ChainPotentials, Tensor]:
        return ss.ChainPotentials(torch.full((3, 2), float(index)), torch.zeros(1, 2, 2)), torch.tensor(index % 3 + 1)


def test_workers_of_a_loader_send_potentials():
    batches = list(DataLoader(Potentials(), batch_size=2, num_workers=1))
    assert [type(phi) for phi, _ in batches] == [ss.ChainPotentials] * 2
    phi, lengths = batches[1]
    torch.testing.assert_close(ss.max_score(ss.LinearChain(), phi, lengths), torch.tensor([6.0, 3.0]))


def test_another_process_loads_them_once_the_library_is_imported(tmp_path: Path):
    path = tmp_path / "phi.pt"
    torch.save([filled(kind) for kind in KINDS], path)
    script = f"import torch, semiring_struct; print(len(torch.load({str(path)!r}, weights_only=True)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(KINDS)), done.stderr[-2000:]
