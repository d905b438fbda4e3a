"""Bad input of every kind is refused at the public door, by a typed error that names what came."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from tests.structures.families import chain, spans

CHAIN, TREE = ss.LinearChain(), ss.SpanTree()
QUERIES = (ss.log_partition, ss.marginals, ss.max_score, ss.argmax, ss.entropy, ss.count)
every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.__name__)


def chain_potentials() -> ss.ChainPotentials:
    return chain(4, 3).draw((2,), seed=0)


@every_query
def test_shapes_that_do_not_fit(query):
    emission, transition = chain_potentials()
    with pytest.raises(ss.ShapeError, match="transition"):
        query(CHAIN, ss.ChainPotentials(emission, transition[..., :2]))
    with pytest.raises(ss.ShapeError):
        query(CHAIN, ss.ChainPotentials(emission, transition[:, :2]))
    with pytest.raises(ss.ShapeError):
        query(CHAIN, ss.ChainPotentials(emission[0, 0], transition))
    with pytest.raises(ss.ShapeError):
        query(CHAIN, ss.ChainPotentials(emission, transition[:1].expand(3, 3, 3, 3)))
    with pytest.raises(ss.ShapeError):
        query(TREE, torch.zeros(2, 3, 4))
    with pytest.raises(ss.ShapeError):
        query(TREE, torch.zeros(4))


@every_query
def test_wrong_kinds_of_argument(query):
    emission, _ = chain_potentials()
    with pytest.raises(TypeError):
        query(CHAIN, emission)
    with pytest.raises(TypeError):
        query(TREE, (torch.zeros(3, 3), torch.zeros(3, 3)))
    with pytest.raises(TypeError):
        query(TREE, [[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(TypeError, match=r"int|dtype"):
        query(TREE, torch.zeros(3, 3, dtype=torch.long))
    with pytest.raises(TypeError, match=r"complex|dtype"):
        query(TREE, torch.zeros(3, 3, dtype=torch.complex64))


@every_query
def test_nan_and_plus_infinity(query):
    for bad in (float("nan"), float("inf")):
        phi = torch.zeros(2, 3, 3)
        phi[1, 0, 2] = bad
        with pytest.raises(ValueError, match=r"nan|NaN|inf"):
            query(TREE, phi)


@every_query
def test_bad_lengths(query):
    phi = chain_potentials()
    for lengths in ([-1, 2], [5, 2]):
        with pytest.raises(ValueError, match="length"):
            query(CHAIN, phi, lengths=torch.tensor(lengths))
    with pytest.raises(ValueError, match="length"):
        query(CHAIN, phi, lengths=torch.tensor([1, 2, 3]))
    with pytest.raises(TypeError, match="length"):
        query(CHAIN, phi, lengths=torch.tensor([1.5, 2.0]))


@every_query
def test_masks_with_holes(query):
    mask = torch.tensor([[True, True, False, False], [True, False, True, False]])
    with pytest.raises(ValueError, match=r"1"):
        query(CHAIN, chain_potentials(), lengths=mask)
    with pytest.raises(ValueError, match=r"mask|length"):
        query(CHAIN, chain_potentials(), lengths=mask[:, :3])


def test_pairs_of_lengths():
    phi = ss.AlignmentPotentials(torch.zeros(2, 3, 2), torch.zeros(2, 3, 3), torch.zeros(2, 4, 2))
    with pytest.raises((TypeError, ValueError), match="length"):
        ss.log_partition(ss.Alignment(), phi, lengths=torch.tensor([1, 2]))
    with pytest.raises((TypeError, ValueError), match="length"):
        ss.log_partition(TREE, torch.zeros(2, 3, 3), lengths=(torch.tensor([1, 2]), torch.tensor([1, 2])))


def test_infeasible_instances_are_named():
    phi = torch.zeros(2, 3, 3, 3)
    phi[1, 0] = float("-inf")
    for query in (ss.argmax, ss.sample):
        with pytest.raises(ss.InfeasibleError, match=r"1, 0"):
            query(TREE, phi)


def test_labels_out_of_range():
    phi = chain_potentials()
    for labels in ([[0, 1, 3, 0]] * 2, [[0, -1, 1, 0]] * 2, [[0, -100, 1, 0]] * 2):
        assert (ss.log_prob(CHAIN, phi, torch.tensor(labels)) == -torch.inf).all()
        with pytest.raises(ValueError, match=r"label|tag"):
            CHAIN.from_labels(torch.tensor(labels), phi)
    with pytest.raises(ss.ShapeError):
        ss.log_prob(CHAIN, phi, torch.zeros(2, 3, dtype=torch.long))


def test_events_of_the_wrong_shape():
    phi = spans(3).draw((2,), seed=0)
    with pytest.raises(ss.ShapeError):
        ss.log_prob(TREE, phi, torch.zeros(2, 3, 4, dtype=torch.float64))


def test_bad_values_of_k_and_sample_shape():
    phi = spans(3).draw((2,), seed=0)
    for k in (0, -1):
        with pytest.raises(ValueError, match="k"):
            ss.topk(TREE, phi, k)
        with pytest.raises(ValueError, match="k"):
            ss.sample_without_replacement(TREE, phi, k)
    with pytest.raises((TypeError, ValueError)):
        ss.sample(TREE, phi, (-1,))
    with pytest.raises(ValueError, match="alpha"):
        ss.renyi_entropy(TREE, phi, -0.5)


def test_something_that_is_no_structure():
    with pytest.raises(TypeError):
        ss.log_partition("chain", torch.zeros(3, 3))
    with pytest.raises(TypeError):
        ss.log_partition(ss.SpanTree, torch.zeros(3, 3))
