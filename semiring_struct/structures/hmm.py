"""Hidden Markov models as chain potentials."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, cat

from semiring_struct.errors import ShapeError
from semiring_struct.ops import log_softmax, pick, prefix_mask, refuse_where, shown
from semiring_struct.structures.lengths import bounds_of, integers, on_device
from semiring_struct.structures.linear_chain import ChainPotentials


def hmm(
    initial: Tensor, transition: Tensor, emission: Tensor, observations: Any, lengths: Any = None
) -> ChainPotentials:
    """The posterior over hidden states of a hidden Markov model, as potentials of a `LinearChain`.

    Args:
        initial: `(*batch, c)` scores of the first state, normalised here to log-probabilities.
        transition: `(*batch, c, c)`, `[a, b]` from state `a` to state `b`, normalised over `b`.
        emission: `(*batch, c, v)`, `[a, o]` observation `o` in state `a`, normalised over `o`.
        observations: `(*batch, n)` integers in `0..v-1`; batch dims broadcast.
        lengths: as queries take them: what is observed past a length is ignored, such as a padding of -1.

    Returns potentials with `transition` of shape `(*batch, 1, c, c)`; their log-partition, at the same `lengths`, is
    the log-probability of the observations.
    Raises `ShapeError` for shapes that do not fit and `ValueError` for observations out of range.
    Reference: Rabiner 1989, sec. II-III [rabiner1989].
    """
    seen = on_device("observations", integers("observations", observations), emission.device)
    if seen.dtype == torch.bool:
        raise TypeError(f"observations must be integers; got {seen.dtype}")
    c = initial.shape[-1] if initial.dim() else -1
    fits = transition.shape[-2:] == (c, c) and emission.dim() >= 2 and emission.shape[-2] == c and seen.dim() >= 1
    leads = initial.shape[:-1], transition.shape[:-2], emission.shape[:-2], seen.shape[:-1]
    try:
        batch = tuple(torch.broadcast_shapes(*leads)) if fits else None
    except RuntimeError:
        batch = None
    if batch is None:
        raise ShapeError(
            "hmm needs initial (*batch, c), transition (*batch, c, c) [from, to], emission (*batch, c, v), "
            "observations (*batch, n), whose batch dims broadcast; got "
            f"{tuple(initial.shape)}, {tuple(transition.shape)}, {tuple(emission.shape)}, {tuple(seen.shape)}"
        )
    n, v = seen.shape[-1], emission.shape[-1]
    seen = seen.to(torch.int64).expand(*batch, n)
    if lengths is not None:
        bounds = bounds_of("hmm", lengths, (n,), batch, seen.device)[:, 0].reshape(batch)
        seen = torch.where(prefix_mask(bounds, n), seen, 0)
    refuse_where((seen < 0) | (seen >= v), f"observations must lie in 0..{shown(v - 1)}; past a length, give lengths")
    rows = seen.unsqueeze(-1).expand(*batch, n, c)
    scores = pick(log_softmax(emission, -1).transpose(-1, -2).expand(*batch, v, c), -2, rows)
    first = scores[..., :1, :] + log_softmax(initial, -1).unsqueeze(-2)
    moves = log_softmax(transition, -1).unsqueeze(-3)
    return ChainPotentials(cat([first, scores[..., 1:, :]], -2), moves.expand(*batch, 1, c, c))
