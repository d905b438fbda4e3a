"""Fast paths against the generic run: values, first and second order, the dual channel, draws, the k best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.semirings import (
    EntmaxSemiring,
    ExpectationSemiring,
    KBestSemiring,
    LogSemiring,
    MaxSemiring,
    SampleSemiring,
    Semiring,
    SoftmaxSemiring,
    SparsemaxSemiring,
)
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._parts import Parts
from semiring_struct.testing._scalar import reuses_cells
from semiring_struct.testing._truth import NEG_INF, codes
from semiring_struct.testing.statistics import check_sampler

SMOOTH = (
    LogSemiring(),
    MaxSemiring(),
    SoftmaxSemiring(0.5),
    SparsemaxSemiring(0.7),
    EntmaxSemiring(1.5),
)
FEW = 300  # structures up to which the law of the draws is tested


@final
@dataclass(frozen=True)
class Plain(Semiring):
    """The algebra of `base` as a user would write it: only what every semiring must have, so nothing runs fused.

    Gradients are those of `base`, by autograd through every step.
    """

    base: Semiring

    def lift(self, log_weight: Tensor) -> Tensor:
        return self.base.lift(log_weight)

    def read(self, total: Tensor) -> Tensor:
        return self.base.read(total)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return self.base.mul(a, b)

    def sum(self, x: Tensor, dim: int) -> Tensor:
        return self.base.sum(x, dim)


def check_fast_paths(structure: Any, parts: Parts, phi: Tensor) -> None:
    """Everything that a machine does in its own way, on flat potentials `(instances, parts)` in float64."""
    for semiring in SMOOTH:
        check_orders(structure, parts, phi, semiring)
    feasible = (inference.max_score(structure, parts.fields(phi)).reshape(-1) > NEG_INF).nonzero().squeeze(-1)
    if not len(feasible):
        return
    parts, phi = parts.with_batch((len(feasible),)), phi[feasible]
    check_dual(structure, parts, phi)
    check_best(structure, parts, phi, 3)
    check_draws(structure, parts, phi)


def check_orders(structure: Any, parts: Parts, phi: Tensor, semiring: Semiring) -> None:
    """Value, gradient and Hessian times a vector: reverse without a tape against autograd's tape."""
    weights = torch.randn(phi.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu")
    found = []
    for how in (semiring, Plain(semiring)):
        leaf = phi.clone().requires_grad_()
        value = inference.evaluate(structure, how, parts.fields(leaf))
        (first,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        second = None
        if first.requires_grad:
            (second,) = torch.autograd.grad((first * weights).sum(), leaf, allow_unused=True)
        found.append((value, first, torch.zeros_like(leaf) if second is None else second))
    for order, fast, generic in zip(("value", "gradient", "second derivative"), *found, strict=True):
        close(f"{order} under {semiring}, fast against generic", fast, generic.detach(), 1e-9)


def check_dual(structure: Any, parts: Parts, phi: Tensor) -> None:
    """The channel of tangents against dual numbers: expectation, variance, and the derivative in the seed."""
    still = torch.where(phi == NEG_INF, 0.0, phi)
    fields, values = parts.fields(phi), parts.fields(still)
    _, mean = inference.evaluate(structure, ExpectationSemiring(), fields)
    close("expectation against ExpectationSemiring", inference.expectation(structure, fields, values), mean, 1e-9)
    nested = inference.evaluate(structure, ExpectationSemiring(ExpectationSemiring()), fields)
    variance = inference.variance(structure, fields, values)
    close("variance against nested ExpectationSemiring", variance, nested[1, 1], 1e-8)
    leaf = phi.clone().requires_grad_()
    seed = torch.ones_like(mean).requires_grad_()
    total = inference.log_partition(structure, parts.fields(leaf))
    (first,) = torch.autograd.grad(total, leaf, seed, create_graph=True)
    (rise,) = torch.autograd.grad((first * still).sum(), seed)
    close("derivative of the gradient in its seed", rise, mean, 1e-9)


def check_best(structure: Any, parts: Parts, phi: Tensor, k: int) -> None:
    """The beam against lists of k scores, and their gradients, under the k-best semiring."""
    leaf = phi.clone().requires_grad_()
    scores = inference.evaluate(structure, KBestSemiring(k), parts.fields(leaf))
    found = inference.topk(structure, parts.fields(phi), k)
    close("topk against KBestSemiring", found.scores, scores.detach(), 1e-12)
    for i in range(k):
        (event,) = torch.autograd.grad(torch.where(found.valid[i], scores[i], 0.0).sum(), leaf, retain_graph=True)
        reached = inference.score(structure, parts.fields(phi), parts.fields(event))
        blank = torch.where(found.valid[i], reached, NEG_INF)
        close("gradient of KBestSemiring: its score", blank, found.scores[i], 1e-12)


def check_draws(structure: Any, parts: Parts, phi: Tensor, draws: int = 1000) -> None:
    """Draws by walking, by reverse and by autograd's tape all follow the exact probabilities."""
    fields = parts.fields(phi)
    if float(inference.count(structure, fields).max()) > FEW:
        return
    events = inference.enumerate_events(structure, fields)
    code = codes(phi.shape[-1])
    listed = code(parts.flat(events))
    log_probs = inference.score(structure, fields, events) - inference.log_partition(structure, fields)
    real = torch.arange(len(listed), device="cpu").unsqueeze(1) < inference.count(structure, fields)
    exact = torch.where(real, log_probs, NEG_INF).exp()
    first = (listed.unsqueeze(1) == listed).to(torch.uint8).argmax(0)  # derivations that share an event share a cell
    exact = torch.zeros_like(exact).scatter_add_(0, first, exact)
    generator = torch.Generator().manual_seed(3)

    def cells(drawn: Tensor) -> Tensor:
        same = code(drawn).unsqueeze(1) == listed
        require(same.any(1).all(), "draws", "something that is no event of finite score was drawn")
        return same.to(torch.uint8).argmax(1)

    def by_gradient(semiring: Semiring, count: int) -> Tensor:
        leaf = phi.expand(count, *phi.shape).clone().requires_grad_()
        total = inference.evaluate(structure, semiring, parts.fields(leaf))
        return torch.autograd.grad(total.sum(), leaf)[0]

    ways = {"sample": lambda n: cells(parts.flat(inference.sample(structure, fields, (n,), generator=generator)))}
    by_gradients = {
        "gradient of SampleSemiring, fast": lambda n: cells(by_gradient(SampleSemiring(generator), n)),
        "gradient of SampleSemiring, generic": lambda n: cells(by_gradient(Plain(SampleSemiring(generator)), n)),
    }
    if not reuses_cells(inference.program(structure, fields)):
        ways |= by_gradients
    for name, draw in ways.items():
        check_sampler(draw, exact, draws=draws, name=name)
