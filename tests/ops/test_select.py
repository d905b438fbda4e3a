"""Selection: ties pick one entry, nothing is picked from nothing."""

from __future__ import annotations

import pytest
import torch

from semiring_struct.ops import NEG_INF, max_value, one_hot_argmax, top_values

X = torch.tensor([[1.0, 3.0, 3.0, NEG_INF], [0.0, 0.0, 0.0, 0.0], [NEG_INF] * 4], dtype=torch.float64)
FIRST = torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)


def test_max_value_gives_its_gradient_to_the_first_best() -> None:
    x = X.clone().requires_grad_()
    value = max_value(x, -1)
    assert value.tolist() == [3.0, 0.0, NEG_INF]
    assert torch.equal(torch.autograd.grad(value.sum(), x)[0], FIRST)


@pytest.mark.parametrize("dim", [0, 1, -1, -2])
def test_one_hot_argmax(dim) -> None:
    x, first = (X, FIRST) if dim in (1, -1) else (X.T, FIRST.T)
    assert torch.equal(one_hot_argmax(x, dim), first)
    assert one_hot_argmax(x.float(), dim).dtype == torch.float32


def test_top_values_pads_and_each_gradient_goes_to_one_entry() -> None:
    x = X.clone().requires_grad_()
    top = top_values(x, 6, -1)
    assert top[0].tolist() == [3.0, 3.0, 1.0, NEG_INF, NEG_INF, NEG_INF]
    picked = torch.stack([torch.autograd.grad(top[0, i], x, retain_graph=True)[0][0] for i in range(6)])
    assert torch.equal(picked.sum(-1), torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64))
    assert torch.equal(picked.sum(0), torch.tensor([1.0, 1, 1, 0], dtype=torch.float64))
    assert torch.equal(top_values(x.T, 2, 0), top[:, :2].T)


def test_top_values_refuses_an_empty_list() -> None:
    with pytest.raises(ValueError, match="k of at least 1; got 0"):
        top_values(X, 0, -1)


# torch loads its forward-mode rules on first use, and warns of its own jit there
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("op", [max_value, one_hot_argmax, lambda x, dim: top_values(x, 6, dim)])
def test_transforms(op) -> None:
    expected = op(X, -1)
    assert torch.equal(torch.func.vmap(lambda row: op(row, -1))(X), expected)
    moved = torch.func.jvp(lambda x: op(x, -1), (X,), (torch.ones_like(X),))
    assert torch.equal(moved[0], expected)
    assert moved[1].isfinite().all()
    assert torch.equal(torch.compile(op, backend="eager", fullgraph=True)(X, -1), expected)
