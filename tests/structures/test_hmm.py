"""Hidden Markov models: padding, shapes and kinds of observations, none at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import semiring_struct as ss


def model(*batch: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (2,), (2, 2), (2, 3)
    return tuple(torch.randn(*batch, *s, generator=generator, dtype=torch.float64) for s in shapes)  # type: ignore[return-value]


def by_hand(initial: Tensor, transition: Tensor, emission: Tensor, seen: list[int]) -> Tensor:
    """The forward algorithm in probabilities."""
    start, move, emit = initial.softmax(-1), transition.softmax(-1), emission.softmax(-1)
    alpha = start * emit[:, seen[0]]
    for o in seen[1:]:
        alpha = (alpha @ move) * emit[:, o]
    return alpha.sum().log()


def test_what_is_observed_past_a_length_is_ignored():
    lengths, chain = torch.tensor([3, 1, 0]), ss.LinearChain()
    padded = torch.tensor([[0, 1, 2], [1, -1, 77], [-100, -1, -1]])
    args = model()
    wanted = torch.stack([by_hand(*args, [0, 1, 2]), by_hand(*args, [1]), torch.zeros((), dtype=torch.float64)])
    torch.testing.assert_close(ss.HMM(*args, padded, lengths=lengths).log_partition(), wanted)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]])
    for how in (lengths, [3, 1, 0], mask, mask.bool()):
        torch.testing.assert_close(ss.log_partition(chain, ss.hmm(*args, padded, how), how), wanted)
    leaf = args[2].clone().requires_grad_()
    (slope,) = torch.autograd.grad(ss.HMM(args[0], args[1], leaf, padded, lengths=lengths).log_partition().sum(), leaf)
    assert slope.isfinite().all()


def test_padding_within_a_length_is_refused():
    padded = torch.tensor([[0, 1, 2], [1, -1, -1]])
    with pytest.raises(ValueError, match=r"0\.\.2.*give lengths.*index \(1, 1\)"):
        ss.hmm(*model(), padded)
    with pytest.raises(ValueError, match=r"index \(1, 1\)"):
        ss.HMM(*model(), padded, lengths=torch.tensor([3, 2]))


def test_batch_dims_broadcast():
    seen = torch.tensor([0, 2, 1])
    shared = ss.hmm(*model(), seen.expand(4, 3))
    assert shared.emission.shape == (4, 3, 2) and shared.transition.shape == (4, 1, 2, 2)
    many = model(4)
    one = ss.log_partition(ss.LinearChain(), ss.hmm(*many, seen))
    wanted = torch.stack([by_hand(*(part[b] for part in many), seen.tolist()) for b in range(4)])
    torch.testing.assert_close(one, wanted)
    mixed = ss.hmm(many[0], model()[1], model()[2], seen)
    assert mixed.emission.shape == (4, 3, 2)
    with pytest.raises(ss.ShapeError, match="broadcast"):
        ss.hmm(*many, seen.expand(3, 3))


def test_observations_as_lists_and_arrays():
    wanted = ss.hmm(*model(), torch.tensor([0, 2, 1])).emission
    for seen in ([0, 2, 1], np.array([0, 2, 1]), torch.tensor([0, 2, 1], dtype=torch.uint8)):
        assert torch.equal(ss.hmm(*model(), seen).emission, wanted)
    for wrong in (torch.tensor([0.0, 1.0]), torch.tensor([True, False]), "01", [0.5]):
        with pytest.raises(TypeError, match="observations must be integers"):
            ss.hmm(*model(), wrong)
    with pytest.raises(ValueError, match="observations are on meta, log_potentials on cpu"):
        ss.hmm(*model(), torch.zeros(3, dtype=torch.int64, device="meta"))
