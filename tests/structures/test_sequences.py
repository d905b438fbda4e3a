"""Frames, warpings and targets against other implementations and closed forms."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers_sets.json").read_text())


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, tensor(expected), rtol=tolerance, atol=tolerance)


def delannoy(n: int, m: int) -> int:
    return sum(comb(n, k) * comb(m, k) * 2**k for k in range(min(n, m) + 1))


def test_warping():
    case = CASES["alignment_dtw_3x4"]
    cost = tensor(case["cost"]).requires_grad_()
    value = ss.soft_dtw(cost, 1.0)
    same(value.detach(), case["soft_min_value"])
    same(torch.autograd.grad(value, cost)[0], case["soft_alignment"])
    hard = ss.soft_dtw(cost, 0.0)
    same(hard.detach(), case["hard_min"])
    same(torch.autograd.grad(hard, cost)[0], case["hard_path"])
    assert ss.count(ss.DTW(), cost) == case["paths"] == delannoy(2, 3)


def test_smoothed_warping():
    case = CASES["max_omega_dtw_softmax"]
    cost = tensor(case["cost"]).requires_grad_()
    value = -ss.evaluate(ss.DTW(), ss.SoftmaxSemiring(1.0), -cost)
    same(value.detach(), case["value"], case["tol"])
    (slope,) = torch.autograd.grad(value, cost, create_graph=True)
    same(slope.detach(), case["grad"], case["tol"])
    same((slope * tensor(case["direction"])).sum().detach(), case["directional_derivative"], case["tol"])


def test_soft_dtw_tends_to_the_cost_of_a_best_path_and_is_differentiable_twice():
    cost = torch.rand(3, 5, 7, dtype=torch.float64)
    lengths = torch.tensor([5, 2, 3]), torch.tensor([7, 6, 1])
    hard = ss.soft_dtw(cost, 0.0, lengths)
    for gamma in (1.0, 0.1, 0.001):
        gap = hard - ss.soft_dtw(cost, gamma, lengths)
        assert (gap >= 0).all() and (gap <= gamma * torch.tensor(float(delannoy(4, 6))).log()).all()
    assert torch.autograd.gradcheck(lambda x: ss.soft_dtw(x, 0.7, lengths), cost.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda x: ss.soft_dtw(x, 0.7, lengths), cost)


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
def test_gamma_out_of_range(gamma: float):
    with pytest.raises(ValueError, match="gamma"):
        ss.soft_dtw(torch.zeros(2, 2), gamma)


@pytest.mark.parametrize("n, m", [(1, 1), (1, 5), (4, 4), (7, 3)])
def test_counts(n: int, m: int):
    assert ss.count(ss.DTW(), torch.zeros(n, m)) == delannoy(n - 1, m - 1)
    assert ss.count(ss.MonotonicAlignment(), torch.zeros(n, m)) == comb(n - 1, m - 1)


def test_one_side_empty():
    """Both sides empty is one empty structure; one alone can not be aligned with anything."""
    phi, lengths = torch.zeros(4, 3, 2), (torch.tensor([0, 0, 3, 3]), torch.tensor([0, 2, 0, 2]))
    for structure in (ss.DTW(), ss.MonotonicAlignment()):
        assert (ss.count(structure, phi, lengths) > 0).tolist() == [True, False, False, True]
    targets = ss.CTC(torch.tensor([[1, 1], [1, 1]]), torch.tensor([0, 1]))
    assert ss.count(targets, phi[:2], torch.tensor([0, 0])).tolist() == [1, 0]


TARGETS = torch.tensor([[1, 1, 2, 3], [4, 4, 4, -1], [2, -7, 99, 0], [5, 0, 0, 0]])
TARGET_LENGTHS = torch.tensor([4, 3, 1, 0])
FRAMES = torch.tensor([9, 5, 3, 7])


def losses(logits: Tensor, blank: int, frames: Tensor = FRAMES) -> tuple[Tensor, Tensor]:
    """Ours and torch's, `(4,)`, on the same log-softmax; a target symbol that is the blank becomes 0."""
    swap = TARGETS.masked_fill(TARGETS.eq(blank), 0)
    scores = logits.log_softmax(-1)
    mine = -ss.log_partition(ss.CTC(swap, TARGET_LENGTHS, blank=blank), scores, frames)
    real = [swap[b, :n] for b, n in enumerate(TARGET_LENGTHS.tolist())]
    sizes = frames, TARGET_LENGTHS
    theirs = torch.nn.functional.ctc_loss(
        scores.transpose(0, 1), torch.cat(real), *sizes, blank=blank, reduction="none"
    )
    return mine, theirs


@pytest.mark.parametrize("blank", [0, 5])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_ctc_loss(blank: int, scale: float):
    """Ragged frames and targets, repeated symbols, padding of any value: value and gradient of torch's own loss."""
    logits = (scale * torch.randn(4, 9, 6, dtype=torch.float64)).requires_grad_()
    mine, theirs = losses(logits, blank)
    torch.testing.assert_close(mine, theirs)
    weight = torch.rand(4, dtype=torch.float64)
    ours, expected = (torch.autograd.grad((weight * x).sum(), logits, retain_graph=True)[0] for x in (mine, theirs))
    torch.testing.assert_close(ours, expected)


def test_ctc_of_targets_one_after_the_other():
    """torch's form for targets without padding: 1-D, as long as their lengths add up to."""
    real = torch.cat([row[:n] for row, n in zip(TARGETS, TARGET_LENGTHS.tolist(), strict=True)])
    scores = torch.randn(4, 9, 6, dtype=torch.float64).log_softmax(-1)
    theirs = torch.nn.functional.ctc_loss(scores.transpose(0, 1), real, FRAMES, TARGET_LENGTHS, reduction="none")
    for lengths in (TARGET_LENGTHS, TARGET_LENGTHS.int(), TARGET_LENGTHS.tolist(), tuple(TARGET_LENGTHS.tolist())):
        for targets in (real, real.int()):
            mine = -ss.log_partition(ss.CTC(targets, lengths), scores, FRAMES)
            torch.testing.assert_close(mine, theirs)
    best = ss.argmax(ss.CTC(real, TARGET_LENGTHS), scores, labels=True, lengths=FRAMES)
    assert torch.equal(best, ss.argmax(ss.CTC(TARGETS, TARGET_LENGTHS), scores, labels=True, lengths=FRAMES))
    empty = ss.CTC(torch.zeros(0, dtype=torch.int64), torch.tensor([0, 0]))
    torch.testing.assert_close(ss.log_partition(empty, scores[:2]), scores[:2, :, 0].sum(-1))


def test_one_target_for_all():
    scores = torch.randn(3, 6, 4, dtype=torch.float64).log_softmax(-1)
    alone = torch.stack([ss.log_partition(ss.CTC(torch.tensor([1, 2])), x) for x in scores])
    for targets, lengths in (([1, 2], None), ([1, 2, 3], torch.tensor(2)), ([1, 2, 3], 2), ([[1, 2, 3]], [2])):
        torch.testing.assert_close(ss.log_partition(ss.CTC(torch.tensor(targets), lengths), scores), alone)


def test_targets_of_one_dim_whose_lengths_do_not_add_up():
    for lengths in ([3, 3], [2, 2], [5, 0, 5], [[2, 3]], [3]):
        with pytest.raises(ValueError, match=r"one after the other.*add up to 5.*One target for all.*padded"):
            ss.CTC(torch.tensor([1, 2, 1, 2, 1]), torch.tensor(lengths))
    for lengths in ([0.5], [True]):
        with pytest.raises(TypeError, match="target_lengths"):
            ss.CTC(torch.tensor([1]), torch.tensor(lengths))
    with pytest.raises(ValueError, match=r"target_lengths must lie in 0\.\.5"):
        ss.CTC(torch.tensor([1, 2, 1, 2, 1]), torch.tensor([6, -1]))


def test_ctc_too_few_frames():
    logits = torch.randn(4, 9, 6, requires_grad=True)
    mine, theirs = losses(logits, 0, torch.tensor([4, 4, 1, 0]))
    assert mine.isinf().tolist() == theirs.isinf().tolist() == [True, True, False, False]
    (gradient,) = torch.autograd.grad(mine[2:].sum() + mine[:2].clamp(max=0).sum(), logits)
    assert gradient.isfinite().all() and not gradient[:2].any()


def test_ctc_twice_differentiable():
    x = torch.randn(4, 9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    structure = ss.CTC(TARGETS[:, :3].clamp(min=1), TARGET_LENGTHS.clamp(max=3))
    ask = lambda y: ss.log_partition(structure, y[:, :5].log_softmax(-1), FRAMES.clamp(max=5))  # noqa: E731
    assert torch.autograd.gradcheck(ask, x)
    assert torch.autograd.gradgradcheck(ask, x)


def test_targets_of_each_instance():
    """Labels of many draws are scored, read and written with the target of their own instance."""
    targets = torch.tensor([[[1, 2], [2, 2]]])
    structure, phi = ss.CTC(targets), torch.randn(3, 2, 6, 3, dtype=torch.float64)
    labels = ss.sample(structure, phi, (7,), labels=True)
    for b in range(2):
        for row in labels[:, :, b].reshape(-1, 6):
            kept = torch.unique_consecutive(row)
            assert kept[kept != 0].tolist() == targets[0, b].tolist()
    events = structure.from_labels(labels, phi.expand(7, *phi.shape))
    torch.testing.assert_close(ss.log_prob(structure, phi, labels), ss.log_prob(structure, phi, events))
    assert ss.log_prob(structure, phi, labels.flip(2)).isneginf().all()


def test_events_of_a_structure_that_says_no_way_back():
    """Through `prepare` backwards, as a user's structure goes, an event is the one read off the parts."""
    structure, phi = ss.CTC(torch.tensor([[1, 2], [2, 2]])), torch.randn(2, 6, 3)

    class Plain(type(structure)):  # type: ignore[misc]
        def restore(self, parts, sizes, batch):
            return None

    slow = Plain(structure.targets)
    for ask in (
        lambda s: ss.argmax(s, phi),
        lambda s: ss.argmax(s, phi, labels=True),
        lambda s: ss.sample(s, phi, (5,), generator=torch.Generator().manual_seed(0)),
        lambda s: ss.sample(s, phi, (5,), labels=True, generator=torch.Generator().manual_seed(0)),
        lambda s: ss.sample(s, phi, (0, 2)),
        lambda s: ss.topk(s, phi, 3).events,
    ):
        assert torch.equal(ask(structure), ask(slow))


def test_targets_share_a_program():
    programs = {ss.program(ss.CTC(torch.ones(size, dtype=torch.int64)), torch.zeros(9, 4)) for size in ((3,), (3,))}
    one = ss.CTC(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 1]))
    programs.add(ss.program(one, torch.zeros(2, 9, 4)))
    assert len(programs) == 1


def test_targets_that_do_not_fit():
    phi = torch.zeros(2, 5, 4)
    for bad, blank in (([1, 0], 0), ([1, 4], 0), ([1, -1], 0), ([1, 3], 3)):
        with pytest.raises(ValueError, match="targets must lie"):
            ss.log_partition(ss.CTC(torch.tensor(bad), blank=blank), phi)
    with pytest.raises(ss.ShapeError, match="broadcast"):
        ss.log_partition(ss.CTC(torch.ones(3, 2, dtype=torch.int64)), phi)
    with pytest.raises(ValueError, match="blank must lie"):
        ss.log_partition(ss.CTC(torch.tensor([1]), blank=4), phi)
    with pytest.raises(ValueError, match="target_lengths"):
        ss.CTC(torch.tensor([1, 2]), torch.tensor(3))
    for kind in (torch.tensor([0.5]), [1, 2], torch.tensor(1)):
        with pytest.raises(TypeError, match="integer tensor"):
            ss.CTC(kind)
    with pytest.raises(ValueError, match=r"frame.*NaN"):
        ss.log_partition(ss.CTC(torch.tensor([1])), torch.full((2, 3), torch.nan))


def test_monotonic_search_equals_a_loop():
    phi = torch.randn(30, 8, dtype=torch.float64)
    best = torch.full((8,), -torch.inf, dtype=torch.float64)
    best[0] = phi[0, 0]
    for i in range(1, 30):
        before = torch.cat([best.new_full((1,), -torch.inf), best[:-1]])
        best = torch.maximum(best, before) + phi[i]
    torch.testing.assert_close(ss.max_score(ss.MonotonicAlignment(), phi), best[-1])
