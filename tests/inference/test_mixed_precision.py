"""Fields of several floating dtypes are computed in a common one, and each gets its gradient in its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import semiring_struct as ss
from tests.structures.families import FAMILIES, NATIVE, Family, chain
from tests.structures.test_contract import fields

CHAIN = ss.LinearChain()
BF16, F16, F32, F64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
MIXES = (
    (BF16, F32, F32), (F32, BF16, F32), (F16, F32, F32), (BF16, F16, F32), (BF16, BF16, F32), (F32, F64, F64),
    (F64, BF16, F64), (F16, F64, F64),
)  # fmt: skip


def mixed(emission: torch.dtype, transition: torch.dtype, seed: int = 0) -> ss.ChainPotentials:
    phi = chain(4, 3).draw((2,), seed=seed)
    return ss.ChainPotentials(phi[0].to(emission).requires_grad_(), phi[1].to(transition).requires_grad_())


def promoted(phi: Any, dtype: torch.dtype) -> Any:
    return ss.ChainPotentials(*(f.to(dtype) for f in phi))


QUERIES = {
    "log_partition": ss.log_partition,
    "max_score": ss.max_score,
    "entropy": ss.entropy,
    "renyi_entropy": lambda s, phi: ss.renyi_entropy(s, phi, 2.0),
    "marginals": ss.marginals,
    "log_prob": lambda s, phi: ss.log_prob(s, phi, torch.tensor([[0, 1, 2, 0]] * 2)),
    "log_prob of an event": lambda s, phi: ss.log_prob(s, phi, ss.argmax(s, phi)),
    "expectation": lambda s, phi: ss.expectation(s, phi, mixed(F16, BF16, 1)),
    "score": lambda s, phi: ss.score(s, phi, ss.argmax(s, phi)),
    "evaluate": lambda s, phi: ss.evaluate(s, ss.KBestSemiring(2), phi),
    "smoothed": lambda s, phi: ss.relaxations.smoothed(s, phi, ss.SoftmaxSemiring(2.0)),
    "sparsemap": lambda s, phi: ss.relaxations.sparsemap(s, phi).mean,
    "topk_sparsemax": lambda s, phi: ss.relaxations.topk_sparsemax(s, phi, 3).weights,
    "hinge": lambda s, phi: ss.losses.hinge(s, phi, torch.tensor([[0, 1, 2, 0]] * 2)),
    "straight_through": ss.surrogates.straight_through,
}


@pytest.mark.parametrize(("one", "other", "common"), MIXES, ids=str)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_fields_are_promoted_to_a_common_dtype(
    query: Any, one: torch.dtype, other: torch.dtype, common: torch.dtype
):
    phi = mixed(one, other)
    answer = query(CHAIN, phi)
    wide = promoted(phi, common)
    for a, b in zip(fields(answer), fields(query(CHAIN, wide)), strict=True):
        assert a.dtype == common
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    sum((f * torch.arange(1.0, f.numel() + 1).reshape(f.shape)).sum() for f in fields(answer)).backward()
    assert [f.grad.dtype for f in phi] == [one, other]
    got = [f.grad.clone() for f in phi]
    for f in phi:
        f.grad = None
    sum((f * torch.arange(1.0, f.numel() + 1).reshape(f.shape)).sum() for f in fields(query(CHAIN, wide))).backward()
    torch.testing.assert_close(got, [f.grad for f in phi])


@pytest.mark.parametrize(("one", "other", "common"), MIXES, ids=str)
def test_what_is_found_is_that_of_the_promoted_fields(one: torch.dtype, other: torch.dtype, common: torch.dtype):
    phi = mixed(one, other)
    wide = promoted(phi, common)
    for query in (ss.argmax, lambda s, p: ss.topk(s, p, 3).events, lambda s, p: ss.sample(
        s, p, (5,), generator=torch.Generator().manual_seed(0)
    )):  # fmt: skip
        for a, b in zip(query(CHAIN, phi), query(CHAIN, wide), strict=True):
            assert a.dtype == common and torch.equal(a, b)
    assert torch.equal(ss.argmax(CHAIN, phi, labels=True), ss.argmax(CHAIN, wide, labels=True))
    assert ss.topk(CHAIN, phi, 2).scores.dtype == common
    assert ss.sample_without_replacement(CHAIN, phi, 2).log_probs.dtype == common
    assert CHAIN.from_labels(torch.tensor([[0, 1, 2, 0]] * 2), phi).transition.dtype == common
    crf = ss.LinearChainCRF(phi)
    torch.testing.assert_close(crf.entropy(), ss.entropy(CHAIN, wide))
    torch.testing.assert_close(crf.log_prob(crf.mode), ss.log_prob(CHAIN, wide, ss.argmax(CHAIN, wide)))


@pytest.mark.parametrize("query", [ss.kl, ss.cross_entropy], ids=["kl", "cross_entropy"])
def test_two_potentials_of_different_dtypes(query: Any):
    for one, other, common in ((BF16, F32, F32), (F32, F64, F64), (F64, F16, F64)):
        p, q = mixed(one, one), mixed(other, other, 1)
        value = query(CHAIN, p, q)
        assert value.dtype == common
        torch.testing.assert_close(value, query(CHAIN, promoted(p, F64), promoted(q, F64)).to(common))
        value.sum().backward()
        assert p.emission.grad.dtype == one and q.emission.grad.dtype == other


def halves_and_singles(family: Family) -> Any:
    """By turns a field in bfloat16 and one in float32, as autocast leaves them."""
    phi = family.draw((2,), seed=0)
    return family.kind(*(f.to(F32 if i % 2 else BF16) for i, f in enumerate(fields(phi))))


@pytest.mark.parametrize("family", [*FAMILIES, *NATIVE], ids=str)
def test_autocast_changes_no_digit(family: Family):
    phi = halves_and_singles(family)
    wide = family.kind(*(f.float() for f in fields(phi)))
    queries = [ss.log_partition, ss.marginals, ss.max_score, ss.entropy, ss.argmax]
    queries += [lambda s, p: ss.relaxations.sparsemap(s, p).mean, lambda s, p: ss.log_prob(s, p, ss.argmax(s, wide))]
    for query in queries:
        plain = query(family.structure, wide)
        with torch.autocast("cpu", dtype=BF16):
            inside = query(family.structure, phi)
        for a, b in zip(fields(inside), fields(plain), strict=True):
            assert a.dtype == F32
            assert torch.equal(a, b), query


class Tagger(torch.nn.Module):
    """A linear layer, which autocast runs in bfloat16, beside a float32 table of transitions."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.transition = torch.nn.Linear(8, 3), torch.nn.Parameter(torch.zeros(1, 3, 3))

    def forward(self, x: Tensor, labels: Tensor | None = None, lengths: Tensor | None = None) -> dict[str, Tensor]:
        phi = ss.ChainPotentials(self.linear(x), self.transition)
        if labels is None:
            return {"logits": ss.argmax(CHAIN, phi, labels=True, lengths=lengths)}
        return {"loss": ss.losses.nll(CHAIN, phi, labels, lengths).mean(), "logits": phi.emission}


def data(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 6, 8, generator=generator)
    return x, x[..., :3].argmax(-1)


def test_a_small_model_learns_under_autocast():
    torch.manual_seed(0)
    model, (x, y) = Tagger(), data(32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        with torch.autocast("cpu", dtype=BF16):
            loss = model(x, y)["loss"]
        assert loss.dtype == F32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert model.linear.weight.grad.dtype == F32 and losses[-1] < 0.3 * losses[0]
    with torch.autocast("cpu", dtype=BF16):
        assert (model(x)["logits"] == y).float().mean() > 0.9


def test_a_trainers_loop_with_bf16():
    """A forward pass under autocast, outputs cast to float32, losses accumulated, gradients clipped, a schedule."""
    torch.manual_seed(0)
    model, (x, y) = Tagger(), data(32)
    lengths = torch.tensor([6, 4, 5, 3] * 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + 0.01 * step))
    forward, first, last = torch.autocast("cpu", dtype=BF16)(model.forward), 0.0, 0.0
    for _ in range(30):
        model.train()
        for part in range(2):
            piece = slice(16 * part, 16 * part + 16)
            out = {k: v.float() for k, v in forward(x[piece], y[piece], lengths[piece]).items()}
            (out["loss"] / 2).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert norm.isfinite()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        last = float(out["loss"].detach())
        first = first or last
    assert last < 0.5 * first
    with torch.no_grad(), torch.autocast("cpu", dtype=BF16):
        found = model(x, lengths=lengths)["logits"]
    assert (found == y)[torch.arange(6) < lengths[:, None]].float().mean() > 0.9


def test_a_whole_model_in_half_precision_beside_a_float32_table():
    model = Tagger().bfloat16()
    model.transition.data = model.transition.float()
    x, y = data(4)
    model(x.bfloat16(), y)["loss"].backward()
    assert model.linear.weight.grad.dtype == BF16 and model.transition.grad.dtype == F32
