"""Factor graphs: torch's einsum, chains and hidden Markov models (hmmlearn's too), variables, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import hmmlearn.hmm
import numpy as np
import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import chain, graph

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers.json").read_text())
LOOPS = ("ab,bc,cd,da", "abc,bcd,ae", "ab,bc,ca,cd,de,ec", "a,b,ab,Ab")


def same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def drawn(equation: str, seed: int = 0) -> tuple[Tensor, ...]:
    sizes = {x: 2 + i % 3 for i, x in enumerate(dict.fromkeys(equation.replace(",", "")))}
    return graph(equation, **sizes).draw((2,), seed)


@pytest.mark.parametrize("equation", LOOPS)
def test_the_partition_function_is_an_einsum(equation: str):
    """So are the marginals of factors and of variables, with the letters they keep as output."""
    phi, model = drawn(equation), ss.FactorGraph(equation)
    tables = [field.exp() for field in phi]
    batched = ",".join(f"z{factor}" for factor in equation.split(","))
    total = torch.einsum(f"{batched}->z", *tables)
    same(ss.log_partition(model, phi), total.log())
    marginals = ss.marginals(model, phi)
    for factor, found in zip(equation.split(","), marginals, strict=True):
        same(found, torch.einsum(f"{batched}->z{factor}", *tables) / total.reshape(2, *[1] * len(factor)))
    of_variables = model.variable_marginals(marginals)
    assert "".join(of_variables) == model.variables
    for x, found in of_variables.items():
        same(found, torch.einsum(f"{batched}->z{x}", *tables) / total[:, None])


def test_a_chain_is_a_factor_graph():
    phi = chain(4, 3).draw((2,), seed=1)
    model = ss.FactorGraph("a,b,c,d,ab,bc,cd")
    both = (*phi.emission.unbind(1), *phi.transition.unbind(1))
    for query in (ss.log_partition, ss.max_score, ss.entropy, ss.count):
        same(query(model, both), query(ss.LinearChain(), phi))
    assert torch.equal(ss.argmax(model, both, labels=True), ss.argmax(ss.LinearChain(), phi, labels=True))
    pairs = ((model, both), (ss.LinearChain(), phi))
    five = [structure.to_labels(ss.topk(structure, x, 5).events) for structure, x in pairs]
    assert torch.equal(*five)
    marginals = model.variable_marginals(ss.marginals(model, both))
    same(torch.stack(list(marginals.values()), 1), ss.marginals(ss.LinearChain(), phi).emission)


def test_the_known_chain():
    case = CASES["linear_chain_T4_S3"]
    unary, moves = (torch.tensor(case[name], dtype=torch.float64) for name in ("unary", "transition_from_to"))
    phi = (*unary, moves, moves, moves)
    model = ss.FactorGraph("a,b,c,d,ab,bc,cd")
    assert float(ss.log_partition(model, phi)) == pytest.approx(case["logZ"], abs=1e-9)
    assert float(ss.entropy(model, phi)) == pytest.approx(case["entropy"], abs=1e-9)
    assert ss.argmax(model, phi, labels=True).tolist() == case["viterbi"]
    found = torch.stack(list(model.variable_marginals(ss.marginals(model, phi)).values()))
    same(found, torch.tensor(case["unary_marginals"], dtype=torch.float64).reshape(found.shape))


def test_hmmlearn_agrees():
    """Likelihood, posteriors and the best path of a hidden Markov model, its hidden states as variables."""
    generator = np.random.default_rng(0)
    start, moves, seen = (generator.dirichlet(np.ones(size), rows) for size, rows in ((3, 1), (3, 3), (4, 3)))
    model = hmmlearn.hmm.CategoricalHMM(n_components=3)
    model.startprob_, model.transmat_, model.emissionprob_ = start[0], moves, seen
    observed = np.array([[0], [3], [1], [1], [2]])
    hidden = ss.FactorGraph("a,ab,bc,cd,de,b,c,d,e")
    states = [torch.from_numpy(seen[:, o].copy()).log() for o in observed[:, 0]]
    step = torch.from_numpy(moves).log()
    phi = (torch.from_numpy(start[0]).log() + states[0], step, step, step, step, *states[1:])
    likelihood, posteriors = model.score_samples(observed)
    assert float(ss.log_partition(hidden, phi)) == pytest.approx(likelihood, abs=1e-9)
    found = torch.stack([hidden.variable_marginals(ss.marginals(hidden, phi))[x] for x in "abcde"])
    same(found, torch.from_numpy(posteriors))
    best, path = model.decode(observed)
    assert float(ss.max_score(hidden, phi)) == pytest.approx(best, abs=1e-9)
    assert ss.argmax(hidden, phi, labels=True).tolist() == path.tolist()


def test_a_grid_is_eliminated_at_the_cost_of_its_width():
    """A grid of 3 by 8 bits: 2^24 assignments, counted through tables of a few dozen entries."""
    names = [[chr(ord("a") + 3 * i + j) for j in range(3)] for i in range(8)]
    across = [row[j] + row[j + 1] for row in names for j in range(2)]
    down = [names[i][j] + names[i + 1][j] for i in range(7) for j in range(3)]
    model = ss.FactorGraph(",".join(across + down), limit=256)
    phi = tuple(torch.zeros(2, 2, dtype=torch.float64) for _ in across + down)
    assert ss.count(model, phi) == 2.0**24
    assert ss.program(model, phi).cost.products < 20_000


def test_a_letter_twice_takes_the_diagonal():
    phi = (torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64),)
    model = ss.FactorGraph("aa")
    same(ss.log_partition(model, phi), phi[0].diagonal().logsumexp(0))
    assert ss.argmax(model, phi)[0].nonzero().tolist() == [[int(phi[0].diagonal().argmax())] * 2]


def test_too_large_an_intermediate_is_refused_with_its_size():
    dense = ",".join(a + b for i, a in enumerate("abcdefg") for b in "abcdefg"[i + 1 :])
    phi = tuple(torch.zeros(4, 4) for _ in dense.split(","))
    with pytest.raises(ValueError, match=r"largest intermediate has \d+ entries.*limit=100"):
        ss.log_partition(ss.FactorGraph(dense, limit=100), phi)
    with pytest.raises(ValueError, match="limit"):
        ss.explain(ss.FactorGraph(dense, limit=100), phi)


@pytest.mark.parametrize("equation", ["", "ab,", "a1,b", "ab->a"])
def test_a_wrong_equation_is_refused(equation: str):
    with pytest.raises(ValueError, match="letters"):
        ss.FactorGraph(equation)


def test_sizes_must_agree_and_lengths_do_not_exist():
    model = ss.FactorGraph("ab,bc,ab")
    assert model.field_names == ("ab", "bc", "ab2")
    with pytest.raises(ss.ShapeError, match="bc"):
        ss.log_partition(model, (torch.zeros(2, 3), torch.zeros(4, 2), torch.zeros(2, 3)))
    with pytest.raises(ValueError, match="no length"):
        ss.log_partition(ss.FactorGraph("ab"), (torch.zeros(2, 3),), lengths=torch.tensor(2))
    with pytest.raises(ValueError, match="values"):
        ss.FactorGraph("ab").from_labels(torch.tensor([1, 3]), (torch.zeros(2, 3),))


def test_one_factor_is_given_bare_or_in_a_tuple():
    phi = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    model = ss.FactorGraph("ab")
    same(ss.log_partition(model, phi), phi.logsumexp((0, 1)))
    assert torch.equal(ss.marginals(model, phi), ss.marginals(model, (phi,))[0])
