"""Expressions of a program: ⊕ of terms, each a ⊗ of affine views, some of whose dims are summed away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from semiring_struct.errors import ProgramError
from semiring_struct.programs.affine import Affine, length_indices

if TYPE_CHECKING:
    from semiring_struct.programs.recorder import Recorder


@dataclass(frozen=True)
class Factor:
    """Cells of one buffer: buffer `f` is the structure's field `f`, the last buffer holds all charts."""

    buffer: int
    affine: Affine


@dataclass(frozen=True)
class Term:
    """⊕ over the dims past `visible` of the ⊗ of `factors`, each laid out over `(*visible, *summed)`; none is ⊗-one."""

    factors: tuple[Factor, ...]
    visible: tuple[int, ...]
    summed: tuple[int, ...] = ()

    def reshape(self, change: Callable[[Affine], Affine]) -> Term:
        """Apply an affine change to the visible dims of every factor."""
        rank = len(self.visible)

        def on_visible(a: Affine) -> Affine:
            head = change(Affine(a.offset, a.sizes[:rank], a.strides[:rank], a.per_length))
            return Affine(
                head.offset, head.sizes + a.sizes[rank:], head.strides + a.strides[rank:], head.per_length
            )

        shape = change(Affine(0, self.visible, (0,) * rank)).sizes
        return Term(tuple(Factor(f.buffer, on_visible(f.affine)) for f in self.factors), shape, self.summed)

    def sum(self, dim: int) -> Term:
        order = [d for d in range(len(self.visible)) if d != dim] + [
            *range(len(self.visible), len(self.visible) + len(self.summed)),
            dim,
        ]
        factors = tuple(Factor(f.buffer, f.affine.permute(tuple(order))) for f in self.factors)
        visible = self.visible[:dim] + self.visible[dim + 1 :]
        return Term(factors, visible, (*self.summed, self.visible[dim]))

    def times(self, other: Term) -> Term:
        """⊗ with a term of the same visible shape; at most one of the two has summed dims."""
        summed = self.summed + other.summed
        sizes = self.visible + summed
        rank = len(self.visible)

        def widen(a: Affine) -> Affine:
            return a if len(a.sizes) == len(sizes) else _append(a, rank, summed)

        factors = (*self.factors, *other.factors)
        return Term(tuple(Factor(f.buffer, widen(f.affine)) for f in factors), self.visible, summed)


def _append(a: Affine, rank: int, summed: tuple[int, ...]) -> Affine:
    return Affine(a.offset, a.sizes[:rank] + summed, a.strides[:rank] + (0,) * len(summed), a.per_length)


class Expression:
    """What `*`, `+` and `.sum` make of views. Nothing is computed: it is recorded when assigned to a chart."""

    def __init__(self, recorder: Recorder, terms: tuple[Term, ...], shape: tuple[int, ...]):
        self.recorder, self.terms, self.shape = recorder, terms, shape
        self.home: View | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def plain(self) -> bool:
        """One term with nothing summed: ⊗ distributes over it at no cost."""
        return len(self.terms) == 1 and not self.terms[0].summed

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a view without dims")
        return self.shape[0]

    def _change(self, change: Callable[[Affine], Affine]) -> Self:
        """An affine change gives an expression of the same kind: a view of a chart can still be written to."""
        shape = change(Affine(0, self.shape, (0,) * len(self.shape))).sizes
        terms = tuple(t.reshape(change) for t in self.terms)
        return Expression(self.recorder, terms, shape)  # pyright: ignore[reportReturnType]

    def __getitem__(self, key: object) -> Self:
        picked = self._change(lambda a: a.index(key))
        self.recorder.note_lengths(self, length_indices(key, self.ndim))
        return picked

    def __iter__(self) -> Iterator[Self]:
        return iter(self.unbind(0))

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Self:
        """As in torch: the cells `[.., i, i + offset]`, the diagonal as last dim."""
        return self._change(lambda a: a.diagonal(offset, dim1, dim2))

    def antidiagonal(self, total: int, start: int, stop: int) -> Self:
        """The cells `[i, total - i, ..]` for `i` in `start..stop-1`, the antidiagonal as last dim."""
        return self._change(lambda a: a.antidiagonal(total, start, stop))

    def flip(self, dim: int) -> Self:
        """The same cells, counted backwards along `dim`."""
        key = [slice(None)] * self.ndim
        key[dim] = slice(None, None, -1)
        return self[tuple(key)]

    def permute(self, *dims: int) -> Self:
        return self._change(lambda a: a.permute(dims))

    def transpose(self, dim0: int, dim1: int) -> Self:
        dims = list(range(self.ndim))
        dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
        return self.permute(*dims)

    @property
    def T(self) -> Self:
        return self.permute(*reversed(range(self.ndim)))

    def expand(self, *sizes: int) -> Self:
        """The same cells broadcast to a shape; of that shape already, the expression itself."""
        return self if sizes == self.shape else self._change(lambda a: a.expand(sizes))

    def unbind(self, dim: int = 0) -> list[Self]:
        lead = (slice(None),) * (dim % self.ndim)
        return [self[(*lead, i)] for i in range(self.shape[dim])]

    def sum(self, dim: int | tuple[int, ...] | None = None) -> Expression:
        """⊕ along one dim, several, or all of them."""
        dims = range(self.ndim) if dim is None else (dim if isinstance(dim, tuple) else (dim,))
        wanted = sorted({d % max(self.ndim, 1) for d in dims}, reverse=True)
        if any(not -self.ndim <= d < self.ndim for d in dims):
            raise ProgramError(f"sum over dim {dim} of an expression of shape {self.shape}")
        terms, shape = self.terms, self.shape
        for d in wanted:
            terms, shape = tuple(t.sum(d) for t in terms), shape[:d] + shape[d + 1 :]
        return Expression(self.recorder, terms, shape)

    def __mul__(self, other: object) -> Expression:
        a, b = self, self.recorder.expression(other)
        shape = _broadcast(a.shape, b.shape)
        # ⊗ distributes over a sum only while that copies no alternative: else the sum gets cells of its own.
        if not a.plain and (not b.plain or a.shape != shape):
            a = self.recorder.temporary(a)
        if not b.plain and (not a.plain or b.shape != shape):
            b = self.recorder.temporary(b)
        a, b = a.expand(*shape), b.expand(*shape)
        return Expression(self.recorder, tuple(s.times(t) for s in a.terms for t in b.terms), shape)

    def __add__(self, other: object) -> Expression:
        b = self.recorder.expression(other)
        shape = _broadcast(self.shape, b.shape)
        return Expression(self.recorder, self.expand(*shape).terms + b.expand(*shape).terms, shape)

    __rmul__, __radd__ = __mul__, __add__

    def _no_inverse(self, *_: object) -> Expression:
        raise ProgramError(
            "a semiring has no inverse of ⊕ or ⊗, so programs neither subtract nor divide; write the sum without the "
            "alternative that should not count, or change the log-potentials in `prepare`, ahead of the program"
        )

    __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __pow__ = __neg__ = _no_inverse  # type: ignore[assignment]

    def _no_value(self, *_: object) -> bool:
        raise ProgramError(
            "a view has no value while a program is recorded, so nothing can be decided by it or compared with it; "
            "decide by sizes, or mask the log-potentials in `prepare`, ahead of the program"
        )

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _no_value  # type: ignore[assignment]
    __hash__ = object.__hash__
    __array_ufunc__ = None  # so that an array leaves `array * view` to the view, which refuses it by name

    def _no_matmul(self, *_: object) -> Expression:
        raise ProgramError(
            "`@` is not part of the language: write (x[:, :, None] * y).sum(1), or p.einsum('ij,jk->ik', x, y)"
        )

    __matmul__ = __rmatmul__ = _no_matmul  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<expression of shape {self.shape}, {len(self.terms)} terms>"


class View(Expression):
    """Cells of a chart or of a field. `chart[view] = expression` records a statement."""

    def __init__(self, recorder: Recorder, factor: Factor):
        super().__init__(recorder, (Term((factor,), factor.affine.sizes),), factor.affine.sizes)
        self.factor = factor

    def _change(self, change: Callable[[Affine], Affine]) -> View:
        return View(self.recorder, Factor(self.factor.buffer, change(self.factor.affine)))

    def __setitem__(self, key: object, value: object) -> None:
        self.recorder.assign(self._change(lambda a: a.index(key)), self.recorder.expression(value))

    def __repr__(self) -> str:
        return f"<view of {self.recorder.name_of(self.factor)}, shape {self.shape}>"


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        raise ProgramError(f"shapes {a} and {b} do not broadcast together") from None
