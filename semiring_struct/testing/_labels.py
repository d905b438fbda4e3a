"""Labels against events: round trips of every structure, labels in and out of the queries, refusals."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.testing._case import Case
from semiring_struct.testing._compare import close, require

OUT_OF_RANGE = 10**6


def check_labels(case: Case) -> None:
    """Everything that labels owe, where the structure has them; where not, the queries say so."""
    event = inference.argmax(case.structure, case.potentials, lengths=case.lengths)
    try:
        coded: Tensor | None = case.structure.to_labels(event, case.lengths)
    except UnsupportedQueryError:
        check_no_labels(case)
        return
    except ValueError as error:
        require("tied" in str(error), "to_labels", f"refuses an event: {error}")
        coded = None
    labels = inference.argmax(case.structure, case.potentials, labels=True, lengths=case.lengths)
    require(labels.dtype == torch.int64, "argmax(labels=True)", f"dtype {labels.dtype}")
    require(coded is None or torch.equal(labels, coded), "argmax(labels=True)", "differs from to_labels of the event")
    if case.offers("sample") and case.offers("log_prob"):
        check_drawn_labels(case, tied=coded is None)
    if case.offers("topk"):
        check_ranked_labels(case)
    if coded is not None:
        check_round_trip(case)
    check_refusal(case, labels)


def check_no_labels(case: Case) -> None:
    """A structure without labels refuses to give them."""
    try:
        inference.argmax(case.structure, case.potentials, labels=True, lengths=case.lengths)
    except UnsupportedQueryError:
        return
    raise AssertionError("argmax(labels=True): to_labels is not offered, yet labels came back")


def check_drawn_labels(case: Case, tied: bool) -> None:
    """Labels drawn with a generator are those of the events drawn with it, and score as them."""
    labels, events = (
        inference.sample(
            case.structure, case.potentials, (20,), lengths=case.lengths, labels=kind,
            generator=torch.Generator().manual_seed(11),
        )
        for kind in (True, False)
    )  # fmt: skip
    potentials, lengths = case.spread(20)
    again = case.structure.from_labels(labels, potentials, lengths)
    same = torch.equal(case.parts.flat(again).double(), case.parts.flat(events).double())
    require(same, "sample(labels=True)", "from_labels of the draws are not the events drawn with the same generator")
    if not tied:
        coded = case.structure.to_labels(events, lengths)
        require(torch.equal(coded, labels), "sample(labels=True)", "differs from to_labels of the events drawn")
    by_event = inference.log_prob(case.structure, case.potentials, events, lengths=case.lengths)
    by_labels = inference.log_prob(case.structure, case.potentials, labels, lengths=case.lengths)
    close("log_prob of labels", by_labels, by_event, 1e-10)


def check_ranked_labels(case: Case) -> None:
    """The labels of the k best are those of their events; blanks are -1 throughout."""
    k, query = 3, "topk(labels=True)"
    listed, coded = (
        inference.topk(case.structure, case.potentials, k, lengths=case.lengths, labels=kind) for kind in (False, True)
    )
    require(torch.equal(listed.valid, coded.valid), query, "marks other structures as valid than labels=False")
    close(f"{query}: scores", coded.scores, listed.scores, 1e-12)
    labels = coded.events.reshape(k, case.parts.instances, -1)
    valid = coded.valid.reshape(k, case.parts.instances, 1)
    require((labels == -1)[~valid.expand_as(labels)].all(), query, "the labels of blanks are not -1")
    potentials, lengths = case.spread(k)
    filled = torch.where(valid, labels, labels[:1]).reshape(coded.events.shape)
    again = case.parts.flat(case.structure.from_labels(filled, potentials, lengths))
    events = case.parts.flat(listed.events)
    same = (again.double() == events.double()).all(-1)
    require(same[valid[..., 0]].all(), query, "from_labels does not give the events listed")


def check_round_trip(case: Case) -> None:
    """`from_labels(to_labels(event))` is the event, for every structure listed; no two share their labels."""
    listed = case.truth.listed
    rows = torch.where(listed.unsqueeze(-1), case.truth.events, case.truth.events[:1])
    potentials, lengths = case.spread(len(rows))
    labels = case.structure.to_labels(case.parts.fields(rows), lengths)
    again = case.parts.flat(case.structure.from_labels(labels, potentials, lengths))
    require(torch.equal(again.double(), rows), "from_labels", "of to_labels does not give every event back")
    if not case.repeats:
        table = labels.reshape(len(rows), case.parts.instances, -1)
        for b in range(case.parts.instances):
            real = table[listed[:, b], b]
            different = len(real.unique(dim=0)) if real.numel() else 1
            require(different == len(real), "to_labels", f"gives two events of instance {b} one label")


def check_refusal(case: Case, labels: Tensor) -> None:
    """Labels out of range and labels that are no integers are refused."""
    if case.lengths is not None or not labels.numel():
        return
    for wrong, error in ((torch.full_like(labels, OUT_OF_RANGE), ValueError), (labels.double(), TypeError)):
        try:
            case.structure.from_labels(wrong, case.potentials)
        except error:
            continue
        raise AssertionError(f"from_labels: {wrong.dtype} labels of {wrong.flatten()[0]} raised no {error.__name__}")
