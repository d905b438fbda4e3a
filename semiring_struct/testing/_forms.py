"""The same answers in other forms: batch dims, masks for lengths, half and single precision, semirings, labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct import inference, semirings
from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.inference.oracles import NEEDS, offered
from semiring_struct.testing._case import Case, Lengths
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._parts import Fields, fields_of
from semiring_struct.testing._truth import NEG_INF


def answers(structure: Any, potentials: Fields, lengths: Lengths) -> dict[str, tuple[Tensor, ...]]:
    """Some queries of every kind, as tuples of tensors."""
    names = ("log_partition", "marginals", "argmax", "max_score", "entropy")
    known = offered(structure)
    found = {
        name: fields_of(getattr(inference, name)(structure, potentials, lengths=lengths))
        for name in names
        if name in known
    }
    if "topk" in known:
        best = inference.topk(structure, potentials, 2, lengths=lengths)
        found["topk"] = (best.scores, *fields_of(best.events))
    return found


def check_unsupported(case: Case) -> None:
    """A query that the structure does not offer is refused with the names of those it does."""
    known, potentials = offered(case.structure), case.potentials
    extra = {
        "renyi_entropy": (2.0,), "log_prob": (potentials,),
        **dict.fromkeys(("topk", "beam_search", "sample_without_replacement"), (1,)),
        **dict.fromkeys(("kl", "cross_entropy", "expectation", "variance", "covariance_vp", "contains"), (potentials,)),
    }  # fmt: skip
    for name in sorted(NEEDS.keys() - set(known) - {"evaluate"}):
        try:
            getattr(inference, name)(case.structure, potentials, *extra.get(name, ()), lengths=case.lengths)
        except UnsupportedQueryError as error:
            complete = all(other in str(error) for other in known)
            require(complete, name, f"the refusal does not say what is offered: {error}")
        else:
            raise AssertionError(f"{name}: not offered, yet an answer came back")


def check_batch_dims(case: Case) -> None:
    """No batch dim, one, and three give the same answers."""
    count = case.parts.instances
    everyone = torch.arange(count, device="cpu")
    usual = answers(case.structure, *look(case.select(everyone)))
    shaped = answers(case.structure, *look(case.select(everyone, (1, count, 1))))
    for name, tensors in usual.items():
        for one, other in zip(tensors, shaped[name], strict=True):
            lead = 1 if name == "topk" else 0
            expected = one.reshape(*one.shape[:lead], 1, count, 1, *one.shape[lead + 1 :])
            close(f"{name} with three batch dims", other, expected, 1e-11)
    single = answers(case.structure, *look(case.select(everyone[:1], ())))
    for name, tensors in usual.items():
        for one, other in zip(tensors, single[name], strict=True):
            close(f"{name} without batch dims", other, one[:, 0] if name == "topk" else one[0], 1e-11)


def look(case: Case) -> tuple[Fields, Lengths]:
    """What a query would be called with."""
    return case.potentials, case.lengths


def check_masks(case: Case, sizes: tuple[int, ...]) -> None:
    """Boolean prefix masks in place of lengths; `sizes` are the full lengths of the sides."""
    if case.lengths is None:
        return
    sides = case.lengths if isinstance(case.lengths, tuple) else (case.lengths,)
    pairs = zip(sizes, sides, strict=True)
    masks = tuple(torch.arange(size, device="cpu") < side.unsqueeze(-1) for size, side in pairs)
    by_mask = answers(case.structure, case.potentials, masks if isinstance(case.lengths, tuple) else masks[0])
    for name, tensors in answers(case.structure, *look(case)).items():
        for one, other in zip(tensors, by_mask[name], strict=True):
            close(f"{name} with a mask", other, one, 0.0)


def check_precisions(case: Case) -> None:
    """float32 in gives float32 out, half precision in gives float32 out, each near the answer of the rounded input."""
    for dtype, out in ((torch.float32, torch.float32), (torch.bfloat16, torch.float32)):
        low = case.phi.to(dtype)
        exact = case.with_phi(low.double())
        found = answers(case.structure, case.parts.fields(low), case.lengths)
        expected = {
            "log_partition": exact.batched(exact.truth.log_partition(exact.phi)),
            "entropy": exact.batched(exact.truth.entropy(exact.phi)),
            "max_score": exact.batched(exact.scores.max(0).values),
        }
        for name, value in expected.items():
            if name not in found:
                continue
            require(found[name][0].dtype == out, f"{name} of {dtype}", f"dtype {found[name][0].dtype}")
            close(f"{name} of {dtype}", found[name][0].double(), value, 1e-4)
        if "marginals" in found:
            marginals = case.parts.flat(case.parts.rebuild(found["marginals"]))
            close(f"marginals of {dtype}", marginals.double(), exact.truth.marginals(exact.phi), 1e-4)


def check_semirings(case: Case) -> None:
    """The program under other semirings, by its values alone."""

    def read(semiring: Any) -> Tensor:
        return inference.evaluate(case.structure, semiring, case.potentials, lengths=case.lengths)

    truth, phi = case.truth, case.phi
    total, best = case.batched(truth.log_partition(phi)), case.batched(case.scores.max(0).values)
    close("evaluate(LogSemiring)", read(semirings.LogSemiring()), total, 1e-10)
    close("evaluate(MaxSemiring)", read(semirings.MaxSemiring()), best, 1e-10)
    close("evaluate(RealSemiring)", read(semirings.RealSemiring()), total.exp(), 1e-9)
    close("evaluate(CountingSemiring)", read(semirings.CountingSemiring()), case.batched(case.counts.double()), 0.0)
    feasible = read(semirings.BooleanSemiring())
    require(torch.equal(feasible, case.batched(case.feasible)), "evaluate(BooleanSemiring)", "wrong")
    blanks = torch.full((3, case.parts.instances), NEG_INF, device="cpu")
    ranked = torch.cat([case.scores, blanks]).sort(0, descending=True).values
    close("evaluate(KBestSemiring(3))", read(semirings.KBestSemiring(3)), case.batched(ranked[:3]), 1e-10)
    close("evaluate(EntropySemiring)", read(semirings.EntropySemiring()), case.batched(truth.entropy(phi)), 1e-9)
    warm = case.batched(truth.log_partition(phi / 0.5)) * 0.5
    close("evaluate(SoftmaxSemiring(0.5))", read(semirings.SoftmaxSemiring(0.5)), warm, 1e-10)
    for name, semiring in {
        "SparsemaxSemiring": semirings.SparsemaxSemiring(1.0),
        "EntmaxSemiring": semirings.EntmaxSemiring(1.5, 1.0),
    }.items():
        value = read(semiring)
        between = (value >= best - 1e-9) & (value <= total + 1e-9)
        require(between.all(), f"evaluate({name})", "is not between the best score and log_partition")
