"""Exact draws, with and without replacement: support, law, independence of the instances, reproducibility."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.testing._best import require_distinct
from semiring_struct.testing._case import Case
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._truth import NEG_INF
from semiring_struct.testing.statistics import check_sampler, gamma_two_sided


def check_sample(case: Case, draws: int) -> None:
    """Many draws of one call follow the exact probabilities; shapes, dtype, generator as promised."""

    def draw(count: int) -> Tensor:
        events = inference.sample(
            case.structure, case.potentials, (count,), lengths=case.lengths, generator=case.generator
        )
        return case.find(events)

    check_sampler(draw, case.event_probabilities, draws=draws, name="sample")
    for shape in ((), (2, 3)):
        events = inference.sample(
            case.structure, case.potentials, shape, lengths=case.lengths, generator=case.generator
        )
        place = case.find(events)
        require(place.shape == (*shape, case.parts.instances), "sample", f"shape for sample_shape {shape}")
        require((place >= 0).all(), "sample", "drew something that is no event of finite score")


def check_reproducible(case: Case) -> None:
    """One generator state, one result; torch's global generator stays untouched."""
    before = torch.random.get_rng_state()
    for query in filter(case.offers, ("sample", "sample_without_replacement")):
        twice = []
        for _ in range(2):
            generator = torch.Generator().manual_seed(7)
            if query == "sample":
                drawn = inference.sample(
                    case.structure, case.potentials, (5,), lengths=case.lengths, generator=generator
                )
            else:
                drawn = inference.sample_without_replacement(
                    case.structure, case.potentials, 2, lengths=case.lengths, generator=generator
                ).events
            twice.append(case.parts.flat(drawn))
        require(torch.equal(*twice), query, "differs for the same generator state")
    require(
        torch.equal(before, torch.random.get_rng_state()), "sample", "a generator was given, yet the global one moved"
    )


def check_distinct(case: Case, draws: int) -> None:
    """k distinct events with their log-probabilities, all of them once k reaches the count; the law of two."""
    exact = case.truth.log_probabilities(case.phi)
    for k in (1, 2, len(case.scores) + 1):
        query = f"sample_without_replacement with k={k}"
        found = inference.sample_without_replacement(
            case.structure, case.potentials, k, lengths=case.lengths, generator=case.generator
        )
        real = found.valid.reshape(k, -1)
        expected = torch.arange(k, device="cpu").unsqueeze(1) < case.counts
        require(torch.equal(real, expected), query, "valid does not mark min(k, number of structures) draws")
        place = case.find(found.events)
        require((place[real] >= 0).all(), query, "drew something that is no event of finite score")
        require_distinct(query, case, place, real)
        log_probs = torch.where(real, exact.gather(0, place.clamp_min(0)), NEG_INF)
        close(f"{query}: log_probs", found.log_probs.reshape(k, -1), log_probs, 1e-9)
        perturbed = found.perturbed.reshape(k, -1)
        require((perturbed[:-1] >= perturbed[1:]).all(), query, "perturbed log-probabilities do not descend")
        require(bool((perturbed > NEG_INF)[real].all()), query, "a real draw has perturbed log-probability -inf")
    check_law_of_two(case, draws)


def check_law_of_two(case: Case, draws: int) -> None:
    """The first two are drawn one after the other without putting back; the best perturbed value is Gumbel(0)."""
    if case.repeats:
        return
    p = case.event_probabilities
    s = len(p)
    left = (1 - p).unsqueeze(1)
    pair = torch.where(left > 1e-12, p.unsqueeze(1) * p.unsqueeze(0) / left.clamp_min(1e-12), 0.0)
    pair[range(s), range(s)] = torch.where(p > 1 - 1e-12, p, 0.0)
    perturbed: list[Tensor] = []

    def draw(count: int) -> Tensor:
        potentials, lengths = case.spread(count)
        found = inference.sample_without_replacement(
            case.structure, potentials, 2, lengths=lengths, generator=case.generator
        )
        perturbed.append(found.perturbed[0].reshape(count, -1))
        first, second = case.find(found.events)
        return first * s + torch.where(found.valid[1].reshape(count, -1), second, first)

    check_sampler(draw, pair.flatten(0, 1), draws=draws, name="sample_without_replacement")
    sums = (-torch.cat(perturbed)).exp().sum(0)
    drawn = sum(len(rows) for rows in perturbed)
    rare = [gamma_two_sided(float(total), drawn) for total in sums]
    require(min(rare) > 1e-9, "sample_without_replacement", "the largest perturbed log-probability is not Gumbel(0)")
