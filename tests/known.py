"""The known answers, and comparison with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "known_answers.json").read_text())


def tensor(values: Any) -> Tensor:
    """In float64."""
    return torch.tensor(values, dtype=torch.float64)


def same(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    """Equal within `tolerance`."""
    torch.testing.assert_close(found, tensor(expected), rtol=tolerance, atol=tolerance)
