"""`check_structure`: what every structure owes, whoever wrote it, against a list of all its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.testing import _best, _draws, _forms, _gradients, _infeasible, _labels, _sums
from semiring_struct.testing._case import Case, Lengths
from semiring_struct.testing._parts import Fields, Parts, fields_of
from semiring_struct.testing._truth import Truth

Events = Fields | Callable[..., Fields] | None


# (a query that a check is about, the check)
FIRST = (
    ("log_partition", _sums.check_partition),
    ("marginals", _sums.check_marginals),
    ("count", _sums.check_count),
)
FEASIBLE = (
    ("entropy", _sums.check_entropies),
    ("expectation", _sums.check_expectations),
    ("score", _sums.check_score),
    ("log_prob", _sums.check_log_prob),
    ("contains", _sums.check_contains),
    ("enumerate_events", _sums.check_enumeration),
    ("argmax", _best.check_best),
    ("topk", _best.check_topk),
    ("argmax", _best.check_ties),
    ("log_partition", _gradients.check_curvature),
    ("evaluate", _forms.check_semirings),
    ("argmax", _labels.check_labels),
)


def check_structure(
    structure: Any,
    log_potentials: Fields,
    events: Events = None,
    *,
    lengths: Lengths = None,
    sizes: Sequence[int] | None = None,
    draws: int = 1000,
    gradients: bool = True,
    generator: torch.Generator | None = None,
) -> None:
    """Check every query that `structure` offers on `log_potentials` (any batch dims, `-inf` allowed) by enumeration.

    Args:
        structure: of any kind (its program or native methods say which queries it offers); its `event_dim` says how
            many trailing dims each field has.
        log_potentials: a float tensor or tuple of them, each `(*batch, ...)`; small, since everything is enumerated.
        events: all structures of one instance, independent of the program under test: a tensor `(s, ...)` (a tuple
            of them for several fields) shared by all instances, 0/1 or counts, forbidden ones included. With
            `lengths`, a function of an instance's length (of both lengths, for two-sided structures) that returns
            them in the full, padded shape. None takes `enumerate_events` of the program itself: then the queries
            are only checked against each other.
        lengths: `(*batch,)` integers, or a pair of such for two-sided structures.
        sizes: full length of each side; given, boolean masks are checked in place of `lengths` as well.
        draws: how many samples the first stage of each sampler test takes (`check_sampler`; a right sampler fails
            with probability at most 1e-6 per test).
        gradients: False leaves out gradcheck and gradgradcheck (gradients are still compared with enumeration).
        generator: randomness of the check itself; a fixed seed if None.

    Raises:
        AssertionError: naming the query that is wrong, and how.

    Cost: some hundreds of queries on the given potentials, seconds for instances of up to a hundred structures.
    """
    case = build_case(structure, log_potentials, events, lengths, generator)
    feasible = case.feasible.nonzero().squeeze(-1)
    if len(feasible) < case.parts.instances:
        _infeasible.check_refusals(case)
        _infeasible.check_values(case.select((~case.feasible).nonzero().squeeze(-1)))
    _run(case, FIRST)
    if len(feasible) == 0:
        return
    if len(feasible) < case.parts.instances:
        case = case.select(feasible)
    check_feasible(case, tuple(sizes or ()), draws)
    if gradients:
        _gradients.check_finite_differences(case.select(torch.arange(min(2, case.parts.instances), device="cpu")))


def _run(case: Case, checks: Sequence[tuple[str, Callable[[Case], None]]]) -> None:
    """The checks of the queries that the structure offers."""
    for query, check in checks:
        if case.offers(query):
            check(case)


def check_feasible(case: Case, sizes: tuple[int, ...], draws: int) -> None:
    """All families of queries on instances that have at least one structure each."""
    _run(case, FEASIBLE)
    for query, check in (("sample", _draws.check_sample), ("sample_without_replacement", _draws.check_distinct)):
        if case.offers(query):
            check(case, draws)
    _draws.check_reproducible(case)
    _gradients.check_gradients(case)
    _forms.check_precisions(case)
    _forms.check_batch_dims(case)
    _forms.check_unsupported(case)
    if sizes:
        _forms.check_masks(case, sizes)


def build_case(
    structure: Any, log_potentials: Fields, events: Events, lengths: Lengths, generator: torch.Generator | None
) -> Case:
    """Gather the truth about every instance; raises ValueError where events and lengths do not fit together."""
    if hasattr(structure, "resolve"):
        structure = structure.resolve(fields_of(log_potentials))
    parts = Parts.of(structure, log_potentials)
    phi = parts.flat(log_potentials).detach().double()
    if lengths is None:
        if callable(events):
            raise ValueError("events is a function of an instance's length, but no lengths were given.")
        if events is None:
            listed = inference.enumerate_events(structure, parts.fields(phi))
            per_instance = split_instances(parts, listed)
        else:
            per_instance = [events] * parts.instances
    elif callable(events):
        sides = lengths if isinstance(lengths, tuple) else (lengths,)
        rows = torch.stack([side.reshape(-1) for side in sides], -1).tolist()
        per_instance = [events(*row) for row in rows]
    elif events is None:
        per_instance = split_instances(parts, inference.enumerate_events(structure, parts.fields(phi), lengths=lengths))
    else:
        raise ValueError("with lengths, events must be a function of an instance's length.")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    truth = Truth.gather(parts, per_instance)
    if events is None:
        truth = Truth(truth.events, listed_rows(structure, parts, phi, lengths, len(truth.events)))
    return Case(structure, parts, phi, truth, lengths, generator, complete=events is not None)


def split_instances(parts: Parts, listed: Fields) -> list[Fields]:
    """Events `(s, *batch, ...)` as one `(s, ...)` entry per instance."""
    flat = parts.flat(listed)
    single = parts.with_batch(())
    return [single.fields(flat[:, b].unsqueeze(-2)) for b in range(parts.instances)]


def listed_rows(structure: Any, parts: Parts, phi: Tensor, lengths: Lengths, most: int) -> Tensor:
    """Which of `most` rows of `enumerate_events` are events and not blanks: the first `count` of each instance."""
    count = inference.count(structure, parts.fields(phi), lengths=lengths).reshape(-1)
    return torch.arange(most, device="cpu").unsqueeze(-1) < count
