"""Decoding inside compiled graphs and under vmap: walks are opaque operators too."""

import pytest
import torch

import semiring_struct as ss

CHAIN = ss.LinearChain()
TREE = ss.ProjectiveTree()
LENGTHS = torch.tensor([3, 4])


def chain() -> ss.ChainPotentials:
    return ss.ChainPotentials(torch.randn(2, 4, 3), torch.randn(2, 1, 3, 3))


QUERIES = {
    "argmax": lambda phi: ss.argmax(CHAIN, phi, lengths=LENGTHS).transition,
    "labels": lambda phi: ss.argmax(CHAIN, phi, labels=True, lengths=LENGTHS),
    "topk": lambda phi: ss.topk(CHAIN, phi, 3, lengths=LENGTHS).scores,
    "log_prob": lambda phi: ss.log_prob(CHAIN, phi, torch.ones(2, 4, dtype=torch.int64), lengths=LENGTHS),
    "tree": lambda phi: ss.argmax(TREE, phi.emission.new_ones(2, 5, 5) * phi.emission[:, :1, :1], labels=True),
}


CTC = ss.CTC(torch.tensor([[1, 2], [2, 2]]), torch.tensor([2, 1]))
SPACED = ss.constraints.AcceptedSubset(ss.Automaton(torch.tensor([[0, 1], [0, -1]]), torch.tensor([True, True])), 2)
PREPARED = {
    "marginals": lambda phi: (ss.marginals(CTC, phi), ss.marginals(SPACED, phi[..., 0])),
    "entropy": lambda phi: (ss.entropy(CTC, phi), ss.entropy(SPACED, phi[..., 0])),
    "events": lambda phi: (ss.argmax(CTC, phi), ss.argmax(SPACED, phi[..., 0])),
    "labels": lambda phi: (ss.argmax(CTC, phi, labels=True), ss.argmax(SPACED, phi[..., 0], labels=True)),
    "topk": lambda phi: ss.topk(CTC, phi, 2).events,
}


@pytest.mark.parametrize("name", PREPARED)
def test_one_graph_through_prepare(name):
    phi = torch.randn(2, 7, 4)
    compiled = torch.compile(PREPARED[name], fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(phi), PREPARED[name](phi))


@pytest.mark.parametrize("name", QUERIES)
def test_one_graph(name):
    phi = chain()
    compiled = torch.compile(QUERIES[name], fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(phi), QUERIES[name](phi))


def test_draws_in_one_graph():
    phi = chain()
    compiled = torch.compile(lambda x: ss.sample(CHAIN, x, (500,), labels=True), fullgraph=True, backend="aot_eager")
    tags = compiled(phi)
    assert tags.shape == (500, 2, 4)
    found = torch.nn.functional.one_hot(tags, 3).double().mean(0)
    torch.testing.assert_close(found, ss.marginals(CHAIN, phi).emission.double(), atol=0.12, rtol=0)


def test_an_infeasible_instance_raises_in_the_graph():
    compiled = torch.compile(lambda x: ss.argmax(ss.OneOf(), x), fullgraph=True, backend="aot_eager")
    with pytest.raises(RuntimeError, match="no structure of finite score"):
        compiled(torch.full((2, 3), -torch.inf))


def test_best_structures_under_vmap():
    phi = ss.ChainPotentials(torch.randn(5, 2, 4, 3), torch.randn(5, 2, 3, 3, 3))
    mapped = torch.vmap(lambda e, t: ss.argmax(CHAIN, ss.ChainPotentials(e, t), labels=True))(*phi)
    assert bool((mapped == ss.argmax(CHAIN, phi, labels=True)).all())
