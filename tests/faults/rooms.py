"""Faults in the rooms around the machines: numerics, programs, kernels, structures, queries."""

from __future__ import annotations

from tests.faults.plant import Fault

OPS, PROGRAMS, KERNELS = "semiring_struct/ops/", "semiring_struct/programs/", "semiring_struct/kernels/"
STRUCTURES, INFERENCE, EXECUTORS = (f"semiring_struct/{room}/" for room in ("structures", "inference", "executors"))
CONTRACT = "tests/structures/test_contract.py"
LABELS = "tests/structures/test_labels.py"
SMALL = (CONTRACT, "-k", "chain-3-2 or spans-4 or heads-4 or segments-3 or affine or grammar or subset")
TREES = ("tests/structures/test_spanning.py", CONTRACT, "-k", "arborescence or spanning")

NUMERICS = (
    Fault(
        "sums of nothing have NaN gradients", OPS + "logspace.py",
        "    return torch.where(empty, NEG_INF, torch.where(empty, 1.0, mass).log() + offset)",
        "    return torch.where(empty, NEG_INF, mass.log() + offset)", ("tests/ops/test_logspace.py",),
    ),
    Fault(
        "a forbidden part that is not used makes a score NaN", OPS + "logspace.py",
        "    part = event * torch.where(apart, 0.0, log_potentials)", "    part = event * log_potentials",
        ("tests/ops/test_logspace.py",),
    ),
    Fault(
        "log1mexp takes the wrong form", OPS + "logspace.py",
        "    return torch.where(near, by_expm1,", "    return torch.where(~near, by_expm1,",
        ("tests/ops/test_logspace.py",),
    ),
    Fault(
        "a prefix is one too long", OPS + "mask.py",
        "    return torch.arange(n, device=lengths.device) < lengths.unsqueeze(-1)",
        "    return torch.arange(n, device=lengths.device) <= lengths.unsqueeze(-1)", ("tests/ops/test_mask.py",),
    ),
    Fault(
        "a mask with a hole is taken", OPS + "mask.py",
        "    refuse_where(\n        holed,\n", "    refuse_where(\n        holed & ~holed,\n",
        ("tests/ops/test_mask.py", "tests/inference/test_errors.py"),
    ),
    Fault(
        "uniforms may be 0", OPS + "noise.py",
        "    return draw.clamp(min=_HALF_STEP[dtype])", "    return draw", ("tests/ops/test_noise.py",),
    ),
    Fault(
        "counted noise shifts the sign in", OPS + "noise.py",
        "    return (z >> bits) & ((1 << (64 - bits)) - 1)", "    return z >> bits", ("tests/ops/test_noise.py",),
    ),
    Fault(
        "conditional noise loses the largest entry", OPS + "noise.py",
        "torch.where(simple, maximum, moved)", "moved", ("tests/ops/test_noise.py",),
    ),
    Fault(
        "of tied entries of a segment the last is taken", OPS + "segment.py",
        "scatter_reduce(-1, at, places, \"amin\")", "scatter_reduce(-1, at, places, \"amax\", include_self=False)",
        ("tests/ops/test_segment.py",),
    ),
    Fault(
        "an entry is picked where all are forbidden", OPS + "select.py",
        "    return torch.zeros_like(x).scatter(dim, index, (top > NEG_INF).to(x.dtype))",
        "    return torch.zeros_like(x).scatter(dim, index, 1.0)", ("tests/ops/test_select.py",),
    ),
    Fault(
        "blanks count as picks of the first entry", OPS + "select.py",
        "(picked >= 0).to(kind)", "torch.ones_like(picked, dtype=kind)", SMALL,
    ),
    Fault(
        "sparsemax keeps one entry too few", OPS + "simplex.py",
        "    size = (1 + rank * ranked > mass).sum(dim, keepdim=True).clamp_min(1)",
        "    size = (rank * ranked > mass).sum(dim, keepdim=True).clamp_min(1)", ("tests/ops/test_simplex.py",),
    ),
    Fault(
        "scratch is handed to two at once", OPS + "memory.py",
        "        piece = _spare.pop()\n", "        piece = _spare[-1]\n", ("tests/ops/test_memory.py",),
    ),
)
TABLES = (
    Fault(
        "reads of cells are not noted", PROGRAMS + "recorder.py",
        "                factor.affine.window(self._book.read)[...] = True\n", "", ("tests/programs/test_language.py",),
    ),
    Fault(
        "a view that names a cell twice may be written", PROGRAMS + "recorder.py",
        "        if written.any() or not affine.injective():\n", "        if written.any():\n",
        ("tests/programs/test_language.py",),
    ),
    Fault(
        "a cell is written again", PROGRAMS + "recorder.py",
        "        written[...] = True\n", "", ("tests/programs/test_language.py",),
    ),
    Fault(
        "statements of one level may read each other", PROGRAMS + "recorder.py",
        "        level = 1 + max((self._level(t) for t in terms), default=0)\n", "        level = 1\n", SMALL,
    ),
    Fault(
        "a loop steps by its first step", PROGRAMS + "schedule.py",
        "        if any(_difference(rows[at - p + q], rows[at + q]) != steps[q] for q in range(p)):\n"
        "            break\n", "",
        ("tests/programs/test_schedule.py", "tests/programs/test_random.py"),
    ),
    Fault(
        "rows that are unevenly spaced are merged", PROGRAMS + "schedule.py",
        "            if last and (len(last) == 1 or _difference(last[-1], row) == _difference(last[0], last[1])):\n",
        "            if last:\n",
        ("tests/programs/test_schedule.py", "tests/programs/test_random.py"),
    ),
    Fault(
        "a dim turned around begins one cell too far", PROGRAMS + "schedule.py",
        "w.offset + w.strides[d] * (w.sizes[d] - 1)", "w.offset + w.strides[d] * w.sizes[d]",
        ("tests/programs/test_schedule.py", "tests/programs/test_random.py"),
    ),
    Fault(
        "a field that the answer reads counts as read once", PROGRAMS + "program.py",
        "            out.append(i not in answered and _covers(reads, shape))\n",
        "            out.append(_covers(reads, shape))\n",
        ("tests/programs/test_language.py",),
    ),
    Fault(
        "the last cell of the longest derivation is not counted", PROGRAMS + "derivations.py",
        "    return 1 + _answer_size(program, ", "    return _answer_size(program, ", SMALL,
    ),
    Fault(
        "alternatives of a later term are read at the first one's cells", PROGRAMS + "derivations.py",
        "            term.append(np.full(t.size, i))\n", "            term.append(np.full(t.size, 0))\n", SMALL,
    ),
    Fault(
        "two lengths index the first side", PROGRAMS + "affine.py",
        "                per_length.append((k.side, k.shift, stride))\n",
        "                per_length.append((0, k.shift, stride))\n",
        (CONTRACT, "-k", "lengths and (alignment or warping or affine)"),
    ),
)
DERIVATIVES = (
    Fault(
        "a covariance has no gradient in its vector", EXECUTORS + "differentiable.py",
        "        again = call(operators.curvature, fields, lengths, charts, weight, _filled(bent, fields), *run)[1:]\n",
        "        pass\n", ("tests/inference/test_autograd.py",),
    ),
    Fault(
        "a third order is a wrong number", EXECUTORS + "differentiable.py",
        "    if _any(bent) and _any([needs[0], needs[3]]):\n", "    if not fields:\n",
        ("tests/inference/test_autograd.py",),
    ),
    Fault(
        "forward mode leaves out how the incoming gradient moves", EXECUTORS + "differentiable.py",
        "        moved = [a + b for a, b in zip(moved, slopes, strict=True)] if moved else slopes\n",
        "        moved = moved or slopes\n", ("tests/inference/test_autograd.py", "tests/inference/test_transforms.py"),
    ),
    Fault(
        "a field that is not laid out as it is read", EXECUTORS + "operators.py",
        "    return out.contiguous() if out.numel() else", "    return out if out.numel() else",
        ("tests/inference/test_autograd.py", "tests/executors/test_eager.py"),
    ),
)
TREE_KERNELS = (
    Fault(
        "the one arc of a single root is spent twice", KERNELS + "elimination/reference.py",
        "            rooted = rooted | lonely\n", "",
        ("tests/structures/test_exhaustive.py", "-k", "test_thousands and arborescence"),
    ),
    Fault(
        "arcs past the length are there", KERNELS + "elimination/reference.py",
        "    return torch.where(none | ~(real[:, :, None] & real[:, None, :]), NEG_INF, w.double())",
        "    return torch.where(none, NEG_INF, w.double())", (CONTRACT, "-k", "arborescence or spanning"),
    ),
    Fault(
        "what goes through a vertex stays with the arc", KERNELS + "elimination/reference.py",
        "        through = rest * step.via\n        rest -= through\n        leaf",
        "        through = rest * step.via\n        leaf", TREES,
    ),
    Fault(
        "the slope of a share is the share", KERNELS + "elimination/reference.py",
        "step.via * (1 - step.via) * change", "step.via * change", TREES,
    ),
    Fault(
        "draws of trees may close a cycle", KERNELS + "elimination/lifting.py",
        "    logits = torch.where(reached, step.log_heads[instance], NEG_INF)\n",
        "    logits = step.log_heads[instance].clone()\n", (CONTRACT, "-k", "arborescence or spanning"),
    ),
    Fault(
        "a structure that was found is found again", KERNELS + "subspaces.py",
        "        barred = own | (self.barred & (place[:, None] == self.first[..., None]))\n",
        "        barred = own & (self.barred & (place[:, None] == self.first[..., None]))\n",
        (CONTRACT, "-k", "arborescence or spanning or matching"),
    ),
    Fault(
        "what stands before the first difference is free", KERNELS + "subspaces.py",
        "        forbidden = (before & ~own) | (at & self.barred[..., None])\n",
        "        forbidden = at & self.barred[..., None]\n",
        (CONTRACT, "-k", "arborescence or spanning or matching"),
    ),
    Fault(
        "the entered component keeps the arc it took", KERNELS + "branching/reference.py",
        "        head = torch.where(entered, head, r.head)\n", "        head = r.head\n",
        ("tests/kernels/test_branching.py", *TREES),
    ),
)
