"""Every pair of torch's transforms, nested either way, on a query of each kind: the right number or a named error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level, pop_dynamic_layer_stack_and_undo_to_depth

import semiring_struct as ss
from tests.inference.pairs import COMPILED, DERIVATIVES, PLAIN, SEED, TRANSFORMS, UNTRACKED, Function, weights
from tests.structures.families import arborescence, chain, ctc, matching, spans

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have an deterministic implementation"),
]

TREE, ARCS, CTC, MATCHING = ss.SpanTree(), ss.Arborescence(), ctc(4, 3, (1, 2)).structure, ss.Matching()
PHI, NODES, FRAMES, PAIRS = (f.draw((2,), seed=30) for f in (spans(3), arborescence(3), ctc(4, 3, (1, 2)), matching(3)))
LINK = chain(3, 2).draw((1,), seed=31).transition
EMISSION = chain(3, 2).draw((2,), seed=32).emission
VALUES = spans(3).draw((1,), seed=34)
EVENTS, TAGS = ss.argmax(TREE, spans(3).draw((1,), seed=33)), torch.tensor([[0, 1, 1]])


def chained(x: Tensor) -> ss.ChainPotentials:
    return ss.ChainPotentials(x, LINK)


KINDS: dict[str, tuple[Function, Tensor]] = {
    "log_partition": (lambda x: ss.log_partition(TREE, x), PHI),
    "log_partition, two fields": (lambda x: ss.log_partition(ss_chain, chained(x)), EMISSION),
    "log_partition, native": (lambda x: ss.log_partition(ARCS, x), NODES),
    "log_partition, prepared": (lambda x: ss.log_partition(CTC, x), FRAMES),
    "marginals": (lambda x: ss.marginals(TREE, x), PHI),
    "marginals, native": (lambda x: ss.marginals(ARCS, x), NODES),
    "max_score": (lambda x: ss.max_score(TREE, x), PHI),
    "entropy": (lambda x: ss.entropy(TREE, x), PHI),
    "expectation": (lambda x: ss.expectation(TREE, x, VALUES), PHI),
    "log_prob of labels": (lambda x: ss.log_prob(ss_chain, chained(x), TAGS), EMISSION),
    "log_prob of events": (lambda x: ss.log_prob(TREE, x, EVENTS), PHI),
    "evaluate": (lambda x: ss.evaluate(TREE, ss.SparsemaxSemiring(), x), PHI),
    "evaluate, no reduction": (lambda x: ss.evaluate(TREE, ENTROPY, x), PHI),
    "argmax": (lambda x: ss.argmax(TREE, x), PHI),
    "topk": (lambda x: ss.topk(MATCHING, x, 2).scores, PAIRS),
    "sample": (lambda x: ss.sample(TREE, x, 3), PHI),
    "sinkhorn": (lambda x: ss.relaxations.sinkhorn(x, iterations=3).mean, PAIRS),
    "sparsemap": (lambda x: ss.relaxations.sparsemap(TREE, x).mean, PHI),
    "straight_through": (lambda x: ss.surrogates.straight_through(TREE, x), PHI),
}
DECODED = ("argmax", "topk", "sample")  # constants, whatever differentiates them
ss_chain, ENTROPY = ss.LinearChain(), ss.EntropySemiring()

BY_NAME = re.compile(
    "third derivatives|gradient is stated|stated gradient|first order only|which a compiled graph cannot hold|"
    "vmap cannot|randomness|inference tensor|Nested forward mode|"
    "implement the jvp function"
)


@dataclass(frozen=True)
class Outcome:
    """What came of a function: a value, or what was raised."""

    value: Tensor | None
    error: str = ""


def outcome(f: Function, x: Tensor) -> Outcome:
    """Of a transform that failed half way nothing is left behind, as torch would leave it."""
    torch.manual_seed(SEED)
    grad = torch.is_grad_enabled()
    clear()
    try:
        return Outcome(f(x).detach().clone())
    except Exception as error:  # what torch raises is of many types
        return Outcome(None, f"{type(error).__name__}: {error}")
    finally:
        torch.set_grad_enabled(grad)
        torch._dynamo.reset()
        clear()


def clear() -> None:
    while maybe_current_level():
        pop_dynamic_layer_stack_and_undo_to_depth(0)
    torch.autograd.forward_ad._current_level = -1
    for key in ("PythonDispatcher", "Python", "PythonTLSSnapshot"):
        torch._C._dispatch_tls_set_dispatch_key_included(key, False)


def same(one: Outcome, other: Outcome) -> bool:
    if one.value is None or other.value is None:
        return False
    return one.value.shape == other.value.shape and torch.allclose(one.value, other.value, rtol=1e-6, atol=2e-7)


def plain(outer: str, inner: str, f: Function, x: Tensor, stops: bool) -> Outcome:
    """By loops and a tape; `stops` says whether a derivative is 0 where `inner` switches gradients off."""
    if inner not in UNTRACKED or outer not in DERIVATIVES:
        return outcome(PLAIN[outer](PLAIN[inner](f)), x)
    if not stops:
        return outcome(PLAIN[outer](f), x)
    return outcome(lambda x: torch.zeros_like(f(x) if outer == "jvp" else x), x)


def control(x: Tensor) -> Tensor:
    """What torch makes of a pair is seen on functions of its own."""
    return x.sin().exp().sum((-1, -2))


@cache
def of_torch(outer: str, inner: str) -> tuple[bool, bool]:
    """Whether torch can nest this pair at all, and whether a derivative is 0 where gradients are switched off."""
    found = outcome(TRANSFORMS[outer](TRANSFORMS[inner](control)), PHI)
    for stops in (True, False):
        if same(found, plain(outer, inner, control, PHI, stops)):
            return True, stops
    return False, True


def fault(kind: str, outer: str, inner: str) -> str | None:
    """What is wrong with a pair, or None."""
    f, x = KINDS[kind]
    able, stops = of_torch(outer, inner)
    found = outcome(TRANSFORMS[outer](TRANSFORMS[inner](f)), x)
    wanted = plain(outer, inner, f, x, stops)
    if kind in DECODED and wanted.value is not None and {outer, inner} & {*DERIVATIVES}:
        wanted = Outcome(torch.zeros_like(wanted.value))
    if same(found, wanted):
        return None
    where = f"{outer}({inner}({kind}))"
    if found.value is None:
        named = BY_NAME.search(found.error) is not None
        return None if named or not able else f"{where} raised {found.error[:300]}"
    if not able and same(found, plain(outer, inner, f, x, not stops)):
        return None
    return f"{where} gave {found.value.flatten()[:4]}, not {wanted}"


TABLE = Path(__file__).resolve().parents[2] / "docs" / "transforms.md"
COLUMNS = {name: name for name in TRANSFORMS if name not in (*COMPILED, "no_grad")} | {"compile": "compile eager"}
EAGER = tuple(name for name in TRANSFORMS if name not in COMPILED)


def check(kind: str, pairs: Iterable[tuple[str, str]]) -> None:
    faults = [found for outer, inner in pairs if (found := fault(kind, outer, inner))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs(kind: str):
    """A third of them for each kind, so that three kinds cover all."""
    turn = list(KINDS).index(kind)
    check(kind, [(a, b) for i, a in enumerate(EAGER) for j, b in enumerate(EAGER) if (i + j + turn) % 3 == 0])


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs(kind: str):
    check(kind, product(EAGER, EAGER))


def test_pairs_that_torch_cannot_nest():
    """If torch learns one of these, the pairs above say whether we do."""
    reverse = ("grad", "jacrev", "hessian")
    cannot = {(o, i) for o in EAGER for i in EAGER if not of_torch(o, i)[0]}
    assert cannot == {pair for name in reverse for pair in ((name, "checkpoint"), ("checkpoint", name))}


def test_pairs_with_a_compiled_graph():
    compile_ = "compile aot_eager"
    check("log_partition", [*((compile_, name) for name in EAGER), *((name, compile_) for name in EAGER)])


@pytest.mark.exhaustive
@pytest.mark.skipif(os.name != "posix", reason="processes are forked")
@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs_with_a_compiled_graph(kind: str):
    names = [*COMPILED, *EAGER]
    pairs = [(kind, a, b) for a in names for b in names if a in COMPILED or b in COMPILED]
    # each in a process of its own: a transform that a graph refuses leaves more behind in torch than `clear` knows of
    with get_context("fork").Pool(1, maxtasksperchild=1) as alone:
        faults = [found for found in alone.starmap(fault, pairs, chunksize=1) if found]
    assert not faults, "\n".join(faults)


def test_the_table_in_the_docs():
    """Its rows are kinds of queries, its columns transforms: a name for what comes of each."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    assert head[1:] == list(COLUMNS)
    assert [row[0] for row in rows] == list(KINDS)
    wrong = [
        f"{kind}, {name}: {cell} is written, {found}"
        for kind, *cells in rows
        for name, cell in zip(head[1:], cells, strict=True)
        if (found := in_words(kind, COLUMNS[name])) != cell
    ]
    assert not wrong, "\n".join(wrong)


def in_words(kind: str, name: str) -> str:
    f, x = KINDS[kind]
    found = outcome(TRANSFORMS[name](f), x)
    if found.value is None:
        return "raises" if BY_NAME.search(found.error) else found.error
    if not same(found, outcome(PLAIN[name](f), x)) and kind not in DECODED:
        return "wrong"
    return "0" if name in DERIVATIVES and not found.value.any() else "yes"


def test_a_stated_gradient_in_a_compiled_graph():
    f, x = KINDS["straight_through"]
    slopes = []
    for run in (f, torch.compile(f, backend="aot_eager", fullgraph=True)):
        point = x.clone().requires_grad_()
        value = run(point)
        slopes.append(torch.autograd.grad((value * weights(value)).sum(), point)[0])
    torch._dynamo.reset()
    torch.testing.assert_close(*slopes)
