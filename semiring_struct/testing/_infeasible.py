"""What every query owes for an instance none of whose structures has a finite score."""

from __future__ import annotations

import torch

from semiring_struct import inference
from semiring_struct.errors import InfeasibleError
from semiring_struct.testing._case import Case
from semiring_struct.testing._compare import require
from semiring_struct.testing._truth import NEG_INF


def check_values(case: Case) -> None:
    """Instances without any structure: -inf and zeros where a value exists, InfeasibleError where an event is due."""
    how = {"lengths": case.lengths}
    if case.offers("log_partition"):
        check_totals(case)
    if case.offers("max_score"):
        best = inference.max_score(case.structure, case.potentials, **how)
        require(bool((best == NEG_INF).all()), "max_score", "is not -inf where no structure is feasible")
    if case.offers("count"):
        number = inference.count(case.structure, case.potentials, **how)
        require(not number.any(), "count", "is not 0 where nothing is feasible")
    if case.offers("topk"):
        best = inference.topk(case.structure, case.potentials, 2, lengths=case.lengths)
        require(not best.valid.any(), "topk", "valid where infeasible")
    if case.offers("sample_without_replacement"):
        drawn = inference.sample_without_replacement(
            case.structure, case.potentials, 2, generator=case.generator, **how
        )
        require(not drawn.valid.any(), "sample_without_replacement", "valid where no structure is feasible")


def check_totals(case: Case) -> None:
    """The log-partition and what follows from it."""
    how = {"lengths": case.lengths}
    phi = case.phi.detach().clone().requires_grad_()
    total = inference.log_partition(case.structure, case.parts.fields(phi), **how)
    require(bool((total == NEG_INF).all()), "log_partition", "is not -inf where no structure is feasible")
    (gradient,) = torch.autograd.grad(total.sum(), phi)
    require(not gradient.any(), "gradient of log_partition", "is not 0 where no structure is feasible")
    marginals = inference.marginals(case.structure, case.potentials, **how)
    require(not case.parts.flat(marginals).any(), "marginals", "are not 0 where no structure is feasible")
    require(
        not inference.entropy(case.structure, case.potentials, **how).any(),
        "entropy", "is not 0 where no structure is feasible",
    )  # fmt: skip
    for name in ("entropy", "cross_entropy", "kl", "expectation", "variance"):
        ask = getattr(inference, name)
        extra = () if name == "entropy" else (case.parts.fields(case.noise(*case.phi.shape)),)
        require(not ask(case.structure, case.potentials, *extra, **how).isnan().any(), name, "is nan where infeasible")


def check_refusals(case: Case) -> None:
    """argmax and sample of an infeasible instance raise InfeasibleError."""
    for name in filter(case.offers, ("argmax", "sample")):
        try:
            getattr(inference, name)(case.structure, case.potentials, lengths=case.lengths)
        except InfeasibleError:
            continue
        raise AssertionError(f"{name}: an infeasible instance raised no InfeasibleError")
