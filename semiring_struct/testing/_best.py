"""Queries about the best structures: max_score, argmax, topk, on generic potentials and on ties."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.testing._case import Case
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._truth import NEG_INF

EXACT = 1e-12


def check_best(case: Case) -> None:
    """The best score, and one best event (an event: never a blend)."""
    best = case.scores.max(0).values
    found = inference.max_score(case.structure, case.potentials, lengths=case.lengths)
    close("max_score", found, case.batched(best), EXACT)
    event = inference.argmax(case.structure, case.potentials, lengths=case.lengths)
    place = case.find(event)
    require((place >= 0).all(), "argmax", "is not an event of finite score")
    reached = case.scores.gather(0, place.clamp_min(0).unsqueeze(0)).squeeze(0)
    close("argmax: its score", reached, best, EXACT)


def check_topk(case: Case) -> None:
    """k below and above the number of structures: scores descending, events distinct and of these scores, blanks."""
    for k in (1, 2, 3, len(case.scores) + 2):
        check_topk_of(case, k)


def check_topk_of(case: Case, k: int) -> None:
    """The k best against all scores sorted; blanks past the number of structures."""
    query = f"topk with k={k}"
    scores, events, valid = inference.topk(case.structure, case.potentials, k, lengths=case.lengths)
    blank = torch.full((k, case.parts.instances), NEG_INF, dtype=torch.float64, device="cpu")
    expected = torch.cat([case.scores, blank]).sort(0, descending=True).values[:k]
    close(f"{query}: scores", scores, case.batched(expected), EXACT)
    real = expected > NEG_INF
    require(torch.equal(valid.reshape(k, -1), real), query, "valid does not mark exactly the real structures")
    rows = case.parts.flat(events)
    require(not rows[~real].any(), query, "the events of blanks are not zero")
    place = case.find(events)
    require((place[real] >= 0).all(), query, "lists something that is no event of finite score")
    reached = case.scores.gather(0, place.clamp_min(0))
    close(f"{query}: the events' scores", torch.where(real, reached, NEG_INF), expected, EXACT)
    require_distinct(query, case, place, real)


def require_distinct(query: str, case: Case, place: Tensor, real: Tensor) -> None:
    """No event listed more often than it has derivations."""
    for b in range(place.shape[1]):
        listed, often = place[real[:, b], b].unique(return_counts=True)
        codes = case.event_codes[:, b]
        derivations = (codes.unsqueeze(0) == codes[listed].unsqueeze(1)).sum(1)
        require((often <= derivations).all(), query, f"lists an event twice in instance {b}")


def check_ties(case: Case) -> None:
    """All scores alike, and small whole numbers: still whole events, all distinct."""
    allowed = case.phi > NEG_INF
    whole = torch.randint(0, 2, case.phi.shape, generator=case.generator, device="cpu").double()
    for phi in (torch.zeros_like(case.phi), whole):
        tied = case.with_phi(torch.where(allowed, phi, NEG_INF))
        check_best(tied)
        if case.offers("topk"):
            check_topk(tied)
            check_first(tied)


def check_first(case: Case) -> None:
    """However many are asked for, the list begins with the structure that argmax takes, among equals too."""
    event = case.parts.flat(inference.argmax(case.structure, case.potentials, lengths=case.lengths))
    for k in (1, 2, 3, len(case.scores) + 1):
        listed = inference.topk(case.structure, case.potentials, k, lengths=case.lengths).events
        same = torch.equal(case.parts.flat(listed)[0], event)
        require(same, f"topk with k={k}", "does not begin with the structure that argmax takes")
