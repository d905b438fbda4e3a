"""Answers of two other libraries, whose index conventions are converted here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import semiring_struct as ss

NEG_INF = float("-inf")
GOLDENS: dict[str, Tensor] = {}
for file in ("goldens.npz", "grammars.npz"):
    with np.load(Path(__file__).parent.parent / "data" / file) as archive:
        GOLDENS |= {name: torch.from_numpy(archive[name]) for name in archive.files}
Potentials = Any


def case(prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in GOLDENS.items() if name.startswith(prefix)}


def compare(
    structure: Any,
    phi: Potentials,
    golden: Mapping[str, Tensor],
    lengths: Tensor | None,
    back: Callable[[Potentials], Tensor],
    tolerance: float = 1e-9,
) -> None:
    """Every answer in `golden` (torch-struct's names); `back` takes an event or marginals to the golden's layout."""
    how = {"lengths": lengths}

    def same(found: Tensor, name: str) -> None:
        torch.testing.assert_close(
            found, golden[name].double(), rtol=tolerance, atol=tolerance, msg=lambda m: f"{name}: {m}"
        )

    for name, query in {
        "log_partition": ss.log_partition,
        "max": ss.max_score,
        "entropy": ss.entropy,
        "count": ss.count,
    }.items():
        if name in golden:
            same(query(structure, phi, **how), name)
    if "marginals" in golden:
        same(back(ss.marginals(structure, phi, **how)), "marginals")
    if "argmax" in golden:
        same(back(ss.argmax(structure, phi, **how)), "argmax")
    if "kmax" in golden:
        same(ss.topk(structure, phi, len(golden["kmax"]), **how).scores, "kmax")
    for name, weights in {"grad_of_R_dot_marginals": "R", "grad_of_entropy": None}.items():
        if name in golden:
            same(back(gradient(structure, phi, golden[weights] if weights else None, back, how)), name)


def gradient(
    structure: Any, phi: Potentials, weights: Tensor | None, back: Callable[[Potentials], Tensor], how: dict[str, Any]
) -> Potentials:
    """Gradient of `sum(weights * marginals)` in the golden's layout, or of the entropy."""
    leaves = [field.clone().requires_grad_() for field in (phi if isinstance(phi, tuple) else (phi,))]
    again = type(phi)(*leaves) if isinstance(phi, tuple) else leaves[0]
    if weights is None:
        total = ss.entropy(structure, again, **how).sum()
    else:
        total = (weights * back(ss.marginals(structure, again, **how))).sum()
    found = torch.autograd.grad(total, leaves)
    return type(phi)(*found) if isinstance(phi, tuple) else found[0]


def lengths_of(golden: Mapping[str, Tensor]) -> Tensor | None:
    return None if (golden["lengths"] < 0).any() else golden["lengths"]


@pytest.mark.parametrize("name", ["a", "b_len", "c_N9", "d_neginf", "e_len1"])
def test_torch_struct_chain(name: str):
    """Their edges are `[t, to, from]` with no emissions."""
    golden = case(f"torch_struct/linear_chain/{name}/")
    edges = golden["potentials"].transpose(-1, -2)
    emission = edges.new_zeros(len(edges), edges.shape[1] + 1, edges.shape[-1])
    phi = ss.ChainPotentials(emission, edges)
    compare(ss.LinearChain(), phi, golden, lengths_of(golden), lambda event: event.transition.transpose(-1, -2))
    if "kl" in golden:
        other = phi._replace(transition=golden["potentials2"].transpose(-1, -2))
        compare_divergences(ss.LinearChain(), phi, other, golden, lengths_of(golden))


@pytest.mark.parametrize("name", ["a", "b_len", "c_K_gt_N"])
def test_torch_struct_segments(name: str):
    """Their score of a segment depends on start, duration, state and previous state, the first of which is free.

    Ours has the same structures with labels (duration, state), and one more position in front for the free state.
    """
    golden = case(f"torch_struct/semi_markov/{name}/")
    theirs = golden["potentials"]
    batch, n, durations, states, _ = theirs.shape
    segment = torch.full((batch, n + 1, durations, durations, states), NEG_INF, dtype=torch.float64)
    segment[:, 0, 0, 0] = 0
    for duration in range(1, durations):
        segment[:, 1:, duration - 1, duration] = 0
    transition = theirs.new_full((batch, n + 1, durations, states, durations, states), NEG_INF)
    transition[:, 1:] = theirs.permute(0, 1, 4, 2, 3).unsqueeze(2)
    phi = ss.SemiMarkovPotentials(segment.flatten(-2), transition.flatten(-4, -3).flatten(-2))

    def back(event: Any) -> Tensor:
        moves = event.transition[:, 1:].reshape(batch, n, durations, states, durations, states)
        return moves.sum(2).permute(0, 1, 3, 4, 2)

    compare(ss.SemiMarkov(), phi, golden, lengths_of(golden), back)


@pytest.mark.parametrize("name", ["a", "b_len", "c_N6"])
def test_torch_struct_spans(name: str):
    golden, tree = case(f"torch_struct/tree_crf/{name}/"), ss.SpanTree(labelled=True)
    compare(tree, golden["potentials"], golden, lengths_of(golden), lambda event: event)
    compare_divergences(tree, golden["potentials"], golden["potentials2"], golden, lengths_of(golden))


@pytest.mark.parametrize("name", ["a", "b_len"])
@pytest.mark.parametrize("single_root", [False, True])
def test_torch_struct_heads(name: str, single_root: bool):
    """Their root arcs stand on the diagonal."""
    golden = case(f"torch_struct/dep_projective_{'single' if single_root else 'multi'}root/{name}/")
    theirs = golden["potentials"]
    phi = torch.nn.functional.pad(theirs, (1, 0, 1, 0))
    phi[:, 0, 1:] = theirs.diagonal(0, 1, 2)

    def back(event: Tensor) -> Tensor:
        arcs = event[:, 1:, 1:]
        return arcs + torch.diag_embed(event[:, 0, 1:])

    compare(ss.ProjectiveTree(single_root=single_root), phi, golden, lengths_of(golden), back)


@pytest.mark.parametrize("name", ["a", "b_len"])
def test_torch_struct_grammar(name: str):
    """Answers and their gradients come in three tensors."""
    golden = case(f"torch_struct/pcfg/{name}/")
    theirs = ("roots", "rules", "terms")
    phi = ss.PCFGPotentials(*(golden[field] for field in theirs))
    for answer in ("marginals", "argmax", "R", "grad_of_R_dot_marginals", "grad_of_entropy"):
        golden[answer] = joined(golden.pop(f"{answer}/{field}") for field in theirs)
    compare(ss.PCFG(), phi, golden, lengths_of(golden), joined)


def joined(fields: Iterable[Tensor]) -> Tensor:
    return torch.cat([field.flatten(1) for field in fields], 1)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_torch_struct_alignment(name: str):
    """Their path runs over cells, each scored with the step that entered it; the first one is entered by a match."""
    golden = case(f"torch_struct/alignment_global/{name}/")
    theirs = golden["potentials"]
    insert = torch.nn.functional.pad(theirs[..., 0], (0, 0, 1, 0), value=NEG_INF)
    delete = torch.nn.functional.pad(theirs[..., 2], (1, 0, 0, 0), value=NEG_INF)
    phi = ss.AlignmentPotentials(theirs[..., 1], delete, insert)

    def back(event: Any) -> Tensor:
        return torch.stack([event.insert[:, 1:], event.match, event.delete[:, :, 1:]], -1)

    compare(ss.Alignment(), phi, golden, None, back, 1e-6)


def synjax(name: str) -> tuple[dict[str, Tensor], Tensor | None]:
    """A case under torch-struct's names, its lengths, and the second potentials as `other`."""
    golden = case(f"synjax/{name}/")
    renamed = {
        "potentials": golden.get("in/log_potentials"),
        "log_partition": golden["out/log_partition"],
        "entropy": golden["out/entropy"],
        "marginals": golden["out/marginals"],
        "argmax": golden["out/argmax"],
        "max": golden.get("brute/max_score", golden.get("np/max_score")),
    }
    if "brute/n_structures" in golden:
        renamed["count"] = golden["brute/n_structures"]
        renamed["other"] = golden.get("in2/log_potentials")
        renamed["cross_entropy"], renamed["kl"] = golden["out/cross_entropy_to_2"], golden["out/kl_to_2"]
        renamed["kmax"] = golden["brute/top5_scores"].T.nan_to_num(nan=NEG_INF)
    return {name: value for name, value in renamed.items() if value is not None}, golden.get("in/lengths")


def compare_divergences(structure: Any, phi: Potentials, psi: Potentials, golden: Any, lengths: Tensor | None) -> None:
    for name, query in {"cross_entropy": ss.cross_entropy, "kl": ss.kl}.items():
        torch.testing.assert_close(query(structure, phi, psi, lengths=lengths), golden[name], rtol=1e-9, atol=1e-9)


def chain_of(edges: Tensor) -> ss.ChainPotentials:
    """SynJax's `[i, from, to]` edges enter position i; the first comes from state 0."""
    emission = torch.zeros_like(edges[..., 0, :])
    emission[:, 0] = edges[:, 0, 0]
    return ss.ChainPotentials(emission, edges[:, 1:])


def edges_of(event: Any) -> Tensor:
    """An event of ours in SynJax's layout."""
    first = torch.zeros(len(event.emission), 1, *event.transition.shape[-2:], dtype=torch.float64)
    first[:, 0, 0] = event.emission[:, 0]
    return torch.cat([first, event.transition], 1)


@pytest.mark.parametrize("name", ["linear_chain.small", "linear_chain.medium"])
def test_synjax_chain(name: str):
    golden, lengths = synjax(name)
    compare(ss.LinearChain(), chain_of(golden["potentials"]), golden, lengths, edges_of)
    if "other" in golden:
        pair = chain_of(golden["potentials"]), chain_of(golden["other"])
        compare_divergences(ss.LinearChain(), *pair, golden, lengths)


@pytest.mark.parametrize("name", ["tree_crf.small", "tree_crf.medium"])
def test_synjax_spans(name: str):
    golden, lengths = synjax(name)
    tree = ss.SpanTree(labelled=True)
    compare(tree, golden["potentials"], golden, lengths, lambda event: event)
    if "other" in golden:
        compare_divergences(tree, golden["potentials"], golden["other"], golden, lengths)


@pytest.mark.parametrize("size", ["small", "medium"])
@pytest.mark.parametrize("single_root", [False, True])
def test_synjax_heads(size: str, single_root: bool):
    """Their lengths count the root."""
    golden, nodes = synjax(f"dep.directed.proj.{'single' if single_root else 'multi'}.{size}")
    lengths = None if nodes is None else nodes - 1
    tree = ss.ProjectiveTree(single_root=single_root)
    compare(tree, golden["potentials"], golden, lengths, lambda event: event)
    if "other" in golden:
        compare_divergences(tree, golden["potentials"], golden["other"], golden, lengths)


def test_synjax_hmm():
    golden, lengths = synjax("hmm.small")
    models = [
        ss.hmm(*(case(f"synjax/hmm.small/{part}/")[f"{name}_logits"] for name in ("init", "transition", "emission")),
               case("synjax/hmm.small/in/")["observations"])
        for part in ("in", "in2")
    ]  # fmt: skip
    # untied, so that the events are edges
    models = [phi._replace(transition=phi.transition.expand(2, 3, 3, 3)) for phi in models]
    compare(ss.LinearChain(), models[0], golden, lengths, edges_of)
    compare_divergences(ss.LinearChain(), *models, golden, lengths)


def grammar_case(name: str, part: str) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs of a case, and a zero field over spans. Its scores of words are not normalised; root and rules are."""
    given = case(f"synjax/{name}/{part}/")
    batch, n, _ = given["preterminal_scores"].shape
    return given, given["root"].new_zeros(batch, n, n, given["root"].shape[-1])


def symbols_of(event: Any) -> Tensor:
    return torch.cat([event.span.flatten(1), event.term.flatten(1)], 1)


@pytest.mark.parametrize("size", ["small", "medium"])
def test_synjax_grammar(size: str):
    golden, potentials = case(f"synjax/pcfg.{size}/out/"), []
    for part in ("in", "in2") if size == "small" else ("in",):
        given, span = grammar_case(f"pcfg.{size}", part)
        rule = given["rule"].flatten(-2).log_softmax(-1)
        potentials.append(
            ss.PCFGPotentials(
                given["root"].log_softmax(-1), rule.reshape(given["rule"].shape), given["preterminal_scores"], span
            )
        )
    lengths = case(f"synjax/pcfg.{size}/in/")["lengths"]
    for answer in ("marginals", "argmax"):
        golden[answer] = torch.cat([golden[f"{answer}.chart"].flatten(1), golden[f"{answer}.tags"].flatten(1)], 1)
    brute = case(f"synjax/pcfg.{size}/brute/")
    if brute:
        golden |= {"max": brute["max_score"], "count": brute["n_structures"]}
        golden["kmax"] = brute["top5_scores"].T.nan_to_num(nan=NEG_INF)
        golden |= {"cross_entropy": golden["cross_entropy_to_2"], "kl": golden["kl_to_2"]}
        compare_divergences(ss.PCFG(), *potentials, golden, lengths)
    compare(ss.PCFG(), potentials[0], golden, lengths, symbols_of)


@pytest.mark.parametrize("size", ["small", "medium"])
def test_synjax_low_rank_grammar(size: str):
    """Their charts are labelled by ranks, so only words are compared."""
    golden, given = case(f"synjax/td_pcfg.{size}/out/"), case(f"synjax/td_pcfg.{size}/in/")
    factors = {k: v.log_softmax(-1) for k, v in given.items() if k.startswith(("nt", "rank", "root"))}
    phi = ss.LowRankPCFGPotentials(
        factors["root"], factors["nt_to_rank"], factors["rank_to_left_nt"].transpose(1, 2),
        factors["rank_to_right_nt"].transpose(1, 2), given["preterminal_scores"],
    )  # fmt: skip
    kept = {"log_partition": golden["log_partition"], "entropy": golden["entropy"]}
    if "marginals.tags" in golden:
        kept["marginals"] = golden["marginals.tags"].double()
    compare(ss.LowRankPCFG(), phi, kept, given["lengths"], lambda event: event.term)
