"""Faults in structures, their labels, and in queries."""

from __future__ import annotations

from tests.faults.plant import Fault

STRUCTURES, INFERENCE = "semiring_struct/structures/", "semiring_struct/inference/"
CONTRACT = "tests/structures/test_contract.py"
LABELS = "tests/structures/test_labels.py"
SMALL = (CONTRACT, "-k", "chain-3-2 or spans-4 or heads-4 or segments-3 or affine or grammar or subset")

LABEL_CODES = (
    Fault(
        "a slot without a part holds 0", STRUCTURES + "labels.py",
        "        return self.labels(out[:, : self.size] + BLANK)\n",
        "        return self.labels((out[:, : self.size] + BLANK).clamp(min=0))\n", (LABELS,),
    ),
    Fault(
        "a part of a tied field is looked up at its place", STRUCTURES + "labels.py",
        "            out = out + used // below % run * step\n", "            out = out + used // below % run\n",
        (LABELS,),
    ),
    Fault(
        "items out of order are a set", STRUCTURES + "labels.py",
        "    bad = (labels < BLANK) | (labels >= lengths) | torch.nn.functional.pad(unsorted, (1, 0))\n",
        "    bad = (labels < BLANK) | (labels >= lengths)\n", (LABELS, "tests/structures/test_sets.py"),
    ),
    Fault(
        "a tag past the length is used", STRUCTURES + "linear_chain.py",
        "where_used(kept[:, 1:], pairs)", "where_used(kept[:, :-1], pairs)", (LABELS,),
    ),
    Fault(
        "labels of heads may name a second root", STRUCTURES + "heads.py",
        "        several = (words & (labels == 0)).sum(-1) > 1\n",
        "        several = (words & (labels == 0)).sum(-1) > 2\n",
        (LABELS, "tests/structures/test_spanning.py"),
    ),
    Fault(
        "a repeated symbol needs no blank between", STRUCTURES + "ctc.py",
        "targets[..., 1:] != targets[..., :-1]", "targets[..., 1:] >= 0",
        (CONTRACT, "-k", "ctc"),
    ),
    Fault(
        "the blank used in a draw is symbol 0", STRUCTURES + "ctc.py",
        "blank * v + self.blank, entry", "blank * v, entry", (CONTRACT, "-k", "ctc"),
    ),
    Fault(
        "a set larger than its instance is found", STRUCTURES + "subset.py",
        "        feasible = (item > NEG_INF).sum(-1) >= self.k\n", "        feasible = (item > NEG_INF).sum(-1) >= 0\n",
        ("tests/structures/test_sets.py", CONTRACT, "-k", "subset"),
    ),
    Fault(
        "items of negative score are taken into a budget", STRUCTURES + "subset.py",
        "torch.where(value > 0, order, -1)", "order", ("tests/structures/test_sets.py", CONTRACT, "-k", "subset"),
    ),
    Fault(
        "columns of an alignment may go backwards", STRUCTURES + "gaps.py",
        "    back = rows[:, 1:] & rows[:, :-1] & (column[:, 1:] < after[:, :-1])\n",
        "    back = rows[:, 1:] & rows[:, :-1] & (column[:, 1:] < 0)\n",
        (LABELS, "tests/structures/test_alignments.py"),
    ),
    Fault(
        "two rows of a matching may share a column", STRUCTURES + "matching.py",
        "            (twice.sum((1, 2)) > lengths[:, 0], ", "            (twice.sum((1, 2)) < 0, ",
        (LABELS, "tests/structures/test_matching.py"),
    ),
    Fault(
        "a length past the end is taken", STRUCTURES + "lengths.py",
        "    refuse_where((x < 0) | (x > n), ", "    refuse_where(x < 0, ",
        ("tests/inference/test_errors.py", "tests/inference/test_refusals.py"),
    ),
    Fault(
        "lengths of the second side bound the first", STRUCTURES + "lengths.py",
        "    return torch.stack(columns, -1)\n", "    return torch.stack(columns[::-1], -1)\n",
        (CONTRACT, "-k", "lengths and (alignment or warping or affine)"),
    ),
)
QUERIES = (
    Fault(
        "the entropy of nothing is not 0", INFERENCE + "partition.py",
        "    return torch.where(log_z == -torch.inf, 0.0, log_z - own)\n", "    return log_z - own\n", (CONTRACT, "-k",
        "several_batch_dims"),
    ),
    Fault(
        "a part of mean 0 and score minus infinity makes an expectation NaN", INFERENCE + "partition.py",
        "torch.where(weight == 0, 0.0, weight * torch.where(weight == 0, 0.0, v))", "weight * v",
        (CONTRACT, "-k", "every_query"),
    ),
    Fault(
        "cross-entropy leaves out the second normaliser", INFERENCE + "partition.py",
        "    return (_log_normaliser(two) - mean).to(", "    return (-mean).to(",
        (*SMALL, "tests/distributions/test_divergence.py"),
    ),
    Fault(
        "divergence from q is taken with the sign of the entropy", INFERENCE + "partition.py",
        "    return (cross - _entropy(one, log_z, mean)).to(", "    return (cross + _entropy(one, log_z, mean)).to(",
        (*SMALL, "tests/distributions/test_divergence.py"),
    ),
    Fault(
        "Rényi entropy scales log Z by 1", INFERENCE + "partition.py",
        "lengths) - alpha * log_z) / (1 - alpha)", "lengths) - log_z) / (1 - alpha)", SMALL,
    ),
    Fault(
        "marginals cannot be differentiated", INFERENCE + "partition.py",
        "    return back(torch.ones_like(value))\n",
        "    return tuple(b.detach() for b in back(torch.ones_like(value)))\n",
        ("tests/inference/test_kinds.py", "tests/structures/test_spanning.py", "tests/inference/test_autograd.py"),
    ),
    Fault(
        "an event that is no structure has a probability", INFERENCE + "probability.py",
        "        value = torch.where(contains(door.structure, log_potentials, event, lengths), value, NEG_INF)\n", "",
        SMALL,
    ),
    Fault(
        "the first derivation over the parts of an event is taken for it", INFERENCE + "probability.py",
        "        several = not door.structure.uses_parts_once and not all(tied) and meets(",
        "        several = False and meets(", ("tests/structures/test_grammars.py", "tests/programs/test_unshipped.py"),
    ),
    Fault(
        "blanks add the first entry to a score", INFERENCE + "oracles.py",
        "torch.where(mine < 0, 0.0, value).sum(-1).T.flatten()", "value.sum(-1).T.flatten()",
        (CONTRACT, "-k", "arborescence or spanning or matching"),
    ),
    Fault(
        "blanks among the k best are valid", INFERENCE + "decode.py",
        "result(door, found, code, (k,)), scores > NEG_INF)", "result(door, found, code, (k,)), scores >= NEG_INF)",
        SMALL,
    ),
    Fault(
        "an instance without a structure is decoded", INFERENCE + "decode.py",
        "    if known_all(feasible):\n        return\n", "    if len(feasible) >= 0:\n        return\n",
        ("tests/inference/test_errors.py", "tests/inference/test_refusals.py"),
    ),
    Fault(
        "labels of tied fields are written at the stored places", INFERENCE + "decode.py",
        "        f if part is None else f.expand(f.shape[0], *size)\n", "        f\n",
        (LABELS, CONTRACT, "-k", "tied"),
    ),
    Fault(
        "half precision is summed in half precision", INFERENCE + "door.py",
        "    fields = tuple(f if f.dtype == kind else f.to(kind) for f in fields)\n", "",
        ("tests/inference/test_numerics.py", LABELS),
    ),
    Fault(
        "a derivative through prepare loses its batch", INFERENCE + "door.py",
        "        return (torch.func.vmap(back) if lead else back)(tuple(slopes))\n",
        "        return back(tuple(s[0] if lead else s for s in slopes))\n",
        ("tests/inference/test_prepare.py", CONTRACT, "-k", "ctc or prepare or accepted"),
    ),
    Fault(
        "the answer of a batch is laid out by sample last", INFERENCE + "door.py",
        "        return x.reshape((*lead, *self.batch, *x.shape[1:])) if lead or len(self.batch) != 1 else x\n",
        "        return x.reshape((*lead, *self.batch[::-1], *x.shape[1:])) if lead or len(self.batch) != 1 else x\n",
        (CONTRACT, "-k", "batch_dims and (chain or spans)"),
    ),
)
