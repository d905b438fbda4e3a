"""Single derivations: walk from the answer to the fields, visiting only chosen cells. Best, many draws, or a beam.

All paths take the same number of steps. Each keeps a queue of the cells that it has yet to open; a step opens the next
one, picks an alternative, notes the field entries it uses and queues the chart cells it reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from semiring_struct.executors.eager.access import too_short
from semiring_struct.executors.eager.local import Buffers, alternatives, plan, stretches, views
from semiring_struct.executors.growth import by_score
from semiring_struct.executors.machine import Grow, Job, Paths
from semiring_struct.ops import NEG_INF, running_sum, uniform_at
from semiring_struct.programs import Program
from semiring_struct.programs.derivations import NONE, derivations, place

TABLE_BYTES = 1 << 30  # no table of cumulative choices larger than this


@lru_cache(maxsize=256)
def _table(program: Program, device: torch.device) -> dict[str, Tensor]:
    d = derivations(program)
    names = ("first", "count", "base", "term", "move", "alias", "dense")
    return {n: torch.from_numpy(getattr(d, n)).to(device) for n in names}


class Walk:
    """The table and the charts of one run; `lengths (batch, sides)`."""

    def __init__(self, program: Program, buffers: Buffers, lengths: Tensor):
        self.program, self.buffers, self.lengths = program, buffers, lengths
        self.d = derivations(program)
        self.t = _table(program, lengths.device)
        self.ks = torch.arange(self.d.most, device=lengths.device)
        self.empty = too_short(program, lengths)
        self.root = self._root()

    def _root(self) -> Tensor:
        """`base` of the answer for each instance: `(batch, terms, slots)`."""
        base = self.t["base"][-1].expand(len(self.lengths), -1, -1).clone()
        for i, term in enumerate(self.program.answer.terms):
            for q, window in place(term, self.d.slots).items():
                for side, _, stride in window.per_length:
                    base[:, i, q] += self.lengths[:, side] * stride
        return base

    def open(self, cell: Tensor, instance: Tensor, at_root: bool) -> tuple[Tensor, Tensor]:
        """All alternatives of one cell per path: log-weights `(paths, k)` float64, and addresses `(paths, k, slots)`.

        Past a cell's own number of alternatives the log-weights are `-inf`; empty slots have address NONE.
        """
        ks = self.ks[: int(self.d.count[-1]) if at_root else self.d.most]
        address = self.addresses(cell, instance, ks.expand(len(cell), -1), at_root)
        total = torch.zeros(address.shape[:2], dtype=torch.float64, device=address.device)
        for q, buffer in enumerate(self.d.slots):
            at = address[..., q]
            places = self.buffers[buffer]
            value = places[instance[:, None], at.clamp(min=0, max=places.shape[1] - 1)]
            total += torch.where(at == NONE, 0.0, value.double())
        return total.masked_fill_(ks >= self.t["count"][cell][:, None], NEG_INF), address

    def addresses(self, cell: Tensor, instance: Tensor, pick: Tensor, at_root: bool) -> Tensor:
        """Addresses `(paths, picks, slots)` of the alternatives `pick (paths, picks)` of one cell per path."""
        a = (self.t["first"][cell][:, None] + pick).clamp(max=len(self.t["term"]) - 1)
        base = self.root[instance] if at_root else self.t["base"][cell]
        if base.shape[1] == 1:
            start = base
        else:
            start = base.gather(1, self.t["term"][a][..., None].expand(-1, -1, base.shape[-1]))
        return torch.where(start == NONE, NONE, start + self.t["move"][a])

    def table(self) -> Tensor:
        """Cumulative choices of every alternative of every cell, `(batch, width)`: draws then only search."""
        out = torch.empty((self.buffers.batch, self.d.width), dtype=self.buffers.narrow, device=self.lengths.device)
        start = 0
        for block in self.program.blocks:
            for row in block.rows:
                per_turn = math.prod(row.out) * row.alternatives
                for t, end in stretches(block, self.buffers.batch):
                    turns = end - t
                    x = alternatives(plan(row), views(plan(row), self.buffers, t, turns), self.buffers, late=False).x
                    here = out[:, start : start + turns * per_turn]
                    if x is None:
                        here.fill_(1.0)
                    else:
                        here.view(x.shape).copy_(running_sum(x.exp()))
                    start += turns * per_turn
        return out


def walk_of(job: Job, charts: Tensor) -> Walk:
    """A walk over the charts `(batch, cells)` of a job."""
    return Walk(job.program, Buffers(job.fields, charts), job.lengths)


# (step, cell, instance) -> (addresses (paths, slots) of the picked alternative of each cell, whether there is any)
Choose = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]


def best(walk: Walk) -> Paths:
    """One best derivation per instance; the first alternative on ties."""

    def largest(step: int, cell: Tensor, instance: Tensor) -> tuple[Tensor, Tensor]:
        scores, address = walk.open(cell, instance, step == 0)
        value, index = scores.max(-1)
        return _take(address, index), value > NEG_INF

    return _single(walk, 1, largest)


def draws(walk: Walk, seed: Tensor, samples: int) -> Paths:
    """Independent exact draws, `samples` of every instance; path `p` is of instance `p % batch`.

    Each step is one draw from the local choice of a cell. Where many draws share an instance, the choices of all cells
    are cumulated once and then only searched.
    """
    longest, paths = walk.d.longest, samples * walk.buffers.batch
    dense, visited = walk.buffers.batch * walk.d.width, longest * paths * walk.d.most
    cumulated = dense * 4 < visited and dense * walk.buffers.narrow.itemsize <= TABLE_BYTES
    begin = torch.arange(paths, device=seed.device) * longest
    table = walk.table().reshape(-1) if cumulated else None
    bits = max(1, (walk.d.most - 1).bit_length())

    def draw(step: int, cell: Tensor, instance: Tensor) -> tuple[Tensor, Tensor]:
        noise = uniform_at(seed, begin + step)
        if step == 0 or table is None:
            scores, address = walk.open(cell, instance, step == 0)
            pick, found = _draw(scores, noise)
            return _take(address, pick), found
        start = walk.t["dense"][cell] + instance * walk.d.width
        low, high = torch.zeros_like(cell), (walk.t["count"][cell] - 1).clamp_(min=0)
        last, goal = high, noise * table.index_select(0, start + high)
        for _ in range(bits):
            middle = (low + high) // 2
            right = table.index_select(0, start + middle) <= goal
            low, high = torch.where(right, middle + 1, low), torch.where(right, high, middle)
        pick = torch.minimum(low, last)
        return walk.addresses(cell, instance, pick[:, None], False).squeeze(1), torch.ones_like(low, dtype=torch.bool)

    return _single(walk, samples, draw)


def _take(address: Tensor, pick: Tensor) -> Tensor:
    return address.gather(1, pick[:, None, None].expand(-1, 1, address.shape[-1])).squeeze(1)


def _draw(scores: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    top = scores.amax(-1, keepdim=True)
    mass = running_sum((scores - top.masked_fill(top == NEG_INF, 0.0)).exp_())
    pick = (mass <= uniform[:, None] * mass[:, -1:]).sum(-1)
    return pick.clamp_(max=scores.shape[-1] - 1), top.squeeze(-1) > NEG_INF


def _single(walk: Walk, copies: int, choose: Choose) -> Paths:
    """Paths that do not compete: `copies` of every instance."""
    d, device = walk.d, walk.lengths.device
    instance = torch.arange(walk.buffers.batch, device=device).repeat(copies)
    queue = torch.zeros((d.longest + 1, len(instance)), dtype=torch.int64, device=device)
    filled = torch.zeros_like(instance)
    used: list[list[Tensor]] = [[] for _ in d.slots[d.chart_slots :]]
    feasible = torch.ones_like(instance, dtype=torch.bool)
    for step in range(d.longest):
        cell = queue[step - 1] if step else torch.full_like(instance, d.cells)
        active = filled >= step if step else ~walk.empty[instance]
        chosen, found = choose(step, cell, instance)
        feasible &= found | ~active
        chosen = torch.where((active & found)[:, None], chosen, NONE)
        for q in range(d.chart_slots):
            child = chosen[:, q]
            filled = filled + (child >= 0)
            at = torch.where(child >= 0, filled - 1, d.longest)
            queue.scatter_(0, at[None], walk.t["alias"][child.clamp(min=0)][None])
        for q, column in enumerate(used):
            column.append(chosen[:, d.chart_slots + q])
    blank = torch.empty((len(instance), 0), dtype=torch.int64, device=device)
    return Paths(d.slots[d.chart_slots :], [torch.stack(u, 1) if u else blank for u in used], feasible)


def k_best(walk: Walk, k: int) -> Paths:
    """The `k` best derivations per instance, ranked by what they lose against the best; keys are scores."""
    instances = torch.arange(walk.buffers.batch, device=walk.lengths.device)
    scores, _ = walk.open(torch.full_like(instances, walk.d.cells), instances, True)
    top = scores.amax(-1).masked_fill(walk.empty, 0.0)
    paths = beam(walk, k, torch.zeros_like(top), by_score)
    return replace(paths, key=paths.ranked() + top.repeat(k))


def beam(walk: Walk, k: int, start: Tensor, grow: Grow) -> Paths:
    """The `k` derivations of largest key per instance, path `i * batch + b` the i-th of instance `b`.

    `start (batch,)` is the key of the empty beginning; see `Grow` for what is asked of `grow`. What a path has used is
    kept as back-pointers, and of its cells only those still to be opened, so that no step copies what lies behind it.
    """
    d, t, device = walk.d, walk.t, walk.lengths.device
    batch = walk.buffers.batch
    rows = torch.arange(batch, device=device)[:, None]
    most = d.longest if d.chart_slots > 1 else 1                # cells a path may have to open at one time
    queue = torch.zeros((batch, k, most + 1), dtype=torch.int64, device=device)
    waiting = torch.zeros((batch, k), dtype=torch.int64, device=device)
    parents: list[Tensor] = []
    parts: list[Tensor] = []
    key = torch.full((batch, k), NEG_INF, dtype=torch.float64, device=device)
    key[:, 0] = start
    log_prob = torch.zeros_like(key)
    instance = rows.expand(batch, k).reshape(-1)
    for step in range(d.longest):
        cell = torch.full_like(waiting, d.cells) if step == 0 else queue[:, :, 0]
        active = (~walk.empty[:, None]).expand(batch, k) if step == 0 else waiting > 0
        scores, address = walk.open(cell.reshape(-1), instance, step == 0)
        keys, log_probs = grow(key, log_prob, scores.reshape(batch, k, scores.shape[-1]))
        idle = torch.zeros_like(keys[..., :1]), torch.full_like(keys[..., 1:], NEG_INF)
        keys = torch.where(active[..., None], keys, key[..., None] + torch.cat(idle, -1))
        log_probs = torch.where(active[..., None], log_probs, log_prob[..., None])
        width = keys.shape[-1]
        key, order = _top(keys.flatten(1), k)
        parent, pick = order // width, order % width
        log_prob = log_probs.flatten(1).gather(1, order)
        active = active.gather(1, parent) & (key > NEG_INF)
        queue, waiting = queue[rows, parent].roll(-1 if step else 0, -1), waiting.gather(1, parent)
        waiting = (waiting - 1).clamp(min=0) if step else waiting
        chosen = address.reshape(batch, k, width, address.shape[-1])[rows, parent, pick]
        chosen = torch.where(active[..., None], chosen, NONE)
        for q in range(d.chart_slots):
            child = chosen[..., q]
            at = torch.where(child >= 0, waiting, most)
            queue.scatter_(2, at[..., None], t["alias"][child.clamp(min=0)][..., None])
            waiting = waiting + (child >= 0)
        parents.append(parent)
        parts.append(chosen[..., d.chart_slots :])
    flat = torch.where((key > NEG_INF)[..., None, None], _traced(parents, parts), NONE).transpose(0, 1).flatten(0, 1)
    key = key.transpose(0, 1).reshape(-1)
    log_prob = log_prob.transpose(0, 1).reshape(-1)
    return Paths(d.slots[d.chart_slots :], list(flat.unbind(-1)), key > NEG_INF, key, log_prob)


def _traced(parents: list[Tensor], parts: list[Tensor]) -> Tensor:
    """What each path used `(batch, k, steps, slots)`, from the path each one grew from and what it added, by step."""
    back = torch.arange(parents[0].shape[1], device=parents[0].device).expand_as(parents[0])
    used = []
    for parent, part in zip(reversed(parents), reversed(parts), strict=True):
        used.append(part.gather(1, back[..., None].expand(-1, -1, part.shape[-1])))
        back = parent.gather(1, back)
    return torch.stack(used[::-1], 2)


def _top(keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest, the first of tied ones first, and where they are; blanks (`-inf`) where there are fewer."""
    have = min(k, keys.shape[-1])
    value, index = (x[..., :have] for x in keys.sort(dim=-1, descending=True, stable=True))
    if have < k:
        pad = (0, k - have)
        value = torch.nn.functional.pad(value, pad, value=NEG_INF)
        index = torch.nn.functional.pad(index, pad)
    return value, index
