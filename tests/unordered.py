"""A device that leaves the order of sums open, in place of the CPU: what may round otherwise in another run raises.

`with Unordered():` passes every operation on, also those within this library's operators and within backward passes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from semiring_struct.ops import ordered

REFUSED = {"cumsum", "cumprod", "put_", "histc", "kthvalue", "median", "nanmedian", "index_reduce", "index_reduce_"}
BY_INDEX = {"scatter_add": 1, "scatter_add_": 1, "index_add": 1, "index_add_": 1}
REDUCING = {"scatter_reduce", "scatter_reduce_", "scatter_reduce.two"}


class Unordered(TorchDispatchMode):
    """Raises where the order of the terms of a floating-point sum would be open."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __enter__(self) -> Unordered:
        self._before, ordered.unordered = ordered.unordered, lambda x: True
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        ordered.unordered = self._before
        return super().__exit__(*exception)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name.startswith("semiring_struct::"):
            with self:
                return func._op_dk(torch._C.DispatchKey.CompositeExplicitAutograd, *args, **(kwargs or {}))
        self.seen += 1
        short = name.removeprefix("aten::")
        x = args[0] if args else None
        if isinstance(x, Tensor) and x.is_floating_point():
            if short in REFUSED or (short in REDUCING and args[4] in ("sum", "prod", "mean")):
                raise AssertionError(f"{short} of {x.dtype} has no order of its own on a GPU")
            if short in BY_INDEX and collides(short, *args[:4]):
                raise AssertionError(f"{short} of {x.dtype} adds several terms at one place")
        return func(*args, **(kwargs or {}))


def collides(name: str, into: Tensor, dim: int, index: Tensor, terms: Tensor) -> bool:
    """Whether some place gets so many terms, what it held among them, that another order could round otherwise."""
    with torch.no_grad():
        if index.dim() < terms.dim() or name.startswith("index"):
            index = index.reshape([-1 if d == dim % into.dim() else 1 for d in range(terms.dim())]).expand(terms.shape)
        cut = terms[tuple(slice(0, n) for n in index.shape)]
        if not cut.numel() or bool((cut == cut.flatten()[0]).all()):
            return False
        count = torch.zeros(into.shape, dtype=torch.int64).scatter_add_(dim, index, (cut != 0).long())
        return bool((count + (into != 0) > 2).any())
