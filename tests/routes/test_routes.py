"""A sample of the contract (every family, batch, dtype and route), the long run, and that it tells right from wrong."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from functools import lru_cache, partial
from random import Random

import pytest
import torch
from torch import Tensor

from tests.routes.cases import BATCHES, DTYPES, LAYOUTS, SCALES, SHARED, Case, case, groups
from tests.routes.models import MAKERS, listed, spans
from tests.routes.runs import Run
from tests.routes.table import ROUTES, differences, off
from tests.routes.truth import Truth, machine, truths
from tests.structures.families import FAMILIES, NATIVE

CASES = 100_000
SOME, FEW = 10, 4  # cases of a size in the sample; of an enumerated family
LISTED = sum(maker is listed for maker in MAKERS)
ROUNDS = -(-(len(FAMILIES) + len(NATIVE)) // LISTED)


def sampled(turn: int, place: int) -> list[Case]:
    """One group of the sample: of enumerated families all, of the others one size, of chains two."""
    first = (turn * len(MAKERS) + place) * SHARED
    return [case(first + i) for i in range(FEW if MAKERS[place] is listed else SOME)]


SAMPLE = [
    (turn, place) for turn, place in itertools.product(range(ROUNDS), range(len(MAKERS)))
    if turn == 0 or MAKERS[place] is listed
]  # fmt: skip


@lru_cache(maxsize=2)
def known(turn: int, place: int) -> list[tuple[Case, Truth]]:
    """The cases of a group and their truths: its routes are tested one after the other."""
    cases = sampled(turn, place)
    return list(zip(cases, truths(cases), strict=True))


def named(group: tuple[int, int]) -> str:
    return f"{MAKERS[group[1]].__name__}-{group[0]}-{group[1]}"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("group", SAMPLE, ids=named)
def test_sample(group: tuple[int, int], route: str):
    wrong = [f"{what}\n    {one}" for one, truth in known(*group) if (what := off(one, truth, route)) is not None]
    assert not wrong, "\n".join(wrong)


@lru_cache(maxsize=2)
def guarded(group: tuple[int, int]) -> list[tuple[Case, Truth]]:
    """A case of a group that runs where the library chooses."""
    mine = [one for one in sampled(*group) if not one.machine and one.threads == 1][:1]
    return list(zip(mine, truths(mine), strict=True))


def found_by(route: str, run: Run) -> list[Tensor]:
    return [found for found, _, _ in ROUTES[route](run)]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("group", [group for group in SAMPLE if group[0] == 0], ids=named)
def test_sample_between_guard_bands(group: tuple[int, int], route: str):
    """Nothing is written outside of a buffer, and nothing depends on what lies there or was never written."""
    pytest.importorskip("numba")
    from tests.executors.guarded import agreed

    for one, truth in guarded(group):
        with machine(one.machine):
            agreed(partial(found_by, route, Run(one, truth)))


def test_the_sample_holds_everything():
    cases = [one for turn, place in SAMPLE for one in sampled(turn, place)]
    names = {one.model.name for one in cases}
    assert names >= {family.name for family in (*FAMILIES, *NATIVE)}
    assert {one.batch for one in cases} == set(BATCHES)
    assert {one.dtype for one in cases} == set(DTYPES)
    assert {one.scale for one in cases} == set(SCALES)
    assert {one.layout for one in cases} == set(LAYOUTS)
    chains = [one for one in cases if one.model.name.startswith("chain")]
    small = [one for one in chains if one.model.shapes[0][1] < 32 and one.count >= 4]
    assert any(one.scale >= 30 and one.dtype == torch.float32 and not one.machine for one in small)


@pytest.mark.exhaustive
def test_a_hundred_thousand_cases():
    found = [what for group in itertools.islice(groups(1), CASES // SHARED) for what in differences(group)]
    assert not found, "\n".join(map(str, found[:20]))


READS = {
    "log-z": {"log_z"}, "backward": {"log_z", "mean"}, "marginals": {"mean"}, "double-backward": {"mean", "hessian"},
    "marginals-backward": {"mean", "hessian"}, "covariance_vp": {"hessian"}, "entropy": {"entropy", "entropy_slope"},
    "max-score": {"best"}, "argmax": {"best"}, "argmax-labels": {"best"}, "three-best": {"top"},
    "three-best-labels": {"top"}, "draws": {"best"},
}  # fmt: skip


def moved(truth: Truth, name: str) -> Truth:
    """A truth with one wrong entry; the best is made worse than any draw."""
    value = getattr(truth, name)
    if not isinstance(value, tuple):
        return replace(truth, **{name: value - 100})
    first = value[0].clone()
    first.flatten()[0] += 0.5
    return replace(truth, **{name: (first, *value[1:])})


@pytest.mark.parametrize("route", ROUTES)
def test_a_wrong_answer_is_noticed(route: str):
    one = Case(
        5, spans(Random(0), 0), (4,), torch.float64, 1.0, forbidden=0.0, layout="plain", tied=False, padded=False,
        weighted=False, threads=1, machine="eager",
    )  # fmt: skip
    (truth,) = truths([one])
    assert off(one, truth, route) is None
    for field in fields(Truth):
        if field.name in READS[route]:
            assert off(one, moved(truth, field.name), route) is not None
