"""Elementary functions of compiled code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("numba")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["exp", "log"])
def test_elementary_functions(kind: type, name: str):
    from numba import njit

    from semiring_struct.executors.cpu import native

    function: Callable = getattr(native, name)

    @njit
    def apply(x):
        out = np.empty_like(x)
        for i in range(len(x)):
            out[i] = function(x[i])
        return out

    x = np.linspace(-80, 20, 10001) if name == "exp" else np.exp(np.linspace(0, 20, 10001))
    x = x.astype(kind)
    exact = getattr(np, name)(x.astype(np.longdouble))
    scale = np.abs(exact) if name == "exp" else np.maximum(np.abs(exact), 1)
    assert (np.abs(apply(x) - exact) / scale).max() < 2 * np.finfo(kind).eps
    if name == "exp":
        assert apply(np.array([-np.inf, -1e5], kind)).tolist() == [0.0, 0.0]
