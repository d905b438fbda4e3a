"""Exact draws of trees: elimination undone, one vertex after another."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.kernels.elimination.reference import Step, eliminate
from semiring_struct.ops import NEG_INF, operator, over_paths, running_sum, uniform_at


@operator("trees_drawn")
def drawn_heads(w: Tensor, lengths: Tensor, single: bool, number: int, seed: Tensor) -> tuple[Tensor, Tensor]:
    """Exact, independent draws: whether there is a tree `(number * B,)`, and heads `(number * B, m)`, -1 for none.

    Arguments as of `log_trees`; path `p` is of instance `p % B`, its noise follows from `seed (1,)`. A tree of the
    graph without `v` becomes one of the graph with it: each arc `h -> m` goes via `v` with the probability kept from
    the elimination, and v's head is drawn among the vertices that the root still reaches. The walks of Wilson 1996
    [wilson1996] have the same law, and no bound on their length.

    Cost: `O(m^3)` once, and `O(m^2 log m)` for each draw.
    """
    e, batch, m = eliminate(w, lengths, single), len(w), w.shape[-1]
    paths = torch.arange(number * batch, device=w.device)
    heads = torch.full((len(paths), m), -1, dtype=torch.int64, device=w.device)
    rooted = torch.full((batch,), not single, device=w.device)
    for step in e.steps:
        rooted = rooted | step.lonely
    place = 0
    for v, step in enumerate(reversed(e.steps), 1):
        noise = uniform_at(seed, paths[:, None] * (m * (m + 1)) + place + torch.arange(v + 1, device=w.device))
        place += v + 1
        # before v was eliminated, root arcs weighed less than others unless a vertex after v had spent the root's arc
        rooted = rooted & ~step.lonely
        heads[:, : v + 1] = _lifted(heads[:, :v], step, rooted, e.real[:, v], noise, paths % batch)
    return e.feasible[paths % batch], torch.where(e.feasible[paths % batch][:, None], heads, -1)


@torch.library.register_fake(drawn_heads)
def _(w, lengths, single, number, seed):
    paths = number * w.shape[0]
    return w.new_empty((paths,), dtype=torch.bool), w.new_empty((paths, w.shape[-1]), dtype=torch.int64)


torch.library.register_vmap(drawn_heads, over_paths(drawn_heads, number=3, seed=4))


def _lifted(heads: Tensor, step: Step, rooted: Tensor, real: Tensor, noise: Tensor, instance: Tensor) -> Tensor:
    """Heads `(paths, v)` of the vertices `0 .. v-1` with `v` put in, `(paths, v + 1)`."""
    v = heads.shape[1]
    column = torch.arange(v, device=heads.device)
    share = step.via[instance[:, None], heads.clamp(min=0), column]
    via = (heads >= 0) & (noise[:, :v] < share)
    reached = _reached(torch.where(via, -1, heads))
    logits = torch.where(reached, step.log_heads[instance], NEG_INF)
    # where root arcs weigh nothing beside others the root is the head only if it reaches no other vertex
    beside = torch.where((logits[:, 1:] > NEG_INF).any(1), NEG_INF, 0.0).to(logits.dtype)
    logits[:, 0] = torch.where(rooted[instance], logits[:, 0], beside)
    return torch.cat([torch.where(via, v, heads), _pick(logits, noise[:, v], real[instance])], 1)


def _reached(heads: Tensor) -> Tensor:
    """Which vertices `(paths, v)` descend from vertex 0, where -1 is no head: by doubling the length of steps."""
    v = heads.shape[1]
    above = torch.nn.functional.pad(torch.where(heads < 0, v, heads), (0, 1), value=v)
    above[:, 0] = 0
    for _ in range(v.bit_length()):
        above = above.gather(1, above)
    return above[:, :v] == 0


def _pick(logits: Tensor, noise: Tensor, real: Tensor) -> Tensor:
    """One index `(paths, 1)` with probability proportional to `exp(logits)`; -1 where there is no vertex."""
    top = logits.amax(1, keepdim=True)
    mass = running_sum((logits - torch.where(top == NEG_INF, 0.0, top)).exp())
    index = (mass <= noise[:, None] * mass[:, -1:]).sum(1, keepdim=True).clamp(max=logits.shape[1] - 1)
    return torch.where(real[:, None], index, -1)
