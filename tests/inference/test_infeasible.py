"""Instances without a structure: the message names the instance, what it lacks, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import semiring_struct as ss
from semiring_struct.structures import Structure

NONE = ss.Automaton(torch.tensor([[1, 1], [2, -1], [0, 0]]), torch.tensor([True, False, False]))  # lengths 0, 3, 6 ...


def follow(state: Any, last: torch.Tensor) -> tuple[torch.Tensor, Any]:
    return torch.zeros(len(last), 2), state


def grammar(n: int) -> ss.PCFGPotentials:
    return ss.PCFGPotentials(torch.zeros(2, 1), torch.zeros(2, 1, 2, 2), torch.zeros(2, n, 1))


def forbidden(phi: torch.Tensor, symbol: int) -> torch.Tensor:
    return phi.index_fill(-1, torch.tensor(symbol), -torch.inf)


CTC_OF = {"112": ss.CTC(torch.tensor([1, 1, 2])), "12": ss.CTC(torch.tensor([1, 2])), "1": ss.CTC(torch.tensor([1]))}
TWO = ss.CTC(torch.tensor([[1, 2, 0], [1, 2, 2]]), [2, 3])
PAIR = ss.SubsetPotentials(torch.zeros(2, 2), torch.zeros(2, 1))
CHAIN = ss.ChainPotentials(torch.zeros(2, 4, 2), torch.zeros(1, 2, 2))
FRAMES, GRID = torch.zeros(2, 3, 3), torch.zeros(2, 2, 3)
BLANK = "one per symbol, and 1 for a blank between equal neighbours"
CASES: list[tuple[str, Structure, Any, Any, str]] = [
    ("ctc", CTC_OF["112"], FRAMES, None, f"3 symbols needs 4 frames, {BLANK}, and there are 3; .*longer"),
    ("ctc: of one in the batch", TWO, FRAMES, None, r"3 symbols needs 4 frames.*index \(1,\)"),
    ("ctc: by lengths", CTC_OF["12"], FRAMES, [3, 1], r"2 frames, one per symbol, and there are 1;.*index \(1,\)"),
    ("ctc: forbidden symbols", CTC_OF["1"], forbidden(FRAMES, 1), None, "allow more parts"),
    ("held", ss.MonotonicAlignment(), GRID, None, "2 frames, 3 tokens"),
    ("held: no token", ss.MonotonicAlignment(), GRID, ([2, 2], [2, 0]), r"2 frames, 0 tokens.*\(1,\)"),
    ("warping", ss.DTW(), GRID, ([2, 0], [3, 3]), r"0 rows and 3 columns.*\(1,\)"),
    ("subset", ss.Subset(3), torch.zeros(2, 2), None, "k=3 does not fit 2 items"),
    ("subset: by lengths", ss.Subset(1), torch.zeros(2, 2), [1, 0], r"k=1 does not fit 0 items.*\(1,\)"),
    ("neighbours", ss.CorrelatedSubset(3), PAIR, None, "k=3 does not fit 2"),
    ("grammar", ss.PCFG(), grammar(3), [3, 1], r"one word has no derivation.*\(1,\)"),
    ("accepted", ss.constraints.AcceptedChain(NONE), CHAIN, [3, 4], r"no sequence of 4 symbols.*\(1,\)"),
    ("accepted subset", ss.constraints.AcceptedSubset(NONE, 2), torch.zeros(2, 4), None, "accepts no sequence of 4"),
    ("spans", ss.SpanTree(), torch.full((2, 2, 2), -torch.inf), None, "allow more parts, or test max_score"),
]


@pytest.mark.parametrize(("structure", "phi", "lengths", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_lacking_is_said(structure: Structure, phi: Any, lengths: Any, said: str):
    begin = f"^{type(structure).__name__}: an instance has no structure of finite score; "
    for query in (ss.argmax, ss.sample):
        with pytest.raises(ss.InfeasibleError, match=f"{begin}.*{said}"):
            query(structure, phi, lengths=lengths)
    with pytest.raises(ss.InfeasibleError, match=said):
        ss.relaxations.topk_sparsemax(structure, phi, 2, lengths)


def test_a_model_whose_automaton_accepts_nothing():
    model = ss.Autoregressive(follow, torch.zeros(1), automaton=NONE)
    with pytest.raises(ss.InfeasibleError, match=r"dead end; the automaton accepts no sequence of 4 symbols"):
        ss.greedy(model, torch.zeros(2, 4, 2), lengths=[3, 4])


def test_regularized_relaxations_say_the_same():
    regularizer = ss.relaxations.BinaryEntropy()
    with pytest.raises(ss.InfeasibleError, match=r"k=2 does not fit 1 items.*index \(1,\)"):
        ss.relaxations.regularized_argmax(ss.Subset(2), torch.zeros(2, 3), regularizer, lengths=[3, 1])


def test_a_hint_speaks_of_lengths_alone():
    """A hint is given only where no potentials would help; feasible instances have none."""
    for name, structure, phi, lengths, _ in CASES:
        if "forbidden" in name or name == "spans":
            continue
        door = ss.inference.door.open_door(structure, phi, lengths)
        feasible = ss.max_score(structure, phi, lengths) > -torch.inf
        for b, fine in enumerate(feasible.tolist()):
            hint = structure.over(door.batch).infeasible_hint(door.sizes, tuple(door.lengths[b].tolist()), b)
            assert (hint is None) == fine, name


def test_inside_compiled_graphs_and_vmap_the_error_is_raised_without_a_hint():
    structure = ss.Subset(3)
    with pytest.raises(ss.InfeasibleError, match="Subset: an instance"):
        torch.func.vmap(lambda x: ss.argmax(structure, x))(torch.zeros(2, 2))
    # an exception within a compiled `no_grad` leaves gradients switched off
    with pytest.raises((RuntimeError, ValueError), match="Subset: an instance"), torch.enable_grad():
        torch.compile(lambda x: ss.argmax(structure, x), backend="eager", fullgraph=True)(torch.zeros(2, 2))
