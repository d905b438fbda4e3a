"""Models whose scores are NaN or +inf are refused by name; what they say of sequences that have ended is not heard."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss


def faulty(bad: float, at: int, row: int | None = None, after: int | None = None) -> ss.Autoregressive:
    """Even scores but for one that is `bad`, at one step: in one row, or after one symbol only."""

    def step(state: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = torch.zeros(len(last), 4)
        where = state[:, 0] == at
        if row is not None:
            where = where & (state[:, 1] == row)
        if after is not None:
            where = where & (last == after)
        scores[:, 2] = torch.where(where, bad, scores[:, 2])
        return scores, state + torch.tensor([1, 0])

    return ss.Autoregressive(step, start=torch.tensor([[0, 0], [0, 1], [0, 2]]), stop=3)


QUERIES = {
    "log_prob": lambda m, phi: ss.log_prob(m, phi, torch.tensor([0, 1, 0, 2, 1])),
    "log_prob of an event": lambda m, phi: ss.log_prob(m, phi, torch.eye(4)[torch.tensor([0, 1, 0, 2, 1])]),
    "nll": lambda m, phi: ss.losses.nll(m, phi, torch.tensor([0, 1, 0, 2, 1])),
    "greedy": ss.greedy,
    "beam_search": lambda m, phi: ss.beam_search(m, phi, 3),
    "sample": lambda m, phi: ss.sample(m, phi, (50,)),
    "sample_without_replacement": lambda m, phi: ss.sample_without_replacement(m, phi, 40),
}
every_query = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())


@every_query
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(("at", "row", "named"), [(0, None, (0, 0)), (2, 1, (1, 2)), (4, 2, (2, 4))])
def test_scores_that_are_not_finite_are_refused(query, bad: float, at: int, row: int | None, named: tuple[int, int]):
    with pytest.raises(ValueError, match=rf"step returned NaN or \+inf.*\({named[0]}, {named[1]}\) of \(3, 5\)"):
        query(faulty(bad, at, row), torch.zeros(3, 5, 4))


@every_query
def test_scores_of_sequences_that_have_ended_do_not_matter(query):
    """Past a length, past a stop symbol, and after symbols that were not allowed."""
    phi, nan = torch.zeros(3, 5, 4), float("nan")
    lengths = torch.tensor([2, 1, 0])
    model = faulty(nan, 2)
    assert ss.log_prob(model, phi, torch.tensor([0, 3, -1, -1, -1])).isfinite().all()
    assert ss.greedy(model, phi, labels=True, lengths=lengths).shape == (3, 5)
    ss.beam_search(model, phi, 30, lengths=lengths)
    ss.sample(model, phi, (20,), lengths=lengths)
    ss.sample_without_replacement(model, phi, 30, lengths=lengths)
    never = phi.clone()
    never[:, :, 1] = -torch.inf
    if query not in (QUERIES["log_prob"], QUERIES["log_prob of an event"], QUERIES["nll"]):
        query(faulty(nan, 2, after=1), never)
    assert ss.log_prob(faulty(nan, 2, after=1), never, torch.tensor([0, 1, 0, 2, 1])).isneginf().all()


def test_a_gradient_through_finite_scores_is_as_before():
    weight = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    model = ss.Autoregressive(lambda state, last: (weight[last.clamp(min=0)], state))
    assert torch.autograd.gradcheck(
        lambda w: ss.log_prob(ss.Autoregressive(lambda s, last: (w[last.clamp(min=0)], s)),
                              torch.zeros(3, 4, dtype=torch.float64), torch.tensor([0, 2, 1])), weight)  # fmt: skip
    assert ss.log_prob(model, torch.zeros(3, 4, dtype=torch.float64), torch.tensor([0, 2, 1])).requires_grad
