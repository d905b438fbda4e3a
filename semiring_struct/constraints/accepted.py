"""Chains and subsets whose strings a deterministic automaton accepts."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures import (
    Automaton,
    ChainPotentials,
    DynamicProgram,
    Encoded,
    LabelCode,
    LinearChain,
    Subset,
)


@final
class AcceptedChain(DynamicProgram):
    r"""Paths of a `LinearChain` whose tags, read as a string, the automaton accepts; its symbols are the tags.

    .. math:: A_{i,b,s'} = e_{i,b} \otimes \bigoplus_{s:\ \delta(s, b) = s'} \bigoplus_a A_{i-1,a,s} \otimes w_{i-1,a,b}

    Shape (after any batch dims): potentials, events, labels and lengths are those of `LinearChain`. At length 0 there
    is the empty string, if it is accepted. Raises `ShapeError` where the automaton has another number of symbols.

    Cost: `O(n c q (c + q))` time for `q` states, `O(n c q)` memory.
    Reference: Hopcroft & Ullman 1979, sec. 3.2 (product of automata) [hopcroft1979].
    """

    event_dim = (2, 3)
    field_dim = (2, 3, 1, 3, 1)
    shapes = {"emission": "n c", "transition": "n-1 c c"}
    uses_parts_once = True
    potentials = ChainPotentials

    def __init__(self, automaton: Automaton):
        self.automaton = automaton

    @property
    def recorded_by(self) -> tuple[str, ...]:
        """The automaton reaches the program as fields."""
        return ()

    def prepare(self, log_potentials: ChainPotentials) -> tuple[Tensor, ...]:
        """The potentials, and the automaton as weights of 0 and `-inf`."""
        emission, transition = log_potentials
        have, symbols = emission.shape[-1], self.automaton.moves.shape[1]
        if have != symbols:
            raise ShapeError(f"an automaton of {symbols} symbols reads as many tags; there are {have}")
        return emission, transition, *self.automaton.weights(emission)

    def inside(
        self, p: Recorder, emission: Expression, transition: Expression,
        starting: Expression, moving: Expression, accepting: Expression,
    ) -> Expression:  # fmt: skip
        """The forward algorithm on pairs of a tag and the state after it."""
        (n, c), q = emission.shape, accepting.shape[0]
        state, tagged, done = p.chart(n, c, q), p.chart(n, c, q), p.chart(n + 1)
        if n > 0:
            state[0] = (starting[:, None] * moving).sum(1) * emission[0][:, None]
        for i in range(1, n):
            move = transition[i - 1 if transition.shape[0] > 1 else 0]
            tagged[i] = (state[i - 1][:, None] * move[:, :, None]).sum(0)
            state[i] = (tagged[i][:, :, None] * moving).sum(1) * emission[i][:, None]
        done[0] = (starting * accepting).sum()
        done[1:] = (state * accepting).sum((1, 2))
        return done[p.length]

    def restore(
        self, parts: tuple[Tensor, ...], sizes: dict[str, int], batch: tuple[int, ...]
    ) -> tuple[Tensor, ...]:
        """The potentials are fields as they are."""
        return parts[:2]

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """An automaton that accepts no string of this length."""
        return self.automaton.refusal(lengths[0])

    def label_code(self, sizes: dict[str, int]) -> LabelCode | None:
        """That of chains."""
        return LinearChain().label_code(sizes)

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """Tags that are accepted, and pairs of neighbouring tags."""
        found = LinearChain().encode(labels, sizes, lengths)
        fault = ~self.automaton.accepts(labels, lengths[:, 0]), "the automaton does not accept these tags"
        return Encoded.of(found.parts, *found.faults, fault)


@final
class AcceptedSubset(DynamicProgram):
    r"""Subsets of a `Subset` whose string of symbols 0 (left) and 1 (taken), item by item, the automaton accepts.

    .. math:: C_{i,j,s'} = \bigoplus_{s:\ \delta(s,0) = s'} C_{i-1,j,s} \oplus
              \bigoplus_{s:\ \delta(s,1) = s'} C_{i-1,j-1,s} \otimes w_i

    Shape (after any batch dims): potentials, events, labels, lengths and the settings `k` and `at_most` are those of
    `Subset`. Raises `ShapeError` where the automaton has other than 2 symbols.

    Cost: `O(n k q^2)` time for `q` states, `O(n k q)` memory.
    Reference: Hopcroft & Ullman 1979, sec. 3.2 (product of automata) [hopcroft1979].
    """

    event_dim = 1
    field_dim = (1, 1, 3, 1)
    shapes = {"item": "n"}
    uses_parts_once = True

    def __init__(self, automaton: Automaton, k: int | None = None, *, at_most: int | None = None):
        symbols = automaton.moves.shape[1]
        if symbols != 2:
            raise ShapeError(f"an automaton on subsets reads 2 symbols, 0 (left) and 1 (taken); got one of {symbols}")
        plain = Subset(k, at_most=at_most)
        self.automaton, self.k, self.at_most = automaton, plain.k, plain.at_most

    @property
    def subset(self) -> Subset:
        """Without the automaton."""
        return Subset(self.k, at_most=self.at_most)

    @property
    def recorded_by(self) -> tuple[str, ...]:
        """The automaton reaches the program as fields."""
        return ("k", "at_most")

    def prepare(self, log_potentials: Tensor) -> tuple[Tensor, ...]:
        """The potentials, and the automaton as weights of 0 and `-inf`."""
        return log_potentials, *self.automaton.weights(log_potentials)

    def inside(
        self, p: Recorder, item: Expression, starting: Expression, moving: Expression, accepting: Expression
    ) -> Expression:
        """Totals of the first `i` items by the number taken and the state; the first column stays ⊕-zero."""
        n, q = item.shape[0], accepting.shape[0]
        sized = p.chart(n + 1, self.subset.most + 2, q)
        sized[0, 1] = starting
        for i in range(n):
            left = (sized[i, 1:, :, None] * moving[0]).sum(1)
            taken = (sized[i, :-1, :, None] * moving[1]).sum(1)
            sized[i + 1, 1:] = left + taken * item[i]
        return (sized[p.length, (1 if self.k is None else -1) :] * accepting).sum()

    def restore(
        self, parts: tuple[Tensor, ...], sizes: dict[str, int], batch: tuple[int, ...]
    ) -> tuple[Tensor, ...]:
        """The items are a field as they are."""
        return parts[:1]

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """Fewer items than a subset has, or an automaton that accepts no string of this length."""
        return self.subset.infeasible_hint(sizes, lengths, instance) or self.automaton.refusal(lengths[0])

    def label_code(self, sizes: dict[str, int]) -> LabelCode | None:
        """That of subsets."""
        return self.subset.label_code(sizes)

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The items named: a subset that is accepted."""
        found = self.subset.encode(labels, sizes, lengths)
        (used,) = found.parts
        taken = torch.zeros(len(labels), sizes["n"] + 1, dtype=torch.int64, device=labels.device)
        taken = taken.scatter(1, torch.where(used < 0, sizes["n"], used), 1)[:, : sizes["n"]]
        fault = ~self.automaton.accepts(taken, lengths[:, 0]), "the automaton does not accept this subset"
        return Encoded.of((used,), *found.faults, fault)
