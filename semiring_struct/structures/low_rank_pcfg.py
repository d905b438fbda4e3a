"""Grammars whose rules are a sum of products of three factors."""

from __future__ import annotations

from typing import final

from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.grammars import LowRankPCFGPotentials


@final
class LowRankPCFG(DynamicProgram):
    r"""Derivations by a `PCFG` of rules `exp rule[a, x, y] = sum_q exp(head[a, q] + left[x, q] + right[y, q])`.

    .. math:: \beta_{i,j,a} = s_{i,j,a} \otimes \bigoplus_{q} h_{a,q} \otimes \bigoplus_{i \le k < j}
              \Bigl(\bigoplus_x l_{x,q} \otimes \beta_{i,k,x}\Bigr) \otimes
              \Bigl(\bigoplus_y r_{y,q} \otimes \beta_{k+1,j,y}\Bigr)

    A derivation names, with each rule it uses, a rank `q < r`. So the partition function and the marginals of root,
    words and spans are those of the PCFG with the rules above, while best derivations, draws, entropy and counts are of
    derivations with ranks. The rules themselves are never built. Symbols and lengths are those of `PCFG`.

    Shape (after any batch dims):
        - root: `(nt)`; `[a]` scores `a` at the root.
        - head: `(nt, r)`; `[a, q]` scores a rule that rewrites `a`, at rank `q`.
        - left, right: `(nt+t, r)`; `[x, q]` scores symbol `x` as left, or as right, child of a rule at rank `q`.
        - term: `(n, t)`; `[i, p]` scores preterminal `p`, symbol `nt+p`, at word `i`.
        - span: `(n, n, nt)`, optional; `[i, j, a]` scores `a` over the words `i .. j`, `i < j`, as in `PCFG`.
        - event: the same, with counts in head, left and right.

    Cost: `O(n^3 r + n^2 nt r)` time, `O(n^2 (nt + r))` memory.
    Reference: Yang, Zhao & Tu 2021, sec. 3 [yang2021], after Cohen, Satta & Collins 2013 [cohen2013].
    """

    potentials = LowRankPCFGPotentials

    def __init__(self, spans: bool = False):
        self.spans = spans

    @property
    def event_dim(self) -> tuple[int, ...]:
        """Of root, head, left, right and term, and of span where it is given."""
        return (1, 2, 2, 2, 2, 3) if self.spans else (1, 2, 2, 2, 2)

    @property
    def shapes(self) -> dict[str, str]:
        """`a` nonterminals, `t` preterminals, `s = a + t` symbols, rank `r`."""
        grammar = {"root": "a", "head": "a r", "left": "s r", "right": "s r", "term": "n t"}
        return {**grammar, "span": "n n a"} if self.spans else grammar

    def resolve(self, fields: tuple[Tensor, ...]) -> LowRankPCFG:
        """Settle by the number of fields whether spans score."""
        return _FORMS[len(fields) == 6]

    def letters(self, shapes: list[tuple[int, ...]]) -> dict[str, int]:
        """As declared; and every symbol is a nonterminal or a preterminal."""
        sizes = super().letters(shapes)
        if sizes["s"] != sizes["a"] + sizes["t"]:
            got = ", ".join(f"{name} {tuple(s)}" for name, s in zip(self.field_names, shapes, strict=True))
            raise ShapeError(f"LowRankPCFG needs root (nt), left and right (nt+t, r) and term (n, t); got {got}")
        return sizes

    def inside(
        self, p: Recorder, root: Expression, head: Expression, left: Expression, right: Expression, term: Expression,
        *span: Expression,
    ) -> Expression:  # fmt: skip
        """Spans as left and as right children, by rank: the former by left end and width, the latter by right end."""
        n, nt, r = term.shape[0], *head.shape
        if n == 0:
            return p.one
        as_left, as_right = p.chart(n, n, r), p.chart(n, n, r)
        label = p.chart(n, nt)                               # of the words 0 .. w
        as_left[:, 0] = (term[:, None] * left[nt:].T).sum(-1)
        as_right[:, n - 1] = (term[:, None] * right[nt:].T).sum(-1)
        for w in range(1, n):
            a, b = slice(0, n - w), slice(w, n)              # left ends, right ends
            split = p.temporary((as_left[a, :w] * as_right[b, n - w :]).sum(1))
            inner = (split[:, None] * head).sum(-1)
            inner = p.temporary(inner * span[0].diagonal(w).T if span else inner)
            label[w] = inner[0]
            as_left[a, w] = (inner[:, None] * left[:nt].T).sum(-1)
            as_right[b, n - 1 - w] = (inner[:, None] * right[:nt].T).sum(-1)
        return (label[p.length - 1] * root).sum(-1)

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """One word."""
        return "one word has no derivation: a nonterminal spans two words or more" if lengths[0] == 1 else None


_FORMS = (LowRankPCFG(spans=False), LowRankPCFG(spans=True))  # not made anew: compiled graphs know them as constants
