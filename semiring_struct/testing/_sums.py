"""Queries that sum over all structures: partition, marginals, entropies, expectations, counts."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.testing._case import Case
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._truth import NEG_INF

LOG_Z, MARGINAL = 1e-10, 1e-9


def check_partition(case: Case) -> None:
    """log Z against the sum over all events."""
    found = inference.log_partition(case.structure, case.potentials, lengths=case.lengths)
    close("log_partition", found, case.batched(case.truth.log_partition(case.phi)), LOG_Z)


def check_marginals(case: Case) -> None:
    """Marginals against the mean event."""
    marginals = inference.marginals(case.structure, case.potentials, lengths=case.lengths)
    close("marginals", case.parts.flat(marginals), case.truth.marginals(case.phi), MARGINAL)
    require(type(marginals) is type(case.potentials), "marginals", f"came back as a {type(marginals).__name__}")


def check_count(case: Case) -> None:
    """The number of events of finite score."""
    found = inference.count(case.structure, case.potentials, lengths=case.lengths)
    require(found.dtype == torch.float64, "count", f"dtype {found.dtype}, expected float64")
    close("count", found, case.batched(case.counts.double()), 0.0)


def check_entropies(case: Case) -> None:
    """Entropy, cross-entropy, KL and Rényi entropies against their definitions."""
    psi = case.phi + case.noise(*case.phi.shape)
    other, tolerance = case.parts.fields(psi), LOG_Z * 10
    entropy, cross = case.truth.entropy(case.phi), case.truth.cross_entropy(case.phi, psi)
    found = inference.entropy(case.structure, case.potentials, lengths=case.lengths)
    close("entropy", found, case.batched(entropy), tolerance)
    found = inference.cross_entropy(case.structure, case.potentials, other, lengths=case.lengths)
    close("cross_entropy", found, case.batched(cross), tolerance)
    found = inference.kl(case.structure, case.potentials, other, lengths=case.lengths)
    close("kl", found, case.batched(cross - entropy), tolerance)
    for alpha in (0.5, 2.0):
        found = inference.renyi_entropy(case.structure, case.potentials, alpha, lengths=case.lengths)
        close(f"renyi_entropy at {alpha}", found, case.batched(case.truth.renyi(case.phi, alpha)), tolerance)


def check_expectations(case: Case) -> None:
    """Expectations, with trailing value dims, variances and covariance products."""
    columns = [case.noise(*case.phi.shape) for _ in range(2)]
    along = [torch.einsum("sbd,bd->sb", case.truth.events, column) for column in columns]
    means = [case.truth.mean(case.phi, f) for f in along]
    values = case.parts.fields(columns[0])
    found = inference.expectation(case.structure, case.potentials, values, lengths=case.lengths)
    close("expectation", found, case.batched(means[0]), MARGINAL)
    found = inference.expectation(case.structure, case.potentials, case.parts.stacked(columns), lengths=case.lengths)
    expected = torch.stack([case.batched(mean) for mean in means], -1)
    close("expectation of values with a trailing dim", found, expected, MARGINAL)
    found = inference.variance(case.structure, case.potentials, values, lengths=case.lengths)
    spread = case.truth.mean(case.phi, (along[0] - means[0]).square())
    close("variance", found, case.batched(spread), MARGINAL)
    found = inference.covariance_vp(case.structure, case.potentials, values, lengths=case.lengths)
    close("covariance_vp", case.parts.flat(found), case.truth.covariance_vp(case.phi, columns[0]), MARGINAL)


def check_score(case: Case) -> None:
    """`<event, potentials>` of every event listed."""
    events = case.truth.events
    potentials, _ = case.spread(len(events))
    scores = inference.score(case.structure, potentials, case.parts.fields(events))
    listed = case.batched(case.truth.scores(case.phi))
    blank = case.batched(~case.truth.listed)
    close("score", torch.where(blank, NEG_INF, scores), listed, LOG_Z)


def check_log_prob(case: Case) -> None:
    """Every event has its log-probability; everything else, near misses included, has -inf."""
    events, known = case.truth.events, case.truth.log_probabilities(case.phi)
    rows = torch.cat([events, near_misses(events)])
    codes = case.code(rows)
    expected = torch.full(codes.shape, NEG_INF, dtype=torch.float64, device="cpu")
    for event_codes, log_prob in zip(case.event_codes, known, strict=True):
        expected = torch.where(codes == event_codes, log_prob, expected)
    potentials, lengths = case.spread(len(rows))
    found = inference.log_prob(case.structure, potentials, case.parts.fields(rows), lengths=lengths)
    close("log_prob", found, expected.reshape(len(rows), *case.parts.batch), 10 * LOG_Z)


def check_contains(case: Case) -> None:
    """Every event is a structure, forbidden or not; near misses are only where they are listed too."""
    if not case.complete:
        return
    rows = torch.cat([case.truth.events, near_misses(case.truth.events)])
    codes = case.code(rows)
    potentials, lengths = case.spread(len(rows))
    members = torch.stack([(codes == code) & real for code, real in member_codes(case)]).any(0)
    inside = inference.contains(case.structure, potentials, case.parts.fields(rows), lengths=lengths)
    wrong = inside.reshape(len(rows), -1) != members
    require(not wrong.any(), "contains", f"wrong for rows {wrong.nonzero()[:5].tolist()} of events and near misses")


def member_codes(case: Case) -> list[tuple[Tensor, Tensor]]:
    """The code of every listed event, forbidden or not, and whether it is listed."""
    return list(zip(case.code(case.truth.events), case.truth.listed, strict=True))


def near_misses(events: Tensor) -> Tensor:
    """Rows like events that mostly are none: nothing, everything, a part too many or too few, sums, averages."""
    if not events.numel():
        return torch.zeros(1, *events.shape[1:], dtype=torch.float64, device="cpu")
    first, last = events[0], events[-1]
    parts = first.shape[-1]
    flipped = []
    for part in {0, parts // 2, parts - 1}:
        row = first.clone()
        row[:, part] = 1 - row[:, part]
        flipped.append(row)
    rows = [torch.zeros_like(first), torch.ones_like(first), first + last, (first + 3 * last) / 4, 2 * first, -first]
    return torch.stack([*rows, *flipped])


def check_enumeration(case: Case) -> None:
    """`enumerate_events` lists exactly the events of finite score, then zeros; a small limit is refused by count."""
    events = inference.enumerate_events(case.structure, case.potentials, lengths=case.lengths)
    listed = case.code(case.parts.flat(events))
    for b, count in enumerate(case.counts.tolist()):
        expected = case.event_codes[:, b]
        expected = expected[~expected.isnan()].sort().values
        close(f"enumerate_events, instance {b}", listed[:count, b].sort().values, expected, 0.0)
        require(not listed[count:, b].any(), "enumerate_events", f"blanks of instance {b} are not zero")
    most = int(case.counts.max())
    if most > 1:
        try:
            inference.enumerate_events(case.structure, case.potentials, limit=most - 1, lengths=case.lengths)
        except ValueError as error:
            require(str(most) in str(error), "enumerate_events", f"the refusal does not name the count: {error}")
        else:
            raise AssertionError(f"enumerate_events: {most} events passed a limit of {most - 1}")
