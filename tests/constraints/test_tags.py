"""Tag schemes: the strings they let pass are those that spans can be written as."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product

import pytest
import torch

import semiring_struct as ss
from semiring_struct import constraints

Span = tuple[int, int, str]
NEG_INF = float("-inf")


def spans_of(n: int, kinds: str) -> list[list[Span]]:
    """Every set of disjoint typed spans `(first, last, type)` over `n` positions."""
    if n == 0:
        return [[]]
    out = spans_of(n - 1, kinds)
    for width in range(1, n + 1):
        out = out + [[*rest, (n - width, n - 1, kind)] for rest in spans_of(n - width, kinds) for kind in kinds]
    return out


def written(n: int, spans: list[Span], first: str, inside: str, last: str, alone: str) -> list[str]:
    tags = ["O"] * n
    for start, stop, kind in spans:
        tags[start : stop + 1] = [f"{inside}-{kind}"] * (stop - start + 1)
        tags[start], tags[stop] = f"{first}-{kind}", f"{last}-{kind}"
        if start == stop:
            tags[start] = f"{alone}-{kind}"
    return tags


def written_iob1(n: int, spans: list[Span]) -> list[str]:
    tags = written(n, spans, "I", "I", "I", "I")
    for start, _, kind in spans:
        if any(end == start - 1 and other == kind for _, end, other in spans):
            tags[start] = f"B-{kind}"
    return tags


WRITERS: dict[Callable, tuple[str, Callable[[int, list[Span]], list[str]]]] = {
    constraints.bio: ("BI", lambda n, spans: written(n, spans, "B", "I", "I", "B")),
    constraints.iob1: ("BI", written_iob1),
    constraints.bioes: ("BIES", lambda n, spans: written(n, spans, "B", "I", "E", "S")),
    constraints.bioul: ("BILU", lambda n, spans: written(n, spans, "B", "I", "L", "U")),
}
every_scheme = pytest.mark.parametrize("scheme", WRITERS, ids=lambda scheme: scheme.__name__)


def obeys(rules: constraints.TagRules, string: tuple[int, ...]) -> bool:
    pairs = pairwise(string)
    return bool(rules.start[string[0]] and rules.end[string[-1]] and all(rules.transition[a, b] for a, b in pairs))


@every_scheme
@pytest.mark.parametrize("n", [1, 2, 4])
def test_exactly_the_strings_of_spans_pass(scheme: Callable, n: int):
    letters, write = WRITERS[scheme]
    tags = ["O", *(f"{letter}-{kind}" for kind in "XY" for letter in letters)]
    rules = scheme(tags)
    passed = {string for string in product(range(len(tags)), repeat=n) if obeys(rules, string)}
    assert passed == {tuple(map(tags.index, write(n, spans))) for spans in spans_of(n, "XY")}


@every_scheme
def test_chains_that_follow_the_rules(scheme: Callable):
    """Counted under lengths; a tied transition stays tied; the order of the tags is the caller's."""
    letters, _ = WRITERS[scheme]
    tags = [f"{letters[-1]}-X", "O", *(f"{letter}-X" for letter in letters[:-1])]
    lengths = torch.tensor([5, 1, 3, 0])
    for size in (4, 1):
        phi = ss.ChainPotentials(torch.randn(4, 5, len(tags)), torch.randn(1, size, len(tags), len(tags)))
        ruled = constraints.follow(phi, scheme(tags), lengths)
        assert ruled.transition.shape == phi.transition.shape
        expected = [len(spans_of(int(n), "X")) for n in lengths]
        assert ss.count(ss.LinearChain(), ruled, lengths).tolist() == expected
    full = constraints.follow(ss.ChainPotentials(phi.emission[0], phi.transition[0]), scheme(tags))
    assert ss.count(ss.LinearChain(), full) == len(spans_of(5, "X"))


def test_tags_without_types():
    rules = constraints.bio(["B", "I", "O"])
    assert rules.start.tolist() == [True, False, True]
    assert rules.transition.tolist() == [[True, True, True], [True, True, True], [True, False, True]]
    assert rules.end.all()


def test_from_and_to():
    """O may be followed by B and not by I; I-X follows X and not Y."""
    tags = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    may = constraints.bio(tags).transition
    assert may[tags.index("O"), tags.index("B-X")] and not may[tags.index("O"), tags.index("I-X")]
    assert may[tags.index("B-X"), tags.index("I-X")] and not may[tags.index("B-Y"), tags.index("I-X")]


@pytest.mark.parametrize("bad", [["O", "X"], ["O", "E-PER"], ["O", "B-"], ["O-PER"], ["O", "O"], [], ["BI-X"]])
def test_tags_of_no_scheme(bad: list[str]):
    with pytest.raises(ValueError, match="BIO"):
        constraints.bio(bad)


@pytest.mark.parametrize(
    ("scheme", "tags", "lost"),
    [
        (constraints.bio, ["O", "B-X", "I-X", "I-Y"], {"I-Y"}),
        (constraints.bio, ["I"], {"I"}),
        (constraints.iob1, ["O", "B-X"], {"B-X"}),
        (constraints.bioes, ["O", "B-X", "I-X", "S-X"], {"B-X", "I-X"}),
        (constraints.bioes, ["O", "I-X", "E-X"], {"I-X", "E-X"}),
        (constraints.bioul, ["O", "B-X", "L-Y", "U-X"], {"B-X", "L-Y"}),
    ],
)
def test_tags_that_could_never_occur_are_named(scheme: Callable, tags: list[str], lost: set[str]):
    with pytest.raises(ValueError, match=r"holds [^;]*;") as raised:
        scheme(tags)
    assert set(str(raised.value).split("holds ")[1].split(";")[0].split(", ")) == lost


@every_scheme
def test_every_set_of_tags_is_accepted_if_and_only_if_all_of_them_can_occur(scheme: Callable):
    """By enumeration of strings up to length 4: long enough for any tag of one type."""
    letters, _ = WRITERS[scheme]
    every = ["O", *(f"{letter}-X" for letter in letters)]
    full = scheme(every)
    for chosen in product((False, True), repeat=len(every)):
        kept = [i for i, keep in enumerate(chosen) if keep]
        if not kept:
            continue
        strings = [s for n in range(1, 5) for s in product(kept, repeat=n) if obeys(full, s)]
        fine = {i for s in strings for i in s} == set(kept)
        if fine:
            scheme([every[i] for i in kept])
        else:
            with pytest.raises(ValueError, match="follows the rules"):
                scheme([every[i] for i in kept])


def test_rules_of_another_size():
    with pytest.raises(ss.ShapeError, match="3 tags"):
        constraints.follow(ss.ChainPotentials(torch.zeros(4, 3), torch.zeros(3, 3, 3)), constraints.bio(["O", "B"]))
