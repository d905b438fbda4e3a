"""Lengths and prefix masks."""

from __future__ import annotations

import pytest
import torch

from semiring_struct.ops import lengths_from_mask, masked, prefix_mask


def test_round_trip() -> None:
    lengths = torch.tensor([[0, 3], [5, 1]])
    mask = prefix_mask(lengths, 5)
    assert mask.shape == (2, 2, 5)
    assert mask[0, 1].tolist() == [True, True, True, False, False]
    assert torch.equal(lengths_from_mask(mask), lengths)
    assert torch.equal(lengths_from_mask(mask[0, 1]), lengths[0, 1])
    assert lengths_from_mask(torch.ones(0, 5, dtype=torch.bool)).shape == (0,)


def test_a_hole_is_refused_by_the_index_of_its_row() -> None:
    mask = prefix_mask(torch.tensor([[2, 3], [4, 4]]), 4)
    mask[1, 0, 1] = False
    with pytest.raises(ValueError, match=r"has a hole.*first at index \(1, 0\) of \(2, 2\)"):
        lengths_from_mask(mask)
    with pytest.raises(ValueError, match="has a hole"):
        lengths_from_mask(mask[1, 0])


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be boolean.*int64"):
        lengths_from_mask(torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="at least one dim"):
        lengths_from_mask(torch.tensor(True))


def test_masked_hides_infinities_from_the_gradient() -> None:
    x = torch.tensor([1.0, float("-inf"), float("nan")], requires_grad=True)
    y = masked(torch.tensor([True, False, False]), x)
    assert y.tolist() == [1.0, 0.0, 0.0]
    assert torch.autograd.grad((y * y).sum(), x)[0].tolist() == [2.0, 0.0, 0.0]
