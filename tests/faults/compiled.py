"""Faults in compiled code: the machine for the CPU and the kernels that have a twin there."""

from __future__ import annotations

from tests.faults.plant import Fault

CPU = "semiring_struct/executors/cpu/"
KERNELS = "semiring_struct/kernels/"
WALKS = "tests/executors/test_cpu_walks.py"


def routes(chosen: str) -> tuple[str, ...]:
    """Part of the contract of routes, chosen by names of groups and routes."""
    return "tests/routes/test_routes.py", "-k", chosen


BACKWARD = routes("test_sample and chain-0 and backward and not double and not marginals")
LANES = (
    Fault(
        "slopes are written before potentials are read", CPU + "lanes/passes.py",
        "    chosen = row[col.CHOOSES] and k > 0\n    if chosen and state[now.CHANCES] != 0:\n",
        "    chosen = row[col.CHOOSES] and k > 0\n    spread_late(flow, code, state, row, spot, like)\n"
        "    if chosen and state[now.CHANCES] != 0:\n", BACKWARD,
    ),
    Fault(
        "adjoints of one group begin where another's ended", CPU + "lanes/passes.py",
        "        fill(pointer(state[now.ADJOINT], like), 1, 1, code[col.CELLS] * LANES, cast(0, like))\n", "", BACKWARD,
    ),
    Fault(
        "slopes of one group begin where another's ended", CPU + "lanes/passes.py",
        "        now.clear_slopes(state, like)\n", "", BACKWARD,
    ),
    Fault(
        "an idle tile leaves potentials where slopes should be", CPU + "lanes/passes.py",
        "        clear_out(code, state, row, spot, like)\n        return\n", "        return\n", BACKWARD,
    ),
    Fault(
        "the sum of chances leaves out the last", CPU + "lanes/tiles.py",
        "        total = spread(cast(0, like))\n        for i in range(k):\n            total = total + loaded(",
        "        total = spread(cast(0, like))\n        for i in range(k - 1):\n            total = total + loaded(",
        routes("test_sample and chain-0 and marginals and not backward"),
    ),
    Fault(
        "a shared factor's adjoint is written over", CPU + "lanes/tiles.py",
        "            keep(here, loaded(here) + loaded(ahead(line, i * LANES)) * f)",
        "            keep(here, loaded(ahead(line, i * LANES)) * f)", BACKWARD,
    ),
    Fault(
        "lanes take an instance for too short by one", CPU + "lanes/answer.py",
        "        if own[side] < least[side]:", "        if own[side] <= least[side]:",
        routes("test_sample and (chain-0 or spans) and log-z"),
    ),
    Fault(
        "lanes read the answer at full length", CPU + "lanes/answer.py",
        "        here += own[code[i]] * code[i + 1]", "        here += code[i + 1]",
        routes("test_sample and (chain-0 or spans) and log-z"),
    ),
    Fault(
        "the last of four rows of a product is left out", CPU + "lanes/multiply.py",
        "        for i in range(4):\n            t = spread(zero)",
        "        for i in range(3):\n            t = spread(zero)",
        ("tests/executors/test_cpu.py", "-k", "test_single_precision and grammar"),
    ),
    Fault(
        "a matrix shared by all steps gets no gradient", CPU + "lanes/products.py",
        "        if m[col.FIXED] and filled[m[col.SLOT]]:\n            _settle_right",
        "        if not m[col.FIXED] and filled[m[col.SLOT]]:\n            _settle_right",
        ("tests/executors/test_cpu.py", "-k", "test_single_precision and tied"),
    ),
    Fault(
        "the right side of a product is kept for the next group", CPU + "lanes/products.py",
        "    if state[now.OPENED] != group:\n", "    if state[now.OPENED] == -2:\n",
        ("tests/executors/test_cpu.py", "-k", "test_single_precision and tied"),
    ),
)
PASSES = (
    Fault(
        "sums that underflow are trusted", CPU + "products.py",
        "    return cast(k, like) * (tiny if tiny > 0 else cast(1e-30, like))",
        "    return cast(k, like) * cast(0, like)",
        ("tests/executors/test_cpu.py", "-k", "test_sums_that_underflow"),
    ),
    Fault(
        "what all cells of a row share is not cleared", CPU + "reverse.py",
        "        fill(shares, count, 1, count, cast(0, like))\n", "",
        routes("test_sample and (segments or chain-0) and backward"),
    ),
    Fault(
        "an instance without the answer's cells has no answer", CPU + "forward.py",
        "            fill(answer, 1, 1, state[col.OUT], 0.0)\n", "            pass\n",
        routes("test_sample and (chain or spans or listed-0) and log-z"),
    ),
    Fault(
        "an instance without the answer's cells keeps its slopes", CPU + "reverse.py",
        "            clear(state, like)\n            continue\n", "            continue\n",
        ("tests/executors/test_cpu.py", "-k", "test_nothing_is_read_before"),
    ),
    Fault(
        "lengths do not move where the answer is read", CPU + "tiles.py",
        "        at += words(state, col.LENGTHS_NOW)[code[i]] * code[i + 1]\n", "        at += code[i + 1]\n",
        routes("test_sample and (chain or spans or listed-0) and log-z"),
    ),
    Fault(
        "two outer dims of a sum change places", CPU + "tiles.py",
        "(s // term[col.SIZE_1]) * f[col.E0] + (s % term[col.SIZE_1]) * f[col.E1]",
        "(s // term[col.SIZE_1]) * f[col.E1] + (s % term[col.SIZE_1]) * f[col.E0]",
        routes("test_sample and (grammar or graph or low_rank or own) and log-z"),
    ),
    Fault(
        "a tangent of an adjoint is dropped", CPU + "dual.py",
        "            moved[i] = moved[i] * flow[j] + w[i] * flow_dot[j]", "            moved[i] = moved[i] * flow[j]",
        routes("test_sample and (chain-0 or spans) and covariance_vp"),
    ),
    Fault(
        "tangents of choices keep their mean", CPU + "slopes.py",
        "(moved[at + i * far] - mean) / temperature", "moved[at + i * far] / temperature",
        routes("test_sample and (chain-0 or spans) and covariance_vp"),
    ),
    Fault(
        "threads share one workspace", CPU + "machine.py",
        "own = {slot: torch.empty((few, n), dtype=kind, device=\"cpu\") for slot, (n, kind) in lines.items()}\n",
        "own = vars(self).setdefault(\"own\", {s: torch.empty((few, n), dtype=k) for s, (n, k) in lines.items()})\n",
        ("tests/executors/test_threads.py",),
    ),
)
STEPS = (
    Fault(
        "a copied cell is walked as itself", CPU + "steps.py",
        "                queue[filled * apart] = table.alias[to]\n", "                queue[filled * apart] = to\n",
        (WALKS, "-k", "test_the_best or test_draws"),
    ),
    Fault(
        "of tied alternatives the last is taken", CPU + "steps.py",
        "    at = n - 1\n    for i in range(n):\n        at = min(at, i if x[i] == top else n)",
        "    at = 0\n    for i in range(n):\n        at = max(at, i if x[i] == top else 0)",
        (WALKS, "-k", "tied or ties"),
    ),
    Fault(
        "the fourth running sum begins too low", CPU + "steps.py",
        "_raise(marks, w, 3 * quarter, n, a + b + c, scale, like)",
        "_raise(marks, w, 3 * quarter, n, a + b, scale, like)",
        (WALKS, "-k", "test_draws"),
    ),
    Fault(
        "all steps of a path share one random number", CPU + "paths.py",
        "random_bits(seed, path * table.longest + step)", "random_bits(seed, path * table.longest)",
        (WALKS, "-k", "test_draws"),
    ),
    Fault(
        "what was known of the cells of another instance is used", CPU + "paths.py",
        "            bench.known[cell] = UNKNOWN\n", "            bench.known[cell] |= UNKNOWN\n",
        (WALKS, "-k", "test_draws or threads"),
    ),
    Fault(
        "labelled draws of two samples share random numbers", CPU + "hops.py",
        "np.uint64(batch * table.longest) * STEP", "np.uint64(table.longest) * STEP",
        (WALKS, "-k", "labels"),
    ),
    Fault(
        "a labelled draw forgets what its last step says", CPU + "hops.py",
        "        cell, path = ground.now[i], ground.who[i]\n        ground.now[left], ground.who[left], "
        "ground.ends[np.int64(path)] = cell, path, step\n",
        "        cell, path = ground.now[i], ground.who[i]\n        ground.now[left], ground.who[left], "
        "ground.ends[np.int64(path)] = cell, path, step - 1\n",
        (WALKS, "-k", "labels"),
    ),
    Fault(
        "two ranks follow from one derivation twice", CPU + "ranks.py",
        "        if made[HEADER + i] != NONE:\n            return i\n    return 0\n", "        pass\n    return 0\n",
        (WALKS, "-k", "k_best"),
    ),
    Fault(
        "the next alternatives of a cell never join", CPU + "ranks.py",
        "    if made[PICK] == state[LATEST]:\n", "    if made[PICK] == NONE:\n", (WALKS, "-k", "k_best"),
    ),
    Fault(
        "k best derivations of one instance stay known to the next", CPU + "ranks.py",
        "        _forget(bench, r)\n", "", (WALKS, "-k", "k_best"),
    ),
)
TREES = (
    Fault(
        "a leaf's chance is not what the others leave", KERNELS + "elimination/cpu.py",
        "            leaf -= slope[v, d] * weight[v, d]\n", "            leaf -= 0.0\n",
        ("tests/kernels/test_elimination.py",),
    ),
    Fault(
        "products that may underflow are trusted", KERNELS + "elimination/cpu.py",
        "        if low_share < TINY or low_share * low < TINY:\n", "        if low_share < 0.0:\n",
        ("tests/kernels/test_elimination.py",),
    ),
    Fault(
        "weights that underflow are trusted", KERNELS + "elimination/cpu.py",
        "            if h != d and x < TINY and w[h, d] > -math.inf:\n", "            if h != d and x < 0.0:\n",
        ("tests/kernels/test_elimination.py",),
    ),
    Fault(
        "a single root may have a second arc", KERNELS + "branching/cpu.py",
        "    if single and count > 1:\n", "    if single and count > 2:\n", ("tests/kernels/test_branching.py",),
    ),
    Fault(
        "entering a cycle is not charged for what it replaces", KERNELS + "branching/cpu.py",
        "                    less[0, d] += best[0, c]\n", "", ("tests/kernels/test_branching.py",),
    ),
    Fault(
        "the arc that enters a cycle opens it elsewhere", KERNELS + "branching/cpu.py",
        "            if step[0, under[p]] == c:\n", "            if step[0, under[p]] != c:\n",
        ("tests/kernels/test_branching.py",),
    ),
)
COMPILED = (*LANES, *PASSES, *STEPS, *TREES)
