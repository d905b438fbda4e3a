"""Faults in the plain machine, in reductions, and in what makes totals differentiable."""

from __future__ import annotations

from tests.faults.plant import Fault

EAGER = "semiring_struct/executors/eager/"
CONTRACT = "tests/structures/test_contract.py"
SMALL = (CONTRACT, "-k", "chain-3-2 or spans-4 or heads-4 or segments-3 or affine or grammar or subset")
UNSHIPPED = ("tests/programs/test_unshipped.py", "tests/programs/test_random.py")

PASSES = (
    Fault(
        "an instance without the answer's cells is not the empty structure", EAGER + "forward.py",
        "torch.where(self.empty.reshape(buffers.batch, *([1] * len(self.row.out))), 0.0, value)", "value",
        (CONTRACT, "-k", "lengths"),
    ),
    Fault(
        "lengths do not move where the answer is read", EAGER + "forward.py",
        "            cells = cells + lengths[:, side : side + 1] * stride\n", "            cells = cells + stride\n",
        (CONTRACT, "-k", "lengths"),
    ),
    Fault(
        "tangents of factors after the sum are dropped", EAGER + "forward.py",
        "late = rise if late is None else rise + late", "late = rise", SMALL,
    ),
    Fault(
        "what was taken off a chart's factor is not added again", EAGER + "local.py",
        "top if shift is None else top.add_(shift)", "top", ("tests/inference/test_numerics.py",),
    ),
    Fault(
        "minus infinity is subtracted from itself", EAGER + "local.py",
        "    return top.clamp_min_(torch.finfo(top.dtype).min)", "    return top", (CONTRACT, "-k", "every_query"),
    ),
    Fault(
        "only the last of the factors after the sum counts", EAGER + "local.py",
        "after = f.to(wide) if after is None else after + f", "after = f.to(wide)", UNSHIPPED,
    ),
    Fault(
        "the answer passes adjoints on where there is none", EAGER + "reverse.py",
        "            weights = self.reduction.weights(x, self.generator) * live\n",
        "            weights = self.reduction.weights(x, self.generator)\n", (CONTRACT, "-k", "lengths"),
    ),
    Fault(
        "a tangent of an adjoint is dropped", EAGER + "reverse.py",
        "    return flow, None if b is None or g_dot is None else b * g.unsqueeze(-1) + w * g_dot.unsqueeze(-1)",
        "    return flow, None if b is None or g_dot is None else b * g.unsqueeze(-1)", SMALL,
    ),
    Fault(
        "slopes that nobody writes are not cleared", EAGER + "reverse.py",
        "            make = torch.empty if whole and self.program.reads_all(i) else torch.zeros\n",
        "            make = torch.empty if whole else torch.zeros\n", SMALL,
    ),
    Fault(
        "the turns of a loop run forwards in the backward pass", EAGER + "reverse.py",
        "            for t in reversed(range(start, end)):\n", "            for t in range(start, end):\n",
        ("tests/structures/test_goldens.py", "tests/executors/test_eager.py", "tests/inference/test_numerics.py"),
    ),
    Fault(
        "cells that a window names twice get one share", EAGER + "access.py",
        "    if _injective(sizes, strides):\n", "    if sizes:\n", (*UNSHIPPED, *SMALL),
    ),
    Fault(
        "an instance is too short by one", EAGER + "access.py",
        "    return (lengths < least).any(-1)", "    return (lengths <= least).any(-1)", (CONTRACT, "-k", "lengths"),
    ),
    Fault(
        "a dim that runs backwards is written forwards", EAGER + "access.py",
        "    cells.copy_(value.flip(back) if back else value)", "    cells.copy_(value)",
        ("tests/programs/test_schedule.py", "tests/programs/test_random.py", "tests/executors/test_eager.py"),
    ),
    Fault(
        "a turn sees what another row of it is about to write", EAGER + "local.py",
        "    if count == 1 or any(f.step < 0 or min(f.strides, default=0) < 0 for f in factors):\n",
        "    if count == 1:\n",
        ("tests/executors/test_eager.py",),
    ),
)
WALKS = (
    Fault(
        "alternatives that a cell does not have are weighed", EAGER + "paths.py",
        "        return total.masked_fill_(ks >= self.t[\"count\"][cell][:, None], NEG_INF), address",
        "        return total, address", SMALL,
    ),
    Fault(
        "walks begin where the longest instance ends", EAGER + "paths.py",
        "                    base[:, i, q] += self.lengths[:, side] * stride\n",
        "                    base[:, i, q] += self.program.default_lengths[side] * stride\n", (CONTRACT, "-k",
        "lengths"),
    ),
    Fault(
        "of tied alternatives the last is taken", EAGER + "paths.py",
        "        value, index = scores.max(-1)\n",
        "        value, index = scores.max(-1).values, scores.shape[-1] - 1 - scores.flip(-1).argmax(-1)\n",
        ("tests/executors/test_cpu_walks.py", "-k", "tied or ties"),
    ),
    Fault(
        "all steps of a path share one random number", EAGER + "paths.py",
        "        noise = uniform_at(seed, begin + step)\n", "        noise = uniform_at(seed, begin)\n",
        ("tests/inference/test_draws.py", "tests/inference/test_determinism.py", *SMALL),
    ),
    Fault(
        "draws search the choices of the first instance", EAGER + "paths.py",
        "        start = walk.t[\"dense\"][cell] + instance * walk.d.width\n",
        "        start = walk.t[\"dense\"][cell]\n",
        ("tests/executors/test_eager.py", "tests/inference/test_draws.py"),
    ),
    Fault(
        "a draw is not scaled by the mass of its cell", EAGER + "paths.py",
        "    pick = (mass <= uniform[:, None] * mass[:, -1:]).sum(-1)\n",
        "    pick = (mass <= uniform[:, None]).sum(-1)\n",
        ("tests/inference/test_draws.py", *SMALL),
    ),
    Fault(
        "a copied cell is walked as itself", EAGER + "paths.py",
        "walk.t[\"alias\"][child.clamp(min=0)][None]", "child.clamp(min=0)[None]", (*UNSHIPPED, *SMALL),
    ),
    Fault(
        "a beam never takes a cell off its queue", EAGER + "paths.py",
        "        waiting = (waiting - 1).clamp(min=0) if step else waiting\n", "", SMALL,
    ),
    Fault(
        "what a path used is read off another path", EAGER + "paths.py",
        "        back = parent.gather(1, back)\n", "", SMALL,
    ),
)
REDUCTIONS = (
    Fault(
        "weights of a cell without alternatives are 0 over 0", "semiring_struct/semirings/log.py",
        "part.sum(-1, keepdim=True).clamp_min_(1.0)", "part.sum(-1, keepdim=True)",
        ("tests/semirings/test_reductions.py", CONTRACT, "-k", "every_query or finite"),
    ),
    Fault(
        "tangents of choices keep their mean", "semiring_struct/semirings/log.py",
        "        return pulled.sub_(weights * pulled.sum(-1, keepdim=True))\n", "        return pulled\n",
        ("tests/semirings",),
    ),
    Fault(
        "a temperature is forgotten in the second order", "semiring_struct/semirings/smooth.py",
        "pulled.sub_(weights * pulled.sum(-1, keepdim=True)).div_(self.temperature)",
        "pulled.sub_(weights * pulled.sum(-1, keepdim=True))", ("tests/semirings",),
    ),
    Fault(
        "weight moves out of the support", "semiring_struct/semirings/smooth.py",
        "    s = torch.where(used, s.clamp_max_(torch.finfo(s.dtype).max ** 0.5), 0.0)\n", "",
        ("tests/semirings", "tests/relaxations/test_smoothed.py"),
    ),
    Fault(
        "a zero product moves", "semiring_struct/semirings/expectation.py",
        "        return torch.cat([primal, torch.where(primal == NEG_INF, 0.0, tangent)])\n",
        "        return torch.cat([primal, tangent])\n", ("tests/semirings",),
    ),
    Fault(
        "the best pairs of ranks are not all tried", "semiring_struct/semirings/kbest.py",
        "if (i + 1) * (j + 1) <= self.k]", "if (i + 1) * (j + 1) < self.k]", ("tests/semirings/test_meaning.py",),
    ),
    Fault(
        "a draw is made where all is forbidden", "semiring_struct/semirings/sample.py",
        "scatter_(-1, index, (total > 0).to(x.dtype))", "scatter_(-1, index.clamp(max=x.shape[-1] - 1), 1.0)",
        ("tests/semirings",),
    ),
)
PLAIN = (*PASSES, *WALKS, *REDUCTIONS)
