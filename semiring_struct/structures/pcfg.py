"""Weighted context-free grammars in Chomsky normal form."""

from __future__ import annotations

from dataclasses import replace
from typing import final

from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram, Structure
from semiring_struct.structures.brackets import constituent_code, constituents
from semiring_struct.structures.grammars import PCFGPotentials
from semiring_struct.structures.labels import Encoded, LabelCode


@final
class PCFG(DynamicProgram):
    r"""Derivations of `n` words by a weighted grammar of `nt` nonterminals, over `t` preterminals.

    .. math:: \beta_{i,j,a} = s_{i,j,a} \otimes \bigoplus_{x,y} r_{a,x,y} \otimes \bigoplus_{i \le k < j}
              \beta_{i,k,x} \otimes \beta_{k+1,j,y}, \qquad \beta_{i,i,nt+p} = e_{i,p}

    Symbols `0 .. nt-1` are nonterminals, which span two words or more; `nt .. nt+t-1` are preterminals, which span one.
    So one word alone has no derivation. Scores need not be normalised.

    Shape (after any batch dims):
        - root: `(nt)`; `[a]` scores `a` at the root.
        - rule: `(nt, nt+t, nt+t)`; `[a, x, y]` scores the rule `a -> x y`.
        - term: `(n, t)`; `[i, p]` scores preterminal `p`, symbol `nt+p`, at word `i`.
        - span: `(n, n, nt)`, optional; `[i, j, a]` scores `a` over the words `i .. j`, `i < j`. A field of zeros leaves
          the grammar as it is, and shows in events and marginals where its nonterminals stand.
        - event: the same, with counts of rules. labels: `(n, n)`, the symbol over words `i .. j`, -1 where none is.

    Cost: `O(n^3 nt^2 + n^2 nt^3 + n nt (nt+t) t)` time, `O(n^2 nt^2 + n nt (nt+t))` memory.
    Reference: Kim, Dyer & Rush 2019, sec. 2.1 [kim2019].
    """

    potentials = PCFGPotentials

    def __init__(self, spans: bool = False):
        self.spans = spans

    @property
    def event_dim(self) -> tuple[int, ...]:
        """Of root, rule and term, and of span where it is given."""
        return (1, 3, 2, 3) if self.spans else (1, 3, 2)

    @property
    def shapes(self) -> dict[str, str]:
        """`a` nonterminals, `t` preterminals, `s = a + t` symbols."""
        grammar = {"root": "a", "rule": "a s s", "term": "n t"}
        return {**grammar, "span": "n n a"} if self.spans else grammar

    def resolve(self, fields: tuple[Tensor, ...]) -> PCFG:
        """Settle by the number of fields whether spans score."""
        return _FORMS[len(fields) == 4]

    def letters(self, shapes: list[tuple[int, ...]]) -> dict[str, int]:
        """As declared; and every symbol is a nonterminal or a preterminal."""
        sizes = super().letters(shapes)
        if sizes["s"] != sizes["a"] + sizes["t"]:
            got = ", ".join(f"{name} {tuple(s)}" for name, s in zip(self.field_names, shapes, strict=True))
            raise ShapeError(f"PCFG needs root (nt), rule (nt, nt+t, nt+t) and term (n, t); got {got}")
        return sizes

    def inside(
        self, p: Recorder, root: Expression, rule: Expression, term: Expression, *span: Expression
    ) -> Expression:
        """Spans by left end and width, and by right end and width, as in `SpanTree`.

        A rule with a preterminal is multiplied by its word ahead of the loop, since that does not depend on the width.
        """
        n, nt, symbols = term.shape[0], root.shape[0], rule.shape[-1]
        if n == 0:
            return p.one
        left, right = p.chart(n, n, nt), p.chart(n, n, nt)
        first, last = p.chart(n, nt, nt), p.chart(n, nt, symbols)  # word i as left child, then as right child
        first[:] = (rule[:, nt:, :nt] * term[:, None, :, None]).sum(-2)
        last[:] = (rule[:, :, nt:] * term[:, None, None, :]).sum(-1)
        for w in range(1, n):
            a, b = slice(0, n - w), slice(w, n)              # left ends, right ends
            if w == 1:
                inner = (last[b, :, nt:] * term[a, None]).sum(-1)
            else:
                inner = (first[a] * right[b, n - w, None]).sum(-1) + (last[b, :, :nt] * left[a, w - 1, None]).sum(-1)
            if w > 2:
                pair = (left[a, 1 : w - 1, :, None] * right[b, n - w + 1 : n - 1, None]).sum(1)
                inner = inner + p.temporary((rule[:, :nt, :nt] * pair[:, None]).sum((-1, -2)))
            left[a, w] = right[b, n - 1 - w] = inner * span[0].diagonal(w).T if span else inner
        return (left[0, p.length - 1] * root).sum(-1)

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """One word."""
        return "one word has no derivation: a nonterminal spans two words or more" if lengths[0] == 1 else None

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """A span writes its nonterminal into slot `(i, j)`, a word its preterminal into `(i, i)`."""
        term, span = constituent_code(sizes["n"], sizes["a"], sizes["t"])
        return LabelCode((sizes["n"], sizes["n"]), (None, None, term, *([span] if self.spans else [])))

    def placed(self, fields: tuple[Tensor, ...]) -> tuple[Structure, tuple[Tensor, ...]]:
        """Counts of rules do not say where a rule stands: spans do, with scores of 0."""
        if self.spans:
            return self, fields
        (batch, nt), n = fields[0].shape, fields[2].shape[1]
        return _FORMS[1], (*fields, fields[0].new_zeros(()).expand(batch, n, n, nt))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """Root, rules, preterminals and spans used by a derivation."""
        found = constituents(labels, sizes["a"], sizes["t"], lengths[:, 0])
        return found if self.spans else replace(found, parts=found.parts[:3])


_FORMS = (PCFG(spans=False), PCFG(spans=True))  # not made anew: compiled graphs know them as constants
