"""Second arguments (potentials, values, events, targets) broadcast as potentials do: either side may lack batch dims.

The truth is the same call with everything expanded to the common batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import Family, arborescence, chain, ctc, matching, spans
from tests.structures.test_contract import fields

FAMILIES = (chain(3, 2, tied=True), spans(4), ctc(4, 3, (2, 1)), arborescence(4), matching(2))  # of no batch's size
BATCHES = (
    ((), (3,)),
    ((3,), ()),
    ((3,), (1,)),
    ((1,), (3,)),
    ((3, 1), (4,)),
    ((4,), (3, 1)),
    ((2, 1), (2, 4)),
    ((2, 4), (4,)),
    ((0,), ()),
    ((1,), (0,)),
)
SOFT = {
    "kl": ss.kl,
    "cross_entropy": ss.cross_entropy,
    "expectation": ss.expectation,
    "variance": ss.variance,
    "covariance_vp": ss.covariance_vp,
    "risk": ss.losses.risk,
}
TARGETS = {
    "log_prob": ss.log_prob,
    "contains": ss.contains,
    "nll": ss.losses.nll,
    "perceptron": ss.losses.perceptron,
    "hinge": ss.losses.hinge,
    "fenchel_young": ss.losses.fenchel_young(ss.LogSemiring()),
    "fenchel_young of a projection": ss.losses.fenchel_young(ss.losses.EuclideanMaximum()),
}
every_pair = pytest.mark.parametrize(
    ("family", "batches"),
    [(f, b) for f in FAMILIES for b in (BATCHES if f is FAMILIES[0] else BATCHES[:2] + BATCHES[4:5] + BATCHES[-1:])],
    ids=str,
)
every_soft = pytest.mark.parametrize("query", SOFT.values(), ids=SOFT.keys())
every_target = pytest.mark.parametrize("query", TARGETS.values(), ids=TARGETS.keys())


def expanded(family: Family, value: Any, batch: tuple[int, ...]) -> Any:
    return family.kind(*(f.expand(*batch, *shape) for f, shape in zip(fields(value), family.shapes, strict=True)))


def required(value: Any) -> Any:
    for f in fields(value):
        f.requires_grad_()
    return value


def total(answer: Any) -> Tensor:
    """A number that depends on every entry in a way of its own."""
    parts = [f * torch.arange(1, f.numel() + 1).reshape(f.shape) for f in fields(answer)]
    return sum(p[p.detach().abs() < torch.inf].sum() for p in parts)  # type: ignore[return-value]


def gradients(query: Callable[..., Any], family: Family, one: Any, other: Any, **how: Any) -> tuple[Any, list[Tensor]]:
    """The answer, and its gradients in both arguments where it has any."""
    answer = query(family.structure, one, other, **how)
    given = [f for x in (one, other) for f in fields(x) if f.requires_grad]
    if not all(f.requires_grad for f in fields(answer)):
        return answer, []
    return answer, list(torch.autograd.grad(total(answer), given, materialize_grads=True, allow_unused=True))


def check_alike(
    query: Callable[..., Any], family: Family, one: Any, other: Any, how: dict[str, Any], batch: tuple[int, ...],
    *, grown: Any = None,
) -> None:  # fmt: skip
    """The call, and its gradients in what was given, are those of the expanded call."""
    answer, slopes = gradients(query, family, one, other, **how)
    both = expanded(family, one, batch), expanded(family, other, batch) if grown is None else grown
    wide = query(family.structure, *both, **how)
    for a, b in zip(fields(answer), fields(wide), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    if slopes:
        given = [f for x in (one, other) for f in fields(x) if f.requires_grad]
        true = torch.autograd.grad(total(wide), given, materialize_grads=True, allow_unused=True)
        torch.testing.assert_close(slopes, list(true), rtol=1e-8, atol=1e-8)


def lengths_of(family: Family, batch: tuple[int, ...]) -> dict[str, Any]:
    """Lengths of the whole batch, full and one less by turns."""
    number = torch.Size(batch).numel()
    return {"lengths": family.sizes[0] - (torch.arange(number) % 2).reshape(batch)}


@every_pair
@every_soft
def test_potentials_and_values_broadcast(family: Family, query: Any, batches: Any):
    batch = tuple(torch.broadcast_shapes(*batches))
    for how in ({}, lengths_of(family, batch)):
        if query is ss.losses.risk and how:
            continue
        one, other = (family.draw(b, seed=i) for i, b in enumerate(batches))
        required(other)
        if query not in (ss.variance, ss.covariance_vp):  # their gradient in the potentials is of third order
            required(one)
        check_alike(query, family, one, other, how, batch)


@every_pair
@every_target
def test_events_and_targets_broadcast(family: Family, query: Any, batches: Any):
    batch = tuple(torch.broadcast_shapes(*batches))
    if query is TARGETS["fenchel_young"] and isinstance(family.structure, ss.Arborescence):
        return  # it has no program, which a semiring needs
    short = family.sizes[0] - 1
    for how, within in (({}, family.sizes[0]), ({"lengths": torch.full(batch, short)}, short)):
        phi = required(family.draw(batches[0], seed=0))
        event = ss.argmax(family.structure, family.draw(batches[1], seed=1), lengths=within)
        check_alike(query, family, phi, event, how, batch)
        if family.structure.label_code(dict.fromkeys("nctvmlkd", 3)) is not None and query is not ss.contains:
            labels = ss.argmax(family.structure, family.draw(batches[1], seed=1), labels=True, lengths=within)
            rank = labels.dim() - len(batches[1])
            grown = labels.expand(*batch, *labels.shape[labels.dim() - rank :])
            check_alike(query, family, phi, labels, how, batch, grown=grown)


def test_samples_stay_in_front_of_the_batch():
    family = chain(3, 2)
    phi = family.draw((3, 1), seed=0)
    draws = ss.sample(family.structure, family.draw((4,), seed=1), (5,), labels=True)  # (5, 4, 3)
    wide = expanded(family, phi, (3, 4))
    alone = torch.stack([ss.log_prob(family.structure, wide, d.expand(3, 4, 3)) for d in draws])
    torch.testing.assert_close(ss.log_prob(family.structure, wide, draws[:, None].expand(5, 3, 4, 3)), alone)
    torch.testing.assert_close(ss.log_prob(family.structure, phi, draws[:, None]), alone)


def test_lengths_of_a_batch_that_only_the_event_has():
    family = chain(4, 3)
    phi, lengths = family.draw((), seed=0), torch.tensor([4, 2, 1])
    labels = torch.zeros(3, 4, dtype=torch.int64)
    pairs = zip(labels, lengths, strict=True)
    alone = torch.stack([ss.log_prob(family.structure, phi, y, lengths=n) for y, n in pairs])
    torch.testing.assert_close(ss.log_prob(family.structure, phi, labels, lengths=lengths), alone)
    torch.testing.assert_close(ss.log_prob(family.structure, phi, labels.expand(2, 3, 4), lengths=lengths)[1], alone)


def test_integers_that_may_be_a_mask_or_lengths():
    """A mask has one dim more than the potentials' batch; so have lengths of a batch that only the event has."""
    tree, phi = ss.SpanTree(), spans(3).draw((), seed=0)
    events = ss.argmax(tree, phi.expand(3, 3, 3), lengths=[3, 2, 1])
    alone = torch.stack([ss.log_prob(tree, phi, e, n) for e, n in zip(events, [3, 2, 1], strict=True)])
    torch.testing.assert_close(ss.log_prob(tree, phi, events, torch.tensor([3, 2, 1])), alone)
    torch.testing.assert_close(ss.log_prob(tree, phi, events, [3, 2, 1]), alone)
    short = ss.argmax(tree, phi, lengths=2)
    mask = torch.tensor([1, 1, 0])
    for masked in (ss.log_prob(tree, phi, short.expand(4, 3, 3), mask), ss.log_prob(tree, phi, short, mask),
                   ss.log_prob(tree, phi, short.expand(3, 3, 3), mask.bool())):  # fmt: skip
        torch.testing.assert_close(masked, ss.log_prob(tree, phi, short, 2).expand(masked.shape))
    with pytest.raises(ss.ShapeError, match="boolean mask"):
        ss.log_prob(tree, phi, short.expand(3, 3, 3), mask)


@pytest.mark.parametrize("with_lengths", [False, True])
def test_values_with_dims_of_their_own(with_lengths: bool):
    family = chain(3, 2)
    how = {"lengths": torch.tensor([3, 2])} if with_lengths else {}
    phi = family.draw((2,), seed=0)
    many = [family.draw((2,), seed=i) for i in range(1, 6)]
    stacked = family.kind(*(torch.stack(each, -1) for each in zip(*map(fields, many), strict=True)))
    alone = torch.stack([ss.expectation(family.structure, phi, values, **how) for values in many], -1)
    torch.testing.assert_close(ss.expectation(family.structure, phi, stacked, **how), alone)
    shared = family.kind(*(f[:1] for f in fields(stacked)))
    alone = torch.stack([ss.expectation(family.structure, phi, family.kind(*(f[0] for f in fields(v))), **how)
                         for v in many], -1)  # fmt: skip
    torch.testing.assert_close(ss.expectation(family.structure, phi, shared, **how), alone)


def test_values_that_fit_both_readings_have_dims_of_their_own():
    tree, phi = ss.SpanTree(), spans(3).draw((), seed=0)
    values = torch.randn(3, 3, 3, dtype=torch.float64)
    mean = ss.marginals(tree, phi)
    torch.testing.assert_close(ss.expectation(tree, phi, values), torch.einsum("ij,ijk->k", mean, values))
    torch.testing.assert_close(ss.expectation(tree, phi[None], values), torch.einsum("ij,kij->k", mean, values))
    other = values[:2]
    torch.testing.assert_close(ss.expectation(tree, phi, other), torch.einsum("ij,kij->k", mean, other))


def test_extra_dims_are_those_of_every_field():
    family = chain(3, 2)
    emission, transition = family.draw((), seed=0)
    wide = family.kind(emission[..., None].expand(3, 2, 5), transition)
    with pytest.raises(ss.ShapeError, match=r"expectation: values: emission needs shape .*got \(3, 2, 5\)"):
        ss.expectation(family.structure, family.draw((), seed=1), wide)


@every_soft
def test_batch_dims_that_do_not_broadcast_are_named(query: Any):
    family = chain(3, 2)
    with pytest.raises(ss.ShapeError, match=r"(2.*3|3.*2)"):
        query(family.structure, family.draw((2,), seed=0), family.draw((3,), seed=1))


def test_noise_costs_and_masks_broadcast():
    family = spans(3)
    phi, noise = family.draw((3, 1), seed=0), family.draw((4,), seed=1)
    tree, wide = family.structure, (phi.expand(3, 4, 3, 3), noise.expand(3, 4, 3, 3))
    assert torch.equal(ss.surrogates.imle(tree, phi, noise=noise), ss.surrogates.imle(tree, wide[0], noise=wide[1]))
    target = ss.argmax(tree, phi)
    for how in ({}, {"lengths": torch.tensor([3, 2, 3, 1])}):
        aim = ss.argmax(tree, phi[0, 0], lengths=torch.tensor(1)) if how else target
        torch.testing.assert_close(
            ss.losses.hinge(tree, phi, aim, noise, **how), ss.losses.hinge(tree, wide[0], aim, wide[1], **how)
        )
    allowed = noise > -0.5
    for how in ({}, {"lengths": torch.tensor([3, 2, 3, 1])}):
        torch.testing.assert_close(
            ss.constraints.log_prob(tree, phi, allowed, **how),
            ss.constraints.log_prob(tree, wide[0], allowed.expand(3, 4, 3, 3), **how),
        )
    loss = ss.relaxations.perturbed_loss(tree, phi[0, 0], target[:, 0], ss.relaxations.Gumbel(), 2, torch.full((3,), 3),
                                         generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert loss.shape == (3,)


@pytest.mark.parametrize("family", [chain(3, 2), ctc(4, 3, (2, 1)), arborescence(4)], ids=str)
def test_covariances_are_linear_in_the_vector_and_refuse_a_third_order(family: Family):
    phi, v = family.draw((2,), seed=0), required(family.draw((2,), seed=1))
    for query in (ss.covariance_vp, ss.variance):
        def value(*v: Tensor, query: Any = query) -> Any:
            return tuple(fields(query(family.structure, phi, family.kind(*v))))

        assert torch.autograd.gradcheck(value, tuple(iter(fields(v))))
        assert torch.autograd.gradgradcheck(value, tuple(iter(fields(v))))
        with pytest.raises(NotImplementedError, match="third derivatives"):
            total(query(family.structure, required(family.draw((2,), seed=0)), v)).backward()
