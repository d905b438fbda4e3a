"""Small exact cases worked out elsewhere, smoothed maxima among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from semiring_struct.semirings import Semiring

CASES = json.loads((Path(__file__).parent.parent / "data" / "known_answers.json").read_text())


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, tensor(expected), rtol=tolerance, atol=tolerance)


def test_chain():
    case = CASES["linear_chain_T4_S3"]
    phi = ss.ChainPotentials(tensor(case["unary"]), tensor(case["transition_from_to"]).unsqueeze(0))
    chain = ss.LinearChain()
    same(ss.log_partition(chain, phi), case["logZ"])
    same(ss.entropy(chain, phi), case["entropy"])
    marginals = ss.marginals(chain, phi)
    same(marginals.emission, case["unary_marginals"])
    same(marginals.transition[0], case["expected_transition_counts"])
    assert ss.argmax(chain, phi, labels=True).tolist() == case["viterbi"]
    best = ss.topk(chain, phi, len(case["kbest"]))
    same(best.scores, [score for _, score in case["kbest"]])
    assert best.events.emission.argmax(-1).tolist() == [tags for tags, _ in case["kbest"]]


@pytest.mark.parametrize("single_root", [False, True])
def test_dependency_trees(single_root: bool):
    case = CASES["projective_dependency_n5"]
    phi = tensor(case["W_head_modifier"])
    expected = case["single_root"] if single_root else case
    tree = ss.ProjectiveTree(single_root=single_root)
    same(ss.log_partition(tree, phi), expected["logZ"])
    same(ss.count(tree, phi), expected["count"])
    same(ss.marginals(tree, phi), expected["marginals"])
    assert ss.argmax(tree, phi, labels=True).tolist() == expected["map_parents"]


def test_bracketings():
    case = CASES["binary_bracketing_n5"]
    phi = tensor(case["span_scores"])
    same(ss.log_partition(ss.SpanTree(), phi), case["logZ"])
    same(ss.count(ss.SpanTree(), phi), case["count"])
    same(ss.entropy(ss.SpanTree(), phi), case["entropy"])
    same(ss.marginals(ss.SpanTree(), phi), case["span_marginals"])
    assert ss.argmax(ss.SpanTree(), phi).nonzero().tolist() == case["map_spans"]


@pytest.mark.parametrize(
    ("name", "semiring", "offset"),
    [
        ("max_omega_viterbi_softmax", ss.SoftmaxSemiring(1.0), 0.0),
        # Their regulariser is not 0 at a vertex: four maxima add one half each.
        ("max_omega_viterbi_sparsemax", ss.SparsemaxSemiring(1.0), 2.0),
    ],
)
def test_smoothed_viterbi(name: str, semiring: Semiring, offset: float):
    case = CASES[name]
    theta = tensor(case["theta_t_cur_prev"])
    emission = torch.zeros(4, 3, dtype=torch.float64)
    emission[0] = theta[0, :, 0]
    leaves = [emission.requires_grad_(), theta[1:].transpose(1, 2).contiguous().requires_grad_()]
    value = ss.evaluate(ss.LinearChain(), semiring, ss.ChainPotentials(*leaves))
    same(value - offset, case["value"], case["tol"])
    first, moves = torch.autograd.grad(value, leaves, create_graph=True)
    same(first[0].detach(), tensor(case["grad"])[0, :, 0].tolist(), case["tol"])
    same(moves.detach().transpose(1, 2), tensor(case["grad"])[1:].tolist(), case["tol"])
    direction = tensor(case["direction"])
    slope = (first[0] * direction[0, :, 0]).sum() + (moves * direction[1:].transpose(1, 2)).sum()
    same(slope.detach(), case["directional_derivative"], case["tol"])
    bend, turns = torch.autograd.grad(slope, leaves)
    same(bend[0], tensor(case["hessian_vector"])[0, :, 0].tolist(), case["tol"])
    same(turns.transpose(1, 2), tensor(case["hessian_vector"])[1:].tolist(), case["tol"])
