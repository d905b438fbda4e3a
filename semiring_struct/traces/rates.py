"""The door of the room: log-rates, traces and noise, checked and brought to one batch dim and float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.ops import NEG_INF, refuse_where

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Rates:
    """Checked log-rates. `flat (B, K)` float64, one row per instance, `-inf` where a key is forbidden or past a length.

    `shape` are the event dims of the log-rates, `batch` their batch dims, `lead` these with the sample dims (B is the
    product of `lead`), `reads (B, K)` the keys that the algorithm looks at, `lengths (B,)`, `dtype` the answers' dtype.
    """

    who: str
    flat: Tensor
    shape: tuple[int, ...]
    batch: tuple[int, ...]
    lead: tuple[int, ...]
    reads: Tensor
    lengths: Tensor
    dtype: torch.dtype

    @property
    def allowed(self) -> Tensor:
        """The keys that a run may choose, `(B, *shape)`."""
        return (self.reads & (self.flat > NEG_INF)).reshape(len(self.flat), *self.shape)

    def keys(self, values: Tensor, what: str) -> Tensor:
        """Values of all keys `(*lead, *shape)` as `(B, K)` float64."""
        if tuple(values.shape) != (*self.lead, *self.shape):
            needed = (*self.lead, *self.shape)
            raise ShapeError(f"{self.who}: {what} needs shape {needed}; got {tuple(values.shape)}")
        return values.to(torch.float64).reshape(self.flat.shape)

    def answer(self, x: Tensor) -> Tensor:
        """In the dtype of the answers."""
        return x.to(self.dtype)


def check_field(who: str, what: str, x: Tensor, dims: int, extra: int) -> None:
    """Refuse what is no float tensor of `dims` equal trailing sizes, at least 1 + `extra`."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{who} needs {what} as a tensor; got {type(x).__name__}")
    if x.dtype not in FLOATS:
        raise TypeError(f"{who}: {what} must be floating point; got {x.dtype}. Convert with .float()")
    shape = tuple(x.shape[x.dim() - dims :]) if x.dim() >= dims else (0,)
    if len(shape) != dims or len(set(shape)) > 1 or shape[0] < 1:
        name = "n+1" if extra else "n"
        raise ShapeError(
            f"{who} needs {what} of shape (*batch, {', '.join([name] * dims)}), n >= {1 - extra}; got {tuple(x.shape)}"
        )


def check_values(who: str, what: str, x: Tensor, forbidden: float) -> None:
    """Refuse NaN, and the infinity that is not `forbidden`."""
    refuse_where(
        x.isnan() | (x == -forbidden), f"{who}: {what} must be finite, or {forbidden} for a forbidden item"
    )


def check_trace(who: str, trace: Tensor, entries: int | None = None, keys: int | None = None) -> None:
    """Refuse what is no integer tensor with `entries` in its last dim and values in -1..keys-1."""
    if not isinstance(trace, Tensor):
        raise TypeError(f"{who} needs a trace as a tensor; got {type(trace).__name__}")
    if trace.is_floating_point() or trace.is_complex() or trace.dtype == torch.bool:
        raise TypeError(f"{who}: a trace holds integers; got {trace.dtype}")
    if not trace.dim() or (entries is not None and trace.shape[-1] != entries):
        needed = "entries" if entries is None else entries
        raise ShapeError(f"{who}: a trace has shape (*batch, {needed}); got {tuple(trace.shape)}")
    if keys is not None:
        refuse_where((trace < -1) | (trace >= keys), f"{who}: a trace holds keys in 0..{keys - 1}, or -1 for none")
