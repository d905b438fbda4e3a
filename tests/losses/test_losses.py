"""Losses against their definitions over enumerated structures, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct import losses
from semiring_struct.ops import sparsemax
from tests.enumerations.linear_chain import chain_events

N, C = 3, 2


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chain(batch: tuple[int, ...] = (4,), seed: int = 0) -> ss.ChainPotentials:
    g = seeded(seed)
    phi = ss.ChainPotentials(
        torch.randn(*batch, N, C, generator=g, dtype=torch.float64),
        torch.randn(*batch, N - 1, C, C, generator=g, dtype=torch.float64),
    )
    phi.transition[..., 0, 1, 0] = float("-inf")
    return ss.ChainPotentials(*(f.requires_grad_() for f in phi))


def events() -> ss.ChainPotentials:
    return ss.ChainPotentials(*chain_events(N, C))


def scores(phi: ss.ChainPotentials) -> Tensor:
    """`(*batch, structures)`."""
    total = torch.zeros(())
    for field, event in zip(phi, events(), strict=True):
        used = event > 0
        batch = field.shape[: field.dim() - event.dim() + 1]
        field = field.unsqueeze(len(batch))
        total = total + torch.where(used, field, 0.0).flatten(len(batch) + 1).sum(-1)
    return total


TARGET = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 0]])


def target_event(phi: ss.ChainPotentials) -> Any:
    return ss.LinearChain().from_labels(TARGET, phi)


def index_of(target: ss.ChainPotentials) -> Tensor:
    same = (events().emission.unsqueeze(0) == target.emission.unsqueeze(1)).flatten(2).all(-1)
    return same.int().argmax(-1)


@pytest.mark.parametrize("form", ["labels", "event"])
def test_values(form: str):
    phi, chain_ = chain(), ss.LinearChain()
    event = target_event(phi)
    target = TARGET if form == "labels" else event
    each, own = scores(phi), index_of(event)
    gold = each.gather(-1, own[:, None]).squeeze(-1)
    close = torch.testing.assert_close
    close(losses.nll(chain_, phi, target), each.logsumexp(-1) - gold)
    close(losses.perceptron(chain_, phi, target), each.max(-1).values - gold)
    wrong = sum(
        ((e.unsqueeze(0) > 0) & (t.unsqueeze(1) == 0)).flatten(2).sum(-1) for e, t in zip(events(), event, strict=True)
    )
    close(losses.hinge(chain_, phi, target), (each + wrong).max(-1).values - gold)
    cost = ss.ChainPotentials(*(torch.rand(f.shape, generator=seeded(2), dtype=f.dtype) for f in phi))
    added = sum((e.unsqueeze(0) * c.unsqueeze(1)).flatten(2).sum(-1) for e, c in zip(events(), cost, strict=True))
    margin = (each + added).max(-1).values - gold - added.gather(-1, own[:, None]).squeeze(-1)
    close(losses.hinge(chain_, phi, target, cost), margin)
    close(losses.risk(chain_, phi, cost), (each.softmax(-1) * added).sum(-1))


@pytest.mark.parametrize(
    "loss",
    [losses.nll, losses.perceptron, losses.hinge, losses.fenchel_young(ss.LogSemiring()),
     losses.fenchel_young(ss.SparsemaxSemiring()), losses.fenchel_young(losses.EuclideanMaximum())],
    ids=["nll", "perceptron", "hinge", "log", "sparsemax", "euclidean"],
)  # fmt: skip
def test_losses_are_at_least_zero_and_pull_towards_the_target(loss: Callable[..., Tensor]):
    phi = chain()
    value = loss(ss.LinearChain(), phi, TARGET)
    assert value.shape == (4,) and bool((value >= -1e-9).all())
    moved = ss.ChainPotentials(*(f.detach() + 20 * e for f, e in zip(phi, target_event(phi), strict=True)))
    assert bool((loss(ss.LinearChain(), moved, TARGET) < 1e-4).all())
    grads = torch.autograd.grad(value.sum(), phi)
    downhill = ss.ChainPotentials(*((f - 1e-3 * g).detach() for f, g in zip(phi, grads, strict=True)))
    assert float(loss(ss.LinearChain(), downhill, TARGET).sum()) <= float(value.detach().sum())
    assert all(bool(g.isfinite().all()) for g in grads)


def test_family_members_are_the_losses_they_are_known_as():
    phi, chain_ = chain(), ss.LinearChain()
    close = torch.testing.assert_close
    close(losses.fenchel_young(ss.LogSemiring())(chain_, phi, TARGET), losses.nll(chain_, phi, TARGET))
    close(losses.fenchel_young(ss.MaxSemiring())(chain_, phi, TARGET), losses.perceptron(chain_, phi, TARGET))


def test_the_euclidean_member_is_the_sparsemax_loss_on_one_hots():
    x = torch.randn(5, 4, generator=seeded(3), dtype=torch.float64).requires_grad_()
    y = torch.tensor([0, 1, 2, 3, 0])
    value = losses.fenchel_young(losses.EuclideanMaximum())(ss.OneOf(), x, torch.eye(4, dtype=torch.float64)[y])
    p = sparsemax(x, -1)
    direct = (p * x).sum(-1) - p.square().sum(-1) / 2 + 0.5 - x.gather(-1, y[:, None]).squeeze(-1)
    torch.testing.assert_close(value, direct, rtol=1e-6, atol=1e-7)
    (grad,) = torch.autograd.grad(value.sum(), [x])
    torch.testing.assert_close(grad, (p - torch.eye(4, dtype=torch.float64)[y]).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [losses.nll, losses.risk])
def test_gradients(loss: Callable[..., Tensor]):
    phi = chain((2,))
    values = [f.detach() for f in phi]
    free = values[1].isfinite()

    def run(emission: Tensor, moves: Tensor) -> Tensor:
        both = ss.ChainPotentials(emission, values[1].masked_scatter(free, moves))
        second = TARGET[:2] if loss is losses.nll else both
        if loss is losses.risk:
            second = ss.ChainPotentials(torch.ones_like(emission).cumsum(-1), torch.ones_like(values[1]).cumsum(-1))
        return loss(ss.LinearChain(), both, second)

    args = (values[0].requires_grad_(), values[1][free].requires_grad_())
    assert torch.autograd.gradcheck(run, args)
    if loss is losses.nll:
        assert torch.autograd.gradgradcheck(run, args)


def test_lengths_bound_what_counts():
    phi, lengths = chain(), torch.tensor([3, 2, 1, 0])
    labels = TARGET.masked_fill(torch.arange(N) >= lengths[:, None], -1)
    for loss in (losses.nll, losses.perceptron, losses.hinge, losses.fenchel_young(ss.LogSemiring())):
        value = loss(ss.LinearChain(), phi, labels, lengths=lengths)
        assert value[3].tolist() == 0.0
        (grad,) = torch.autograd.grad(value.sum(), [phi.emission])
        assert bool((grad[1, 2:] == 0).all() and (grad[3] == 0).all())


def test_a_forbidden_target_costs_infinitely_much():
    phi = chain((1,))
    assert losses.nll(ss.LinearChain(), phi, torch.tensor([[1, 0, 0]])).tolist() == [float("inf")]
    assert losses.perceptron(ss.LinearChain(), phi, torch.tensor([[1, 0, 0]])).tolist() == [float("inf")]


def test_refusals():
    with pytest.raises(TypeError, match="semiring or a Maximum"):
        losses.fenchel_young(ss.log_partition)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cost"):
        losses.hinge(ss.LinearChain(), chain(), TARGET, torch.zeros(3))
