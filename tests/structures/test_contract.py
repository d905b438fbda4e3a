"""Every query of every structure against enumeration: plain, with forbidden parts, with lengths, with batch dims."""

from __future__ import annotations

import pytest
import torch

import semiring_struct as ss
from semiring_struct.testing import check_structure
from tests.structures.families import FAMILIES, NATIVE, SIDED, Family

every_family = pytest.mark.parametrize("family", FAMILIES + NATIVE, ids=str)


@every_family
def test_every_query(family: Family):
    """Two instances with forbidden parts, and two without."""
    pairs = zip(fields(family.draw((2,), seed=0)), fields(family.draw((2,), seed=1, forbidden=0.3)), strict=True)
    phi = family.kind(*(torch.cat(pair) for pair in pairs))
    check_structure(family.structure, phi, family.events())


@pytest.mark.parametrize("family", SIDED + NATIVE, ids=str)
def test_lengths(family: Family):
    phi = family.draw((4,), seed=3, forbidden=0.1)
    check_structure(family.structure, phi, family.events, lengths=family.lengths(4, seed=3), sizes=family.sizes)


@every_family
def test_several_batch_dims_at_a_larger_scale(family: Family):
    """And an instance that is infeasible among them."""
    phi = family.draw((2, 1, 2), seed=4, scale=5.0)
    for field in fields(phi):
        field[0, 0, 1] = float("-inf")
    check_structure(family.structure, phi, family.events(), gradients=False, draws=200)


@pytest.mark.parametrize("family", SIDED + NATIVE, ids=str)
def test_padding_changes_nothing(family: Family):
    """Whatever stands past the length, the answers are bitwise the same."""
    lengths = family.lengths(4, seed=5)
    phi, other = family.draw((4,), seed=5), family.draw((4,), seed=6)
    used = family_mask(family, lengths)
    mixed = family.kind(*(torch.where(u, a, b) for u, a, b in zip(used, fields(phi), fields(other), strict=True)))
    for query in (ss.log_partition, ss.max_score, ss.entropy):
        answers = [query(family.structure, x, lengths=lengths) for x in (phi, mixed)]
        assert torch.equal(*answers)
    pairs = zip(
        fields(ss.marginals(family.structure, phi, lengths=lengths)),
        fields(ss.marginals(family.structure, mixed, lengths=lengths)),
        used,
        strict=True,
    )
    for one, same, part in pairs:
        assert torch.equal(one, same)
        assert not one[~part].any()


def fields(value: object) -> tuple[torch.Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)  # type: ignore[return-value]


def family_mask(family: Family, lengths: torch.Tensor | tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Which parts any structure of each instance uses, per field, from the enumeration."""
    sides = lengths if isinstance(lengths, tuple) else (lengths,)
    rows = torch.stack(sides, -1).tolist()
    used = [[(field > 0).any(0) for field in fields(family.events(*row))] for row in rows]
    return [torch.stack(field) for field in zip(*used, strict=True)]
