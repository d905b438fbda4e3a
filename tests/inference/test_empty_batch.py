"""A batch without instances goes through every call, forwards and backwards, and gives tensors without instances."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.inference import catalogue
from tests.inference.catalogue import tensors
from tests.structures.families import Family
from tests.structures.test_contract import fields

BATCHES = ((0,), (2, 0))  # the one without lengths, the other with lengths


def leaves(family: Family, batch: tuple[int, ...]) -> Any:
    """Potentials; of several fields, one is shared by the batch and has entries though there be no instance."""
    phi = fields(family.draw(batch, seed=0))
    shared = fields(family.draw((1,) * len(batch), seed=0))
    every = [s if i == len(phi) - 1 and i else f for i, (f, s) in enumerate(zip(phi, shared, strict=True))]
    return family.kind(*(f.detach().clone().requires_grad_() for f in every))


def lengths_of(family: Family, batch: tuple[int, ...]) -> Any:
    sides = tuple(torch.full(batch, size) for size in family.sizes)
    return sides if len(sides) > 1 else sides[0] if sides else None


@pytest.mark.parametrize("family", catalogue.EACH, ids=str)
def test_every_call(family: Family):
    """Half of the calls with one kind of batch and half with the other; the next structure has them the other way."""
    wrong = list[str]()
    for i, (name, query) in enumerate(catalogue.ALL.items(), catalogue.EACH.index(family)):
        batch = BATCHES[i % 2]
        full, phi = (2,) * len(batch), leaves(family, batch)
        lengths, those = (None, None) if len(batch) == 1 else (lengths_of(family, batch), lengths_of(family, full))
        try:
            found = tensors(query(family.structure, phi, lengths))
            check_shapes(name, found, family, query, those, batch, full)
            check_gradients(name, found, fields(phi))
        except ss.UnsupportedQueryError:
            continue
        except Exception as error:
            wrong.append(f"{name}{', with lengths' * (lengths is not None)}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def check_shapes(
    name: str, found: list[Tensor], family: Family, query: Any, lengths: Any, batch: tuple[int, ...],
    full: tuple[int, ...],
) -> None:  # fmt: skip
    """Each tensor is like that of the same call on instances but for batch dims, and how many events are listed."""
    if name in ("enumerate_events", "sparsemap") or not found:
        return
    true = tensors(query(family.structure, leaves(family, full), lengths))
    for x, y in zip(found, true, strict=True):
        assert x.dtype == y.dtype and x.requires_grad == y.requires_grad, name
        at = {i for i, (a, b) in enumerate(zip(x.shape, y.shape, strict=True)) if a != b}
        assert x.numel() == 0 and len(at) == 1 and x.shape[at.pop()] == 0, (name, x.shape, y.shape)


def check_gradients(name: str, found: list[Tensor], given: tuple[Tensor, ...]) -> None:
    """Gradients of first and, where there is one, second order, like what was given and 0."""
    tracked = [t for t in found if t.requires_grad]
    if not tracked:
        return
    how = {"materialize_grads": True, "allow_unused": True}
    with suppress(NotImplementedError):  # a gradient that is stated, or of third order
        first = torch.autograd.grad([t.sum() for t in tracked], given, create_graph=True, **how)
        check_zero(name, first, given)
        again = [g.sum() for g in first if g.requires_grad]
        if again:
            check_zero(name, torch.autograd.grad(again, given, **how), given)


def check_zero(name: str, slopes: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> None:
    for g, f in zip(slopes, given, strict=True):
        assert g.shape == f.shape and g.dtype == f.dtype and not g.any(), name


@pytest.mark.parametrize("name", ["TopK", "Ranking", "Kruskal", "ChuLiuEdmonds", "GreedyMatching", "BinaryTree"])
def test_traces(name: str):
    shape = {"TopK": (4,), "Ranking": (4,), "BinaryTree": (4,), "GreedyMatching": (3, 3)}.get(name, (4, 4))
    algorithm = getattr(ss.traces, name)(2) if name == "TopK" else getattr(ss.traces, name)()
    rates = torch.randn(0, *shape, dtype=torch.float64).requires_grad_()
    drawn = algorithm.sample(rates, (3,))
    value = algorithm.log_prob(drawn, rates)
    assert drawn.shape[:2] == (3, 0) and value.shape == (3, 0)
    assert torch.autograd.grad(value.sum(), rates)[0].shape == rates.shape
    assert algorithm.conditional_noise(drawn, rates).shape[:2] == (3, 0)
    assert algorithm.event(drawn).shape[:2] == (3, 0) and algorithm.greedy(rates).shape[0] == 0


def test_others():
    x = torch.randn(0, 4, 4, requires_grad=True)
    for value in (
        ss.soft_dtw(x, 1.0), ss.relaxations.sinkhorn(x).mean, ss.relaxations.sparsemax(x, -1),
        ss.relaxations.entmax(x, 1.3, -1), ss.einsum("ab,bc->ac", x, x),
        ss.surrogates.gumbel_rao_blackwell(x, 2), ss.surrogates.vector_quantize(x, torch.randn(5, 4)),
        ss.constraints.allow(x, torch.ones(4, 4, dtype=torch.bool)),
        ss.loopy_belief_propagation(ss.FactorGraph("ab,bc"), (x, x)).log_partition,
    ):  # fmt: skip
        assert value.numel() == 0
        assert torch.autograd.grad(value.sum(), x)[0].shape == x.shape
    model = ss.Autoregressive(lambda state, last: (torch.zeros(len(last), 4), state))
    assert ss.sample(model, x, (3,), labels=True).shape == (3, 0, 4)
    assert ss.beam_search(model, x, 2, labels=True).events.shape == (2, 0, 4)
    assert ss.log_prob(model, x, torch.zeros(0, 4, dtype=torch.int64)).shape == (0,)
