"""Sums whose terms are added in the same order in every run, on every device.

On a GPU `cumsum` of floating-point numbers splits its work as the load of the device has it (and is refused in torch's
deterministic mode), and `scatter_add`, `index_add` and the gradient of `gather` add by atomic operations. On the CPU
these are in order, and faster than what stands in for them here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def unordered(x: Tensor) -> bool:
    """Whether torch's own sums by index leave the order of floating-point terms open where `x` lies."""
    return x.device.type != "cpu"


def running_sum(x: Tensor, dim: int = -1) -> Tensor:
    """`x.cumsum(dim)` of floating-point numbers; without gradients.

    Elsewhere than on the CPU by doubling: each right half of a block adds the sum of its left half. Like summing one
    by one it is exact where 0 is added, and never falls where no term is below 0. Cost: `log2 n` operations there.
    """
    if not unordered(x):
        return x.cumsum(dim)
    x = x.detach().movedim(dim, -1)
    n, half = x.shape[-1], 1
    whole = 1 << max(n - 1, 0).bit_length()
    out = torch.nn.functional.pad(x, (0, whole - n))
    while half < whole:
        left, right = out.unflatten(-1, (whole // (2 * half), 2, half)).unbind(-2)
        right.add_(left[..., -1:])
        half *= 2
    return out[..., :n].movedim(-1, dim)


def add_at_(buffer: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Add `value (batch, k)` to `buffer (batch, size)` at `index (k)` or `(batch, k)`, in place; without gradients."""
    if not unordered(buffer):
        return buffer.index_add_(1, index, value) if index.dim() == 1 else buffer.scatter_add_(1, index, value)
    rows = torch.arange(len(buffer), device=buffer.device).unsqueeze(-1)
    return buffer.index_put_((rows, index), value, accumulate=True)  # on CUDA sorts before it adds


def sum_at(x: Tensor, index: Tensor, size: int) -> Tensor:
    """Sums `(*batch, size)` of the entries of `x (*batch, k)` by their `index (*batch, k)` in 0..size-1."""
    if not unordered(x):
        return x.new_zeros((*x.shape[:-1], size)).scatter_add(-1, index, x)
    count = math.prod(x.shape[:-1])
    rows = torch.arange(count, device=x.device).unsqueeze(-1) * size
    places = (index.reshape(count, index.shape[-1]) + rows).flatten()
    flat = x.new_zeros(count * size)
    return flat.index_put((places,), x.flatten(), accumulate=True).reshape(*x.shape[:-1], size)


def pick(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """`x.gather(dim, index)`, of which entries picked more than once get the sum of their gradients."""
    if not unordered(x):
        return x.gather(dim, index)
    at: list[Tensor] = []
    for d, size in enumerate(index.shape):
        along = torch.arange(size, device=x.device)
        at.append(index if d == dim % x.dim() else along.reshape(-1, *[1] * (index.dim() - d - 1)))
    return x[tuple(at)]
