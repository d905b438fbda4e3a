"""Hidden Markov models as chain potentials."""

from __future__ import annotations

from torch import Tensor, cat

from semiring_struct.errors import ShapeError
from semiring_struct.ops import log_softmax, refuse_where
from semiring_struct.structures.linear_chain import ChainPotentials


def hmm(initial: Tensor, transition: Tensor, emission: Tensor, observations: Tensor) -> ChainPotentials:
    """The posterior over hidden states of a hidden Markov model, as potentials of a `LinearChain`.

    Args:
        initial: `(*batch, c)` scores of the first state, normalised here to log-probabilities.
        transition: `(*batch, c, c)`, `[a, b]` from state `a` to state `b`, normalised over `b`.
        emission: `(*batch, c, v)`, `[a, o]` observation `o` in state `a`, normalised over `o`.
        observations: `(*batch, n)` integers in `0..v-1`.

    Returns potentials with `transition` of shape `(*batch, 1, c, c)`; their log-partition is the log-probability of
    the observations.
    Raises `ShapeError` for shapes that do not fit and `ValueError` for observations out of range.
    Reference: Rabiner 1989, sec. II-III [rabiner1989].
    """
    c = initial.shape[-1] if initial.dim() else -1
    if transition.shape[-2:] != (c, c) or emission.dim() < 2 or emission.shape[-2] != c or observations.dim() < 1:
        raise ShapeError(
            "hmm needs initial (*batch, c), transition (*batch, c, c) [from, to], emission (*batch, c, v), "
            f"observations (*batch, n); got {tuple(initial.shape)}, {tuple(transition.shape)}, "
            f"{tuple(emission.shape)}, {tuple(observations.shape)}"
        )
    if observations.is_floating_point():
        raise TypeError(f"observations must be integers; got {observations.dtype}")
    v = emission.shape[-1]
    refuse_where((observations < 0) | (observations >= v), f"observations must lie in 0..{v - 1}")
    seen = log_softmax(emission, -1).transpose(-1, -2)
    batch = observations.shape[:-1]
    rows = observations.clamp(0, v - 1).unsqueeze(-1).expand(*observations.shape, c)
    scores = seen.expand(*batch, v, c).gather(-2, rows)
    first = scores.narrow(-2, 0, 1) + log_softmax(initial, -1).unsqueeze(-2)
    rest = scores.narrow(-2, 1, scores.shape[-2] - 1)
    moves = log_softmax(transition, -1).unsqueeze(-3)
    return ChainPotentials(cat([first, rest], -2), moves.expand(*batch, 1, c, c))

