"""Discrete graphical models: variables named by letters, scored by tables over some of them."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from semiring_struct.programs import Expression, Recorder, largest_intermediate
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, code_of


@final
class FactorGraph(DynamicProgram):
    r"""Assignments of values to variables, scored by factors: `FactorGraph("ab,bc,cd")` has variables a to d.

    .. math:: \bigoplus_{x} \bigotimes_{f} w_f(x_f)

    Each factor is a table over the variables that its letters name, in their order. Elimination is by pairwise products
    in the order that opt_einsum finds; `ss.explain` prints their cost before anything runs.

    Shape (after any batch dims):
        - one field per factor, with one dim per letter; `[i, j]` scores value `i` of the first, `j` of the second.
        - event: the same, 1 at the values taken. labels: `(variables)`, the value of each variable, in the order in
          which the equation first names them.

    Args:
        equation: the factors' letters, with commas between them.
        limit: the largest intermediate table allowed, in entries per instance.

    Raises `ValueError` for an equation that is none, and for a graph whose largest intermediate passes `limit`.
    Cost: that of the contraction, exponential in the treewidth of the order found.
    Reference: Koller & Friedman 2009, sec. 9.3 [koller2009]; paths: Smith & Gray 2018 [smith2018].
    """

    sides = ()
    uses_parts_once = True

    def __init__(self, equation: str, limit: int = 1 << 24):
        self.equation, self.limit = equation.replace(" ", ""), limit
        if not all(f.isalpha() for f in self.factors):
            raise ValueError(f"FactorGraph needs letters, with commas between factors, 'ab,bc'; got {equation!r}")

    @property
    def factors(self) -> list[str]:
        """The letters of each factor."""
        return self.equation.split(",")

    @property
    def variables(self) -> str:
        """The variables' letters, in the order in which they are first named."""
        return "".join(dict.fromkeys(self.equation.replace(",", "")))

    @property
    def event_dim(self) -> tuple[int, ...]:
        """One dim per letter."""
        return tuple(len(f) for f in self.factors)

    @property
    def shapes(self) -> dict[str, str]:
        """Factors go by their letters; a second one over the same letters is numbered."""
        names: dict[str, str] = {}
        for i, f in enumerate(self.factors):
            names[f if f not in names else f"{f}{i}"] = " ".join(f)
        return names

    def inside(self, p: Recorder, *factors: Expression) -> Expression:
        """One einsum, with every letter summed."""
        whole = f"{self.equation}->"
        largest = largest_intermediate(whole, [f.shape for f in factors])
        if largest > self.limit:
            raise ValueError(
                f"FactorGraph({self.equation!r}): the largest intermediate has {largest} entries per instance, more "
                f"than limit={self.limit}. Raise the limit, or approximate with ss.loopy_belief_propagation"
            )
        return p.einsum(whole, *factors)

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The first factor that holds a variable writes its value."""
        fields, written = [], set[str]()
        for f in self.factors:
            places = torch.meshgrid(*(torch.arange(sizes[x]) for x in f), indexing="ij")
            own = [x for x in dict.fromkeys(f) if x not in written]
            columns = [(torch.full_like(places[0], self.variables.index(x)), places[f.index(x)]) for x in own]
            fields.append(code_of(*columns) if columns else None)
            written.update(own)
        return LabelCode((len(self.variables),), tuple(fields))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """One entry of each factor."""
        most = torch.tensor([sizes[x] for x in self.variables], device=labels.device)
        bad = (labels < 0) | (labels >= most)
        value = dict(zip(self.variables, labels.unbind(-1), strict=True))
        entries = []
        for f in self.factors:
            entry = torch.zeros_like(labels[..., 0])
            for x in f:
                entry = entry * sizes[x] + value[x]
            entries.append(entry[:, None])
        return Encoded.of(tuple(entries), (bad, "labels are the values of the variables, each from 0 upwards"))

    def variable_marginals(self, marginals: Any) -> dict[str, Tensor]:
        """The distribution `(*lead, size)` of each variable, from marginals (or events) of the factors."""
        given = tuple(marginals) if isinstance(marginals, (tuple, list)) else (marginals,)
        out: dict[str, Tensor] = {}
        for x in self.variables:
            holders = [(f.index(x) - len(f), f, m) for f, m in zip(self.factors, given, strict=True) if x in f]
            dim, f, table = max(holders, key=lambda holder: holder[2].shape[holder[0]])
            others = [d - len(f) for d in range(len(f)) if d - len(f) != dim]
            out[x] = table.sum(others) if others else table
        return out
