"""House rules as functions from source text to findings `(line, what is wrong)`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator

Finding = tuple[int, str]
Rule = Callable[[ast.Module], Iterator[Finding]]

SENTINEL = 1e5
FUNCTION_LINES = 60
LOG_SPACE = {"logsumexp", "logaddexp", "logaddexp2", "logcumsumexp", "log_softmax"}
HOST_SYNC = {"item", "tolist", "nonzero"}
UNFINISHED = re.compile("TO" + "DO|FIX" + "ME|X" + "XX")


def star_imports(tree: ast.Module) -> Iterator[Finding]:
    """`import *` hides where a name comes from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names):
            yield node.lineno, "import *"


def asserts(tree: ast.Module) -> Iterator[Finding]:
    """`assert` vanishes under `python -O`, so it can not guard a public door."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert; raise an error that says what came and what was needed"


def data_attributes(tree: ast.Module) -> Iterator[Finding]:
    """`.data` writes behind autograd's back."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "data":
            yield node.lineno, ".data"


def sentinels(tree: ast.Module) -> Iterator[Finding]:
    """The ⊕-zero is true -inf; a large negative number in its place is a finite weight."""
    for node in ast.walk(tree):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _large(node.operand):
            yield node.lineno, "a large negative number; use NEG_INF"
        if isinstance(node, ast.Attribute) and node.attr == "min" and _called(node.value) in {"finfo", "iinfo"}:
            yield node.lineno, "the smallest finite number; use NEG_INF"


def _large(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return isinstance(node.left, ast.Constant) and node.left.value == 10
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and SENTINEL <= node.value < 1e400


def _called(node: ast.expr) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)


def host_syncs(tree: ast.Module) -> Iterator[Finding]:
    """A query's path waits for no device: nothing there brings a tensor's values to Python."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in HOST_SYNC:
            yield node.lineno, f".{node.func.attr}()"


def log_space(tree: ast.Module) -> Iterator[Finding]:
    """torch's log-space sums have NaN gradients where every entry is -inf; ours are in `ops`."""
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("semiring_struct"))
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            for alias in node.names:
                if alias.name in LOG_SPACE:
                    yield node.lineno, f"torch's {alias.name}; use the one in ops"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOG_SPACE:
            base = node.func.value
            if not (isinstance(base, ast.Name) and base.id in ours):
                yield node.lineno, f"torch's {node.func.attr}; use the one in ops"


def unions_asked(tree: ast.Module) -> Iterator[Finding]:
    """The compiler of torch 2.7 does not trace `isinstance(x, A | B)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "isinstance" and isinstance(node.args[1], ast.BinOp):
            yield node.lineno, "isinstance of a union; use a tuple of classes"


def long_functions(tree: ast.Module) -> Iterator[Finding]:
    """A function fits on a screen."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {lines} lines, at most {FUNCTION_LINES} fit"


def keyword_tunnels(tree: ast.Module) -> Iterator[Finding]:
    """`**kwargs` hides a signature."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None:
            yield node.lineno, f"{node.name} takes **{node.args.kwarg.arg}"


def docstrings(tree: ast.Module) -> Iterator[Finding]:
    """Every public function and class of a module says what it is."""
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and not ast.get_docstring(node) and not _is_overload(node):
            yield node.lineno, f"public {node.name} has no docstring"


def _is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return any(getattr(d, "id", getattr(d, "attr", None)) == "overload" for d in node.decorator_list)


def names_only(tree: ast.Module) -> Iterator[Finding]:
    """An `__init__` holds names: a docstring, imports, and dunder assignments."""
    for node in tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        dunder = isinstance(node, ast.Assign) and all(
            isinstance(t, ast.Name) and t.id.startswith("__") and t.id.endswith("__") for t in node.targets
        )
        if not (docstring or dunder or isinstance(node, ast.Import | ast.ImportFrom)):
            yield node.lineno, "more than names in __init__"


def unfinished(source: str) -> Iterator[Finding]:
    """A comment that promises work belongs in an issue."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) and UNFINISHED.search(token.string):
            yield token.start[0], token.string.strip()[:60]


FACTORIES = {
    "arange", "as_tensor", "asarray", "empty", "empty_strided", "eye", "full", "linspace", "logspace", "normal", "ones",
    "rand", "randint", "randn", "randperm", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros",
}  # fmt: skip
NOISE = {"exponential", "gumbel", "new_seed", "uniform"}


def default_devices(tree: ast.Module) -> Iterator[Finding]:
    """A tensor is made where its neighbours are: the default device is the user's, and may be any.

    Label codes are made under the device that they are wanted on.
    """
    ours = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("semiring_struct.ops")
        for alias in node.names
    }
    yield from _without_device(tree, ours & NOISE)


def _without_device(node: ast.AST, noise: set[str]) -> Iterator[Finding]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef) and child.name.endswith("_code"):
            continue
        if isinstance(child, ast.Call) and not any(k.arg in ("device", None) for k in child.keywords):
            made = isinstance(child.func, ast.Attribute) and getattr(child.func.value, "id", None) == "torch"
            drawn = getattr(child.func, "id", None) in noise and len(child.args) < 2
            if drawn or (made and _called(child) in FACTORIES):
                yield child.lineno, f"{_called(child)} on the default device; say which"
        yield from _without_device(child, noise)
