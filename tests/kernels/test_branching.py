"""The compiled decoder beside the plain one, on ties, forbidden arcs, every length, deep nests of cycles."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semiring_struct.kernels.branching import decoder, reference
from semiring_struct.kernels.elimination.reference import arcs_only
from tests.kernels.test_elimination import ROOTS, graphs


def totals(w: Tensor, found: Tensor, heads: Tensor) -> Tensor:
    used = w.gather(1, heads.clamp(min=0)[:, None])[:, 0]
    return torch.where(found, torch.where(heads >= 0, used, 0.0).sum(1), float("-inf"))


def require_trees(found: Tensor, heads: Tensor, lengths: Tensor, single: bool) -> None:
    words = torch.arange(1, heads.shape[1]) <= lengths[:, None]
    assert torch.equal((heads[:, 1:] >= 0), words & found[:, None])
    jump = torch.where(heads < 0, 0, heads)
    for _ in range(heads.shape[1].bit_length()):
        jump = jump.gather(1, jump)
    assert not jump.any()
    if single:
        assert torch.equal((heads == 0).sum(1)[found], (lengths > 0).long()[found])


@ROOTS
@pytest.mark.parametrize("m", [1, 2, 3, 6, 15])
@pytest.mark.parametrize("scale, forbidden", [(1.0, 0.0), (1e4, 0.4), (1.0, 0.8), (0.0, 0.3)])
def test_compiled_is_plain(m: int, scale: float, forbidden: float, single: bool):
    w, lengths = graphs(60, m, scale, forbidden, seed=m)
    w[::3] = w[::3].round()
    answers = [f(w, lengths, single) for f in (decoder.compiled, reference.best)]
    assert torch.equal(answers[0][0], answers[1][0])
    for found, heads in answers:
        require_trees(found, heads, lengths, single)
    torch.testing.assert_close(*(totals(arcs_only(w, lengths), *a) for a in answers), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decode", [decoder.compiled, reference.best])
def test_a_deep_nest_of_cycles(decode):
    """Each round joins one word more to the cycle of the words before it."""
    m = 9
    w = torch.full((1, m, m), float("-inf"), dtype=torch.float64)
    for d in range(2, m):
        w[0, d, d - 1], w[0, d - 1, d] = -float(d), 0.0
        w[0, d, 1] = -float(d)
    w[0, 0, m - 1] = -100.0
    found, heads = decode(w, torch.tensor([m - 1]), False)
    assert found.all()
    require_trees(found, heads, torch.tensor([m - 1]), False)
    assert heads[0, m - 1] == 0
