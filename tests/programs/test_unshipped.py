"""Programs that ship nowhere get every query, as the built-in structures do."""

from __future__ import annotations

import pytest
import torch

from semiring_struct.testing import check_program, check_structure
from tests.programs.unshipped import (
    Choose,
    Grammar,
    GrammarPotentials,
    Nussinov,
    WordPotentials,
    Words,
    choices,
    derivations,
    pairings,
    word_events,
)
from tests.structures.families import Family, only

FAMILIES = (
    Family("pairings", Nussinov(), only, ((4, 4),), (4,), lambda length=4: pairings(4, length)),
    Family("words", Words(), WordPotentials, ((4, 4), (4,)), (4,), lambda length=4: word_events(4, length)),
    Family("choose", Choose(2), only, ((5,),), (5,), lambda length=5: choices(5, 2, length)),
    Family(
        "grammar", Grammar(), GrammarPotentials, ((3, 2), (2, 2, 2)), (3,), lambda length=3: derivations(3, 2, length)
    ),
)
every_program = pytest.mark.parametrize("family", FAMILIES, ids=str)


def test_known_counts():
    assert [len(pairings(n)) for n in range(1, 6)] == [1, 2, 4, 9, 21]
    assert [len(word_events(n)[0]) for n in range(1, 5)] == [1, 2, 4, 8]
    assert len(choices(5, 2)) == 10
    assert len(derivations(3, 2)[0]) == 2 * 2**5


@every_program
def test_every_query(family: Family):
    check_structure(family.structure, family.draw((2,), seed=0), family.events())


@every_program
def test_forbidden_parts_and_batch_dims(family: Family):
    check_structure(family.structure, family.draw((2, 1, 2), seed=1, forbidden=0.2), family.events())


@every_program
def test_lengths(family: Family):
    lengths = torch.tensor([*range(family.sizes[0] + 1)])
    phi = family.draw((len(lengths),), seed=2)
    check_structure(family.structure, phi, family.events, lengths=lengths, sizes=family.sizes)


@every_program
def test_recorded_program(family: Family):
    check_program(family.structure, family.draw((3,), seed=3, forbidden=0.2))


def test_a_wrong_program_is_caught():
    class Forgetful(Nussinov):
        """Leaves out the pairs that enclose nothing."""

        def inside(self, p, pair):
            n = pair.shape[-1]
            chart = p.chart(n + 1, n + 1)
            for i in range(n + 1):
                chart[i, i] = p.one
            for i in range(n):
                chart[i, i + 1] = p.one
            for width in range(2, n + 1):
                for i in range(n - width + 1):
                    j = i + width
                    paired = (pair[i, i + 2 : j] * chart[i + 1, i + 2 : j] * chart[i + 3 : j + 1, j]).sum(-1)
                    chart[i, j] = chart[i + 1, j] + paired if width > 2 else chart[i + 1, j]
            return chart[0, p.length]

    with pytest.raises(AssertionError, match="log_partition"):
        check_structure(Forgetful(), torch.randn(2, 4, 4, dtype=torch.float64), pairings(4))
