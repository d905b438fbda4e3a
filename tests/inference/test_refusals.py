"""More bad input, argument by argument: second potentials, values, events, devices, kinds, modes that skip checks."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.structures import Structure
from tests.structures.families import FAMILIES, Family, chain, spans
from tests.structures.test_contract import fields

CHAIN, TREE = ss.LinearChain(), ss.SpanTree()
NAN, INF = float("nan"), float("inf")
ALONE = {
    "log_partition": ss.log_partition,
    "marginals": ss.marginals,
    "max_score": ss.max_score,
    "argmax": ss.argmax,
    "sample": ss.sample,
    "topk": lambda s, phi, **how: ss.topk(s, phi, 2, **how),
    "sample_without_replacement": lambda s, phi, **how: ss.sample_without_replacement(s, phi, 2, **how),
    "entropy": ss.entropy,
    "renyi_entropy": lambda s, phi, **how: ss.renyi_entropy(s, phi, 2.0, **how),
    "count": ss.count,
    "enumerate_events": ss.enumerate_events,
    "evaluate": lambda s, phi, **how: ss.evaluate(s, ss.KBestSemiring(2), phi, **how),
}
WITH_ANOTHER = {
    "cross_entropy": ss.cross_entropy,
    "kl": ss.kl,
    "expectation": ss.expectation,
    "variance": ss.variance,
    "covariance_vp": ss.covariance_vp,
    "log_prob": ss.log_prob,
    "contains": ss.contains,
    "score": ss.score,
}
every_query = pytest.mark.parametrize("query", ALONE.values(), ids=ALONE.keys())
every_other = pytest.mark.parametrize("query", WITH_ANOTHER.values(), ids=WITH_ANOTHER.keys())


def tree(*batch: int) -> Tensor:
    return spans(3).draw(batch, seed=0)


@every_query
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_not_a_number_in_any_field_is_refused_and_named(family: Family, query: Any):
    for i in range(len(family.shapes)):
        for bad in (NAN, INF):
            phi = family.draw((2,), seed=0)
            if not fields(phi)[i].numel():
                continue
            fields(phi)[i].view(-1)[-1] = bad
            name = family.structure.field_names[i]
            with pytest.raises(ValueError, match=rf"{name}.*(NaN|inf)"):
                query(family.structure, phi)


@every_query
def test_wrong_rank_dtype_device_and_kind(query: Any):
    with pytest.raises(ss.ShapeError, match="span"):
        query(TREE, torch.zeros(3))
    for bad in (torch.zeros(3, 3, dtype=torch.long), torch.zeros(3, 3, dtype=torch.bool)):
        with pytest.raises(TypeError, match=str(bad.dtype).removeprefix("torch.")):
            query(TREE, bad)
    with pytest.raises(TypeError, match="float8"):
        query(TREE, torch.zeros(3, 3).to(torch.float8_e5m2))
    for bad in (None, np.zeros((3, 3)), [[0.0]], {"span": torch.zeros(3, 3)}, 0.0):
        with pytest.raises(TypeError, match="tensor"):
            query(TREE, bad)
    phi = chain(4, 3).draw((), seed=0)
    with pytest.raises(ValueError, match="device"):
        query(CHAIN, ss.ChainPotentials(phi.emission, phi.transition.to("meta")))
    with pytest.raises(TypeError, match="structure"):
        query(None, tree())


@every_query
def test_lengths_of_any_wrong_kind(query: Any):
    phi = tree(2)
    for lengths, error in (
        (torch.tensor([4, 1]), ValueError),
        (torch.tensor([-1, 1]), ValueError),
        (torch.tensor([1.0, 2.0]), TypeError),
        (torch.tensor([1, 2, 3]), ss.ShapeError),
        (torch.tensor([[1, 2]]), ss.ShapeError),
        (torch.tensor([[True, False, True]] * 2), ValueError),
        (torch.tensor([[True, False]] * 2), ss.ShapeError),
        ((torch.tensor([1, 2]), torch.tensor([1, 2])), ValueError),
        (torch.tensor([1, 2], device="meta"), ValueError),
        ("3", TypeError),
    ):
        with pytest.raises(error, match=r"length|mask"):
            query(TREE, phi, lengths=lengths)
    with pytest.raises(ValueError, match="length"):
        query(ss.OneOf(), torch.zeros(2, 3), lengths=torch.tensor([1, 2]))


@every_query
def test_sizes_of_zero_are_refused(query: Any):
    """Where lengths do not bound them, so that 0 is not the size of an empty instance."""
    with pytest.raises(ss.ShapeError, match="c must be at least 1"):
        query(ss.SpanTree(labelled=True), torch.zeros(2, 3, 3, 0))
    with pytest.raises(ss.ShapeError, match="k must be at least 1"):
        query(ss.OneOf(), torch.zeros(2, 0))


@every_other
def test_a_second_argument_that_does_not_fit(query: Any):
    phi, pair = tree(2), chain(4, 3).draw((2,), seed=0)
    for other in (torch.zeros(2, 4, 4), torch.zeros(2, 3), torch.zeros(3, 3, 3), torch.zeros(2, 3, 4)):
        with pytest.raises(ss.ShapeError):
            query(TREE, phi, other.double())
    for other in (pair.emission, None, (pair.emission,), (pair.emission, None)):
        with pytest.raises(TypeError):
            query(CHAIN, pair, other)


@pytest.mark.parametrize("query", [ss.cross_entropy, ss.kl], ids=["cross_entropy", "kl"])
def test_second_potentials_are_potentials(query: Any):
    other = tree(2)
    other[1, 0, 2] = NAN
    with pytest.raises(ValueError, match="NaN"):
        query(TREE, tree(2), other)
    with pytest.raises(TypeError, match="int64"):
        query(TREE, tree(2), torch.zeros(2, 3, 3, dtype=torch.long))


def test_labels_that_do_not_fit_the_batch():
    phi = chain(4, 3).draw((2,), seed=0)
    with pytest.raises(ss.ShapeError):
        ss.log_prob(CHAIN, phi, torch.zeros(3, 4, dtype=torch.long))
    with pytest.raises(ss.ShapeError):
        ss.log_prob(CHAIN, phi, torch.zeros(2, 5, dtype=torch.long))


def test_batch_dims_that_do_not_broadcast_are_shown():
    phi = chain(4, 3).draw((2,), seed=0)
    with pytest.raises(ss.ShapeError, match=r"emission.*transition"):
        ss.log_partition(CHAIN, ss.ChainPotentials(phi.emission, phi.transition[:1].expand(3, 3, 3, 3)))


def test_arguments_of_single_queries():
    phi = tree(2)
    for k in (0, -1, 2.0, True, "2"):
        for query in (ss.topk, ss.sample_without_replacement):
            with pytest.raises((TypeError, ValueError), match="k"):
                query(TREE, phi, k)
    for shape in ((-1,), (2.0,), "2", (True,)):
        with pytest.raises((TypeError, ValueError), match="sample_shape"):
            ss.sample(TREE, phi, shape)
    with pytest.raises(TypeError, match="generator"):
        ss.sample(TREE, phi, generator=0)
    for alpha in (-1.0, NAN):
        with pytest.raises(ValueError, match="alpha"):
            ss.renyi_entropy(TREE, phi, alpha)
    with pytest.raises(ValueError, match="14 events"):
        ss.enumerate_events(TREE, torch.zeros(5, 5), limit=13)
    with pytest.raises(TypeError, match="semiring"):
        ss.evaluate(TREE, "log", phi)
    with pytest.raises(ValueError, match="nonsense"):
        ss.explain(TREE, phi, "nonsense")


class Bare(Structure):
    """Declares parts and nothing to compute with."""


@every_query
def test_a_structure_without_a_program_offers_no_query(query: Any):
    with pytest.raises(ss.UnsupportedQueryError, match="Bare"):
        query(Bare(), torch.zeros(3))
    assert issubclass(ss.UnsupportedQueryError, NotImplementedError)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_infeasible_instances_are_named_by_their_index(batch: tuple[int, ...]):
    phi = tree(*batch)
    last = tuple(size - 1 for size in batch)
    phi[last] = -INF
    named = re.escape(f"first at index {last}") if batch else "no structure of finite score"
    for query in (ss.argmax, ss.sample):
        with pytest.raises(ss.InfeasibleError, match=named):
            query(TREE, phi)
    assert not ss.topk(TREE, phi, 1).valid[(0, *last)]
    assert not ss.sample_without_replacement(TREE, phi, 1).valid[(0, *last)]


def step_that_allows_nothing(state: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((len(last), 2), -INF), state


@pytest.mark.parametrize(
    "structure, phi, said",
    [
        (TREE, tree().fill_(-INF), "test max_score for"),
        (ss.Matching(), torch.full((30, 30), -INF), "test max_score for"),     # too large for a log_partition
        (ss.Autoregressive(step_that_allows_nothing, torch.zeros(1)), torch.zeros(3, 2), "dead end; allow more parts$"),
    ],
)
def test_infeasible_instances_are_told_by_a_query_that_is_offered(structure: Structure, phi: torch.Tensor, said: str):
    query = ss.greedy if isinstance(structure, ss.Autoregressive) else ss.argmax
    with pytest.raises(ss.InfeasibleError, match=said):
        query(structure, phi)


def test_checks_run_without_assertions_and_without_validation():
    """`python -O` strips `assert`, torch.compile switches validation of distributions off: neither disarms a check."""
    script = """
        import torch, semiring_struct as ss
        torch.distributions.Distribution.set_default_validate_args(False)
        nan, phi = torch.full((3, 3), float("nan")), torch.zeros(2, 3, 3)
        tries = [
            (ValueError, lambda: ss.log_partition(ss.SpanTree(), nan)),
            (ValueError, lambda: ss.count(ss.SpanTree(), nan)),
            (ss.ShapeError, lambda: ss.marginals(ss.SpanTree(), phi[0, 0])),
            (ValueError, lambda: ss.entropy(ss.SpanTree(), phi, lengths=torch.tensor([1, 4]))),
            (ValueError, lambda: ss.SpanTree().from_labels(torch.zeros(3, 3, dtype=torch.long), phi[0])),
            (ss.InfeasibleError, lambda: ss.argmax(ss.SpanTree(), torch.full((3, 3), -torch.inf))),
        ]
        for i, (error, attempt) in enumerate(tries):
            try:
                attempt()
            except error:
                continue
            raise SystemExit(f"case {i} was not refused")
        """
    done = subprocess.run(
        [sys.executable, "-O", "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
