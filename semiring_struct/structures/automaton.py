"""Deterministic finite automata over symbols: which sequences a model may write."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError
from semiring_struct.ops import NEG_INF, refuse_where


@dataclass(frozen=True, eq=False)
class Automaton:
    """States 0 to q-1, of which 0 is the first.

    `moves (q, v)` int64: `[s, x]` is the state after symbol `x` in state `s`, -1 where `x` is not allowed there.
    `accepting (q)` bool: in which states a sequence may end.
    Raises `TypeError`, `ShapeError` or `ValueError` for tensors that are no such tables.
    """

    moves: Tensor
    accepting: Tensor

    def __post_init__(self) -> None:
        if self.moves.dtype != torch.int64 or self.accepting.dtype != torch.bool:
            raise TypeError(
                f"Automaton needs moves int64 and accepting bool; got {self.moves.dtype} and {self.accepting.dtype}"
            )
        if self.moves.dim() != 2 or self.accepting.shape != self.moves.shape[:1] or not self.moves.numel():
            raise ShapeError(
                "Automaton needs moves (states, symbols) and accepting (states), one state and symbol or more; got "
                f"{tuple(self.moves.shape)} and {tuple(self.accepting.shape)}"
            )
        states = self.moves.shape[0]
        refuse_where((self.moves < -1) | (self.moves >= states), f"moves lie in 0..{states - 1}, or are -1 for none")

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """`moves` and `accepting` on a device: moved there once."""
        if self.moves.device == device or torch.compiler.is_compiling():
            return self.moves.to(device), self.accepting.to(device)
        kept = self.__dict__.setdefault("_elsewhere", {})
        if device not in kept:
            kept[device] = self.moves.to(device), self.accepting.to(device)
        return kept[device]

    def __getstate__(self) -> dict[str, Tensor]:
        """The tables as given."""
        return {"moves": self.moves, "accepting": self.accepting}

    def completable(self, steps: int, stop: int | None, device: torch.device | None = None) -> Tensor:
        """`(steps + 1, q)` bool: `[r, s]` says whether, from state `s`, a sequence can end well with `r` symbols left.

        Without a `stop` symbol a sequence ends when none are left; with one it may end before, by that symbol.
        """
        accepting = self.tables(self.moves.device if device is None else device)[1]
        rows, states = [accepting], torch.arange(len(accepting), device=accepting.device)
        for _ in range(steps):
            rows.append(self.allowed(states, rows[-1], stop).any(-1))
        return torch.stack(rows)

    def refusal(self, length: int, stop: int | None = None) -> str | None:
        """What to say where no sequence of this length, or ended before by `stop`, is accepted; None where one is."""
        if bool(self.completable(length, stop)[-1, 0]):
            return None
        return f"the automaton accepts no sequence {'within' if stop is not None else 'of'} {length} symbols"

    def allowed(self, states: Tensor, completable: Tensor, stop: int | None) -> Tensor:
        """Which symbols may follow: `(rows, v)`, for the rows' states `(rows)`.

        `completable (q)` or `(rows, q)`: the states from which one can still end well once the symbol is written.
        """
        moves, accepting = self.tables(states.device)
        after = moves[states]
        reached = after.clamp(min=0)
        good = completable[reached] if completable.dim() == 1 else completable.gather(1, reached)
        if stop is not None:
            ended = accepting[reached[:, stop : stop + 1]]
            good = torch.cat([good[:, :stop], ended, good[:, stop + 1 :]], 1)
        return (after >= 0) & good

    def weights(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, 0 or `-inf`, in the dtype and on the device of `like`: to read the automaton as a program does.

        Shape: starting `(q)`; moving `(v, q, q)`, `[x, s, s']`; accepting `(q)`.
        """
        moves, accepting = self.tables(like.device)
        states = torch.arange(len(accepting), device=like.device)
        may = (states == 0, moves.T.unsqueeze(-1) == states, accepting)
        starting, moving, ending = (torch.where(m, 0.0, NEG_INF).to(like.dtype) for m in may)
        return starting, moving, ending

    def accepts(self, symbols: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Whether each sequence `(batch, n)` of symbols, up to its length `(batch,)`, is accepted, `(batch,)` bool."""
        if lengths is None:
            lengths = symbols.new_full(symbols.shape[:1], symbols.shape[1])
        moves, accepting = self.tables(symbols.device)
        state = torch.zeros_like(lengths)
        for i in range(symbols.shape[1]):
            after = moves[state.clamp(min=0), symbols[:, i].clamp(0, moves.shape[1] - 1)]
            state = torch.where(i < lengths, torch.where(state < 0, -1, after), state)
        return (state >= 0) & accepting[state.clamp(min=0)]
