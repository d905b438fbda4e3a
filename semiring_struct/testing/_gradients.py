"""Gradients: equal to those of the enumeration, and gradcheck to second order, with `-inf` parts held in place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from semiring_struct import inference
from semiring_struct.testing._case import Case
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._truth import NEG_INF

GRADIENT = 1e-8
TWICE = ("log_partition", "log_prob", "cross_entropy in its second argument", "renyi_entropy")
"""Queries made of log-partitions alone, whose second derivative is one; of the others it would be a third."""
Query = Callable[[Tensor], Tensor]


def queries(case: Case) -> dict[str, tuple[Query, Query]]:
    """Name -> (the query, the truth), each from flat potentials `(instances, parts)` to `(*batch,)` or parts.

    Those that the structure offers; a name may go on after the query's own.
    """
    psi = torch.where(case.phi == NEG_INF, NEG_INF, case.noise(*case.phi.shape))
    values = case.noise(*case.phi.shape)
    along = torch.einsum("sbd,bd->sb", case.truth.events, values)
    fields, truth, how = case.parts.fields, case.truth, {"lengths": case.lengths}
    other, weights, structure = fields(psi), fields(values), case.structure
    first = case.scores.argmax(0, keepdim=True)
    rows = truth.events.gather(0, first.unsqueeze(-1).expand(1, *case.phi.shape)).squeeze(0)
    event = fields(rows)

    def flat_marginals(phi: Tensor) -> Tensor:
        return case.parts.flat(inference.marginals(structure, fields(phi), **how))

    def log_prob_of_best(phi: Tensor) -> Tensor:
        return torch.where(phi == NEG_INF, 0.0, phi * rows).sum(-1) - truth.log_partition(phi)

    every: dict[str, tuple[Query, Query]] = {
        "log_partition": (lambda phi: inference.log_partition(structure, fields(phi), **how), truth.log_partition),
        "marginals": (flat_marginals, truth.marginals),
        "log_prob": (lambda phi: inference.log_prob(structure, fields(phi), event, **how), log_prob_of_best),
        "entropy": (lambda phi: inference.entropy(structure, fields(phi), **how), truth.entropy),
        "cross_entropy": (
            lambda phi: inference.cross_entropy(structure, fields(phi), other, **how),
            lambda phi: truth.cross_entropy(phi, psi),
        ),
        "cross_entropy in its second argument": (
            lambda phi: inference.cross_entropy(structure, other, fields(phi), **how),
            lambda phi: truth.cross_entropy(psi, phi),
        ),
        "kl": (
            lambda phi: inference.kl(structure, fields(phi), other, **how),
            lambda phi: truth.cross_entropy(phi, psi) - truth.entropy(phi),
        ),
        "renyi_entropy": (
            lambda phi: inference.renyi_entropy(structure, fields(phi), 2.0, **how),
            lambda phi: truth.renyi(phi, 2.0),
        ),
        "expectation": (
            lambda phi: inference.expectation(structure, fields(phi), weights, **how),
            lambda phi: truth.mean(phi, along),
        ),
    }
    return {name: pair for name, pair in every.items() if case.offers(name.split()[0])}


def gradient_of(name: str, query: Query, phi: Tensor, weights: Tensor) -> Tensor:
    """The gradient of a weighted sum of a query's answers."""
    phi = phi.detach().clone().requires_grad_()
    answer = query(phi).reshape(weights.shape)
    require(answer.requires_grad, f"gradient of {name}", "the answer carries no gradient")
    (gradient,) = torch.autograd.grad((weights * answer).sum(), phi)
    return gradient


def check_gradients(case: Case) -> None:
    """The gradient of every differentiable query, at all parts (0 at forbidden ones), against the enumeration's."""
    for name, (query, truth) in queries(case).items():
        weights = case.noise(*case.phi.shape) if name == "marginals" else case.noise(len(case.phi))
        found, expected = (gradient_of(name, ask, case.phi, weights) for ask in (query, truth))
        close(f"gradient of {name}", found, expected, GRADIENT)
        require(not found[case.phi == NEG_INF].any(), f"gradient of {name}", "is not 0 at a forbidden part")


def check_curvature(case: Case) -> None:
    """Second derivatives of `log_partition` (a double backward) equal the covariance of the parts."""
    phi, v = case.phi.detach().clone().requires_grad_(), case.noise(*case.phi.shape)
    total = inference.log_partition(case.structure, case.parts.fields(phi), lengths=case.lengths).sum()
    (gradient,) = torch.autograd.grad(total, phi, create_graph=True)
    close("gradient of log_partition", gradient, case.truth.marginals(case.phi), 1e-9)
    (product,) = torch.autograd.grad((gradient * v).sum(), phi)
    close("second derivative of log_partition", product, case.truth.covariance_vp(case.phi, v), GRADIENT)


def check_finite_differences(case: Case) -> None:
    """gradcheck of every query, gradgradcheck of those that have two derivatives, through `masked_scatter`."""
    free = case.phi > NEG_INF
    if not free.any():
        return
    start = case.phi[free].detach().clone()

    def filled(query: Query) -> Query:
        return lambda values: query(case.phi.masked_scatter(free, values))

    for name, (query, _) in queries(case).items():
        run(f"gradcheck of {name}", gradcheck, filled(query), start)
        if name in TWICE:
            run(f"gradgradcheck of {name}", gradgradcheck, filled(query), start)


def run(name: str, check: Callable[..., bool], query: Query, start: Tensor) -> None:
    """One of autograd's own checks, its complaint made an `AssertionError` that names the query."""
    try:
        check(query, (start.clone().requires_grad_(),), fast_mode=True)
    except RuntimeError as error:
        raise AssertionError(f"{name}: {error}") from error
