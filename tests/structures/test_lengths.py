"""Lengths in every form a user may have them in: the same answer, or an error that says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.ops import prefix_mask
from semiring_struct.structures import bounds_of, on_device
from tests.structures.families import SIDED, Family

CPU = torch.device("cpu")
KINDS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def masks(lengths: Any, sizes: tuple[int, ...], kind: torch.dtype) -> Any:
    sides = lengths if isinstance(lengths, tuple) else (lengths,)
    made = tuple(prefix_mask(side, size).to(kind) for side, size in zip(sides, sizes, strict=True))
    return made if len(made) > 1 else made[0]


def each(lengths: Any, change: Any) -> Any:
    return tuple(map(change, lengths)) if isinstance(lengths, tuple) else change(lengths)


@pytest.mark.parametrize("family", SIDED, ids=str)
def test_masks_lists_and_arrays_are_lengths(family: Family):
    """By every structure, on both sides of two-sided ones; the smallest kind of integer is enough for a mask."""
    phi, lengths = family.draw((3,), seed=1), family.lengths(3, seed=1)
    wanted = ss.log_partition(family.structure, phi, lengths)
    forms = [each(lengths, Tensor.tolist), each(lengths, Tensor.numpy), each(lengths, Tensor.int)]
    forms += [masks(lengths, family.sizes, kind) for kind in (torch.bool, torch.uint8, torch.int64)]
    forms += [each(masks(lengths, family.sizes, torch.bool), change) for change in (Tensor.tolist, Tensor.numpy)]
    for form in forms:
        assert torch.equal(ss.log_partition(family.structure, phi, form), wanted)
    one = each(lengths, lambda side: int(side[0]))
    first = family.kind(*(f[0] for f in (phi if isinstance(phi, tuple) else (phi,))))
    assert torch.equal(ss.log_partition(family.structure, first, one), wanted[0])


def test_attention_masks_in_every_query():
    """As tokenizers give them: int64, one row per sentence."""
    chain, generator = ss.LinearChain(), torch.Generator().manual_seed(0)
    phi = ss.ChainPotentials(
        torch.randn(2, 5, 3, generator=generator, dtype=torch.float64),
        torch.randn(1, 3, 3, generator=generator, dtype=torch.float64),
    )
    mask, lengths = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), torch.tensor([3, 5])
    tags = torch.zeros(2, 5, dtype=torch.int64)
    for ask in (
        lambda how: ss.marginals(chain, phi, how).emission,
        lambda how: ss.argmax(chain, phi, labels=True, lengths=how),
        lambda how: ss.log_prob(chain, phi, tags, how),
        lambda how: ss.contains(chain, phi, tags, how),
        lambda how: ss.topk(chain, phi, 2, how).scores,
        lambda how: ss.sample(chain, phi, lengths=how, labels=True, generator=torch.Generator().manual_seed(1)),
        lambda how: ss.LinearChainCRF(phi, how).entropy(),
        lambda how: chain.from_labels(tags, phi, how).emission,
        lambda how: ss.constraints.follow(phi, ss.constraints.bio(["O", "B", "I"]), how).emission,
        lambda how: ss.losses.nll(chain, phi, tags, how),
    ):
        for kind in (*KINDS, torch.bool):
            assert torch.equal(ask(mask.to(kind)), ask(lengths))
    matched = ss.relaxations.sinkhorn(torch.zeros(2, 5, 5), lengths=mask).mean.sum((1, 2))
    assert torch.equal(matched.round().long(), lengths)


@pytest.mark.parametrize(
    ("given", "batch", "error", "said"),
    [
        (torch.tensor([[1, 0, 1], [1, 1, 1]]), (2,), ValueError, r"hole.*first at index \(0,\)"),
        (torch.tensor([[0, 1, 1], [1, 1, 1]]), (2,), ValueError, "hole"),                 # padded on the left
        (torch.tensor([[1, 2, 0], [1, 1, 1]]), (2,), ValueError, r"boolean.*integers 0 and 1.*index \(0, 1\)"),
        (torch.tensor([[1, 1], [1, 0]]), (2,), ss.ShapeError, "a mask has shape .*3"),
        (torch.tensor([[1, 1, 0]]), (), ss.ShapeError, "a mask has shape"),
        (torch.tensor([1, 1, 0, 0]), (2,), ss.ShapeError, "a mask has shape"),
        (torch.ones(2, 3), (2,), TypeError, "boolean mask.*must be integers; got torch.float32"),
        ([1.0, 2.0], (2,), TypeError, "boolean mask.*must be integers; got torch.float32"),
        ([[1], [1, 1]], (2,), TypeError, "lists of one size"),
        ("12", (2,), TypeError, "lengths.*got str"),
        ({1, 2}, (2,), TypeError, "lengths.*got set"),
        ((1, 2), (2,), ValueError, "a list or a tensor; got 2"),
        (np.array([1, 4]), (2,), ValueError, r"0\.\.3.*index \(1,\)"),
        (True, (2,), ss.ShapeError, "a mask has shape"),
    ],
)
def test_what_can_not_be_read_is_refused(given: Any, batch: tuple[int, ...], error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        bounds_of("Some", given, (3,), batch, CPU)


def test_integers_of_the_shape_of_the_batch_are_lengths_whatever_their_values():
    """A batch of as many instances as there are positions: the shape of a mask that all share, and of lengths."""
    given = torch.tensor([1, 1, 0])
    assert bounds_of("Some", given, (3,), (3,), CPU).tolist() == [[1], [1], [0]]
    assert bounds_of("Some", given.bool(), (3,), (3,), CPU).tolist() == [[2], [2], [2]]
    assert bounds_of("Some", given, (3,), (), CPU).tolist() == [[2]]
    assert bounds_of("Some", given[None], (3,), (2,), CPU).tolist() == [[2], [2]]
    assert bounds_of("Some", given[None], (3,), (2, 3), CPU).flatten().tolist() == [1, 1, 0, 1, 1, 0]


def test_an_empty_batch_has_empty_lengths():
    assert bounds_of("Some", [], (3,), (0,), CPU).shape == (0, 1)


def test_integers_move_from_the_cpu_and_from_nowhere_else():
    """Checked where they are; the second device stands for an accelerator."""
    meta = torch.device("meta")
    assert bounds_of("Some", torch.tensor([1, 3]), (3,), (2,), meta).device == meta
    assert bounds_of("Some", [1, 3], (3,), (2,), meta).device == meta
    with pytest.raises(ValueError, match=r"0\.\.3"):
        bounds_of("Some", [1, 4], (3,), (2,), meta)
    with pytest.raises(ValueError, match="lengths are on meta, log_potentials on cpu"):
        bounds_of("Some", torch.tensor([1, 3], device=meta), (3,), (2,), CPU)
    assert on_device("labels", torch.tensor([1]), meta).device == meta
    with pytest.raises(ValueError, match="labels are on meta"):
        on_device("labels", torch.tensor([1], device=meta), CPU)


def test_masks_and_lists_within_compiled_graphs():
    phi, tree = torch.randn(2, 3, 3), ss.SpanTree()

    def f(x: Tensor, mask: Tensor) -> Tensor:
        return ss.log_partition(tree, x, mask) + ss.log_partition(tree, x, [2, 3])

    for mask in (torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([[True, True, False], [True] * 3])):
        torch.testing.assert_close(torch.compile(f, backend="eager", fullgraph=True)(phi, mask), f(phi, mask))
