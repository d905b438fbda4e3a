"""The compiled elimination beside the one in log space, and the fallback where weights leave its range."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("numba")

import semiring_struct as ss
from semiring_struct.kernels import dispatch as choice
from semiring_struct.kernels.dispatch import SWITCH, dispatch
from semiring_struct.kernels.elimination import log_trees, sums

ROOT = Path(__file__).resolve().parents[2]
NEG_INF = float("-inf")
ROOTS = pytest.mark.parametrize("single", [False, True])


def graphs(batch: int, m: int, scale: float, forbidden: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    w = scale * torch.randn(batch, m, m, generator=generator, dtype=torch.float64)
    w = w.masked_fill(torch.rand(w.shape, generator=generator) < forbidden, NEG_INF)
    return w, torch.randint(0, m, (batch,), generator=generator)


@ROOTS
@pytest.mark.parametrize("m", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("scale, forbidden", [(1.0, 0.0), (3.0, 0.4), (1.0, 0.75), (30.0, 0.3), (1e4, 0.4)])
def test_compiled_is_plain(m: int, scale: float, forbidden: float, single: bool):
    w, lengths = graphs(40, m, scale, forbidden)
    (total, arcs), (known, probabilities) = (f(w, lengths, single, True) for f in (sums.compiled, sums.plain))
    assert torch.equal(total.isinf(), known.isinf()) and not total.isnan().any()
    assert ((total - known).abs()[known > NEG_INF] <= 1e-13 * m * scale).all()
    torch.testing.assert_close(arcs, probabilities, rtol=0, atol=1e-12 * max(scale, 1))
    alone, nothing = sums.compiled(w, lengths, single, False)
    assert torch.equal(alone, total) and not nothing.numel()


def test_the_contract_of_kernels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(SWITCH, raising=False)
    cases = [(*graphs(20, m, 2.0, 0.3, seed=m), single, True) for m in (1, 2, 5, 9) for single in (False, True)]
    ss.testing.check_kernel(sums.plain, sums.TWINS, cases, tolerance=1e-11)


def test_a_wide_range_falls_back():
    """e^-2000 is no number: the one instance that needs it is answered in log space, and the others are not."""
    w = torch.zeros(3, 4, 4, dtype=torch.float64)
    w[1, 0] = -2000.0
    total, arcs = sums.compiled(w, torch.tensor([3, 3, 3]), False, True)
    known, probabilities = sums.plain(w, torch.tensor([3, 3, 3]), False, True)
    torch.testing.assert_close(total, known)
    torch.testing.assert_close(arcs, probabilities)
    assert total[1] < -1900


def test_a_product_of_two_small_weights_falls_back():
    """Each arc of the one tree is a number beside the others into its word, but two of them together are not."""
    w = torch.full((1, 4, 4), NEG_INF, dtype=torch.float64)
    w[0, 0, 3] = w[0, 3, 1] = -500.0
    w[0, 1, 3] = w[0, 2, 1] = w[0, 1, 2] = 0.0
    total, arcs = sums.compiled(w, torch.tensor([3]), False, True)
    assert total.item() == -1000.0
    assert arcs[0].nonzero().tolist() == [[0, 3], [1, 2], [3, 1]]


def test_who_answers(monkeypatch: pytest.MonkeyPatch):
    w, lengths = graphs(2, 3, 1.0, 0.0)
    monkeypatch.delenv(SWITCH, raising=False)
    assert dispatch(sums.plain, sums.TWINS, w, lengths, False, True) == (sums.compiled, {})
    compiled = log_trees(w, lengths, False)
    monkeypatch.setenv(SWITCH, "eager")
    assert dispatch(sums.plain, sums.TWINS, w, lengths, False, True) == (sums.plain, {"cpu": f"{SWITCH}=eager"})
    torch.testing.assert_close(log_trees(w, lengths, False), compiled)
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    monkeypatch.setattr(choice, "without_numba", choice.without_numba.__wrapped__)
    assert "pip install" in str(sums.refuse(w, lengths, False, True))


BROKEN = "raise ImportError('Numba needs NumPy 1.0 or less')"


@pytest.mark.parametrize("place, reason", [("NUMBA_DISABLE_JIT", "NUMBA_DISABLE_JIT"), ("PYTHONPATH", "NumPy 1.0")])
def test_a_numba_that_compiles_nothing_is_refused_with_a_reason(place: str, reason: str, tmp_path: Path):
    (tmp_path / "numba.py").write_text(BROKEN)
    values = {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    code = (
        "import torch, semiring_struct as ss; w = torch.zeros(4, 4);"
        "print(ss.log_partition(ss.Arborescence(), w), ss.log_partition(ss.OneOf(), w[0]));"
        "print(ss.explain(ss.OneOf(), w[0]))"
    )
    environment = {k: v for k, v in os.environ.items() if k != SWITCH} | {place: values[place]}
    said = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, env=environment, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert said.stdout.startswith("tensor(2.7726) tensor(1.3863)") and f"{reason}" in said.stdout, said.stdout
    assert not said.stderr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_that_ask_for_a_gradient(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(SWITCH, raising=False)
    w, lengths = graphs(3, 4, 1.0, 0.0)
    w = w.to(dtype).requires_grad_()
    (slope,) = torch.autograd.grad(log_trees(w, lengths, False).sum(), w)
    torch.testing.assert_close(slope.double(), sums.plain(w.detach(), lengths, False, True)[1], rtol=0, atol=1e-6)
