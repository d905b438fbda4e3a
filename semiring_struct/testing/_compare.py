"""Failures that name the query: every check of this room reports through these two functions."""

from __future__ import annotations

import torch
from torch import Tensor


def require(condition: bool | Tensor, query: str, complaint: str) -> None:
    """Raise AssertionError(`query: complaint`) unless `condition` holds; works under `python -O` too."""
    if not bool(condition):
        raise AssertionError(f"{query}: {complaint}")


def close(query: str, actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Equal shapes and values within `tolerance * max(1, |expected|)`; nan never equals anything, inf equals itself."""
    require(actual.shape == expected.shape, query, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
    torch.testing.assert_close(
        actual.detach(),
        expected.detach(),
        rtol=tolerance,
        atol=tolerance,
        check_dtype=False,
        msg=lambda found: f"{query}: {found}",
    )
