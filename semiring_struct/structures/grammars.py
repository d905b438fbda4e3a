"""The potentials of grammars. Each takes one field more, `span`, that a user may leave out."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from semiring_struct.types import storable


@storable
class PCFGSpanPotentials(NamedTuple):
    """`PCFGPotentials` with scores of labelled spans, `span (*batch, n, n, nt)`."""

    root: Tensor
    rule: Tensor
    term: Tensor
    span: Tensor


class _Rules(NamedTuple):
    root: Tensor
    rule: Tensor
    term: Tensor


@storable
class PCFGPotentials(_Rules):
    """`root (*batch, nt)`, `rule (*batch, nt, nt+t, nt+t)`, `term (*batch, n, t)`.

    With a `span (*batch, n, n, nt)` as well it makes a `PCFGSpanPotentials`.
    """

    __slots__ = ()

    def __new__(cls, root: Tensor, rule: Tensor, term: Tensor, span: Tensor | None = None):
        """Three fields, or four."""
        return super().__new__(cls, root, rule, term) if span is None else PCFGSpanPotentials(root, rule, term, span)


@storable
class LowRankPCFGSpanPotentials(NamedTuple):
    """`LowRankPCFGPotentials` with scores of labelled spans, `span (*batch, n, n, nt)`."""

    root: Tensor
    head: Tensor
    left: Tensor
    right: Tensor
    term: Tensor
    span: Tensor


class _Factors(NamedTuple):
    root: Tensor
    head: Tensor
    left: Tensor
    right: Tensor
    term: Tensor


@storable
class LowRankPCFGPotentials(_Factors):
    """`root (*batch, nt)`, `head (*batch, nt, r)`, `left` and `right (*batch, nt+t, r)`, `term (*batch, n, t)`.

    With a `span (*batch, n, n, nt)` as well it makes a `LowRankPCFGSpanPotentials`.
    """

    __slots__ = ()

    def __new__(cls, root: Tensor, head: Tensor, left: Tensor, right: Tensor, term: Tensor, span: Tensor | None = None):
        """Five fields, or six."""
        given = (root, head, left, right, term)
        return super().__new__(cls, *given) if span is None else LowRankPCFGSpanPotentials(*given, span)
