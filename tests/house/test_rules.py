"""The package and its tests keep the house rules, and each rule catches what it is for."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import rules

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "semiring_struct"
FILE_LINES, MEDIAN_LINES, STRUCTURE_LINES, GOLDEN_LINES = 400, 150, 120, 100

EVERYWHERE = [rules.star_imports]
IN_PACKAGE = [
    rules.data_attributes, rules.sentinels, rules.long_functions, rules.keyword_tunnels, rules.default_devices,
]  # fmt: skip
NOT_IN_TESTING = [rules.asserts, rules.host_syncs]

# What structures are made of; every other file of the room is a structure.
NO_STRUCTURES = {"base.py", "gaps.py", "heads.py", "kinds.py", "labels.py", "lengths.py", "natives.py", "rollout.py",
                 "settings.py", "shapes.py"}  # fmt: skip

# (file, rule) -> why the file may; a line here that nothing needs any more fails.
ALLOWED: dict[tuple[str, str], str] = {
    ("semiring_struct/executors/__init__.py", "names_only"): "offers the machines there are; these know no seam",
    ("semiring_struct/executors/eager/local.py", "sentinels"): "a finite number to subtract, so that -inf stays -inf",
}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def line_limit(path: Path) -> int:
    structure = path.is_relative_to(PACKAGE / "structures") and path.name not in NO_STRUCTURES
    return STRUCTURE_LINES if structure else FILE_LINES


def rules_for(path: Path) -> Iterator[rules.Rule]:
    yield from EVERYWHERE
    if not path.is_relative_to(PACKAGE):
        return
    yield from IN_PACKAGE
    room = path.relative_to(PACKAGE).parts[0]
    if room != "testing":
        yield from NOT_IN_TESTING
    if room not in ("testing", "ops"):
        yield rules.log_space
    if room not in ("testing", "executors"):  # no graph is traced there
        yield rules.unions_asked
    if path.name == "__init__.py":
        yield rules.names_only
    elif not path.name.startswith("_"):
        yield rules.docstrings


def findings(path: Path) -> Iterator[tuple[str, rules.Finding]]:
    source = path.read_text()
    tree = ast.parse(source)
    for rule in rules_for(path):
        yield from ((rule.__name__, found) for found in rule(tree))
    yield from (("unfinished", found) for found in rules.unfinished(source))


def test_sources_keep_the_rules():
    used, broken = set(), []
    for path in python_files("semiring_struct", "tests", "examples", "benchmarks"):
        name = path.relative_to(ROOT).as_posix()
        for rule, (line, what) in findings(path):
            used.add((name, rule))
            if (name, rule) not in ALLOWED:
                broken.append(f"{name}:{line}: {what} ({rule})")
    assert not broken, "\n".join(broken)
    assert used >= ALLOWED.keys(), f"exceptions nothing needs: {sorted(ALLOWED.keys() - used)}"


def test_files_are_small():
    paths = python_files("semiring_struct", "tests", "examples", "benchmarks")
    long = [f"{path.relative_to(ROOT)}: {lines_of(path)} lines" for path in paths if lines_of(path) > line_limit(path)]
    assert not long, "\n".join(long)
    assert statistics.median(map(lines_of, python_files("semiring_struct"))) <= MEDIAN_LINES


def test_folders_are_nouns_of_the_theory():
    folders = {part for path in python_files("semiring_struct") for part in path.relative_to(PACKAGE).parts[:-1]}
    assert not folders & {"core", "common", "helpers", "utils", "util", "misc", "base"}


def test_golden_files_are_small():
    text = [path for path in (ROOT / "tests").rglob("*") if path.suffix in {".json", ".txt", ".csv", ".md"}]
    long = [f"{path.relative_to(ROOT)}: {lines_of(path)} lines" for path in text if lines_of(path) > GOLDEN_LINES]
    assert not long, "\n".join(long)


CAUGHT = {
    rules.star_imports: "from torch import *",
    rules.asserts: "def f(x):\n    assert x",
    rules.data_attributes: "x.data[0] = 1",
    rules.host_syncs: "x.sum().item()",
    rules.unions_asked: "isinstance(x, int | float)",
    rules.keyword_tunnels: "def f(**options): ...",
    rules.default_devices: "torch.zeros(3)",
    rules.docstrings: "class Thing: ...",
    rules.names_only: "import torch\nx = 1",
    rules.long_functions: "def f():\n" + "    x = 1\n" * 60,
}


@pytest.mark.parametrize("rule", CAUGHT, ids=lambda rule: rule.__name__)
def test_rule_catches(rule: rules.Rule):
    assert list(rule(ast.parse(CAUGHT[rule])))


@pytest.mark.parametrize("source", ["x = -1e9", "x = -100000", "x = -(10**9)", "x = torch.finfo(x.dtype).min"])
def test_sentinels_are_caught(source: str):
    assert list(rules.sentinels(ast.parse(source)))


@pytest.mark.parametrize("source", ["x = -1", "x = -1e4", "x = -inf", "x = torch.finfo(x.dtype).tiny", "x = -1e400"])
def test_sentinels_let_pass(source: str):
    assert not list(rules.sentinels(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["torch.logsumexp(x, 0)", "x.log_softmax(-1)", "from torch import logaddexp", "F.log_softmax(x, 0)"]
)
def test_log_space_is_caught(source: str):
    assert list(rules.log_space(ast.parse(source)))


def test_log_space_of_ops_passes():
    source = "from semiring_struct.ops import logspace, logsumexp\nlogspace.log_softmax(x, 0)\nlogsumexp(x, 0)"
    assert not list(rules.log_space(ast.parse(source)))


def test_unfinished_is_caught():
    assert list(rules.unfinished("x = 1  # TO" + "DO: more\n"))


@pytest.mark.parametrize("source", ["torch.arange(n)", "gumbel(x.shape)", "f(torch.tensor([1]))", "new_seed(g)"])
def test_default_devices_are_caught(source: str):
    source = f"from semiring_struct.ops import gumbel, new_seed\n{source}"
    assert list(rules.default_devices(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ["torch.arange(n, device=x.device)", "gumbel(c)", "from semiring_struct.ops import new_seed\nnew_seed(g, device)",
      "torch.rand(3, **like)", "x.new_zeros(3)", "torch.zeros_like(x)",
     "def label_code(self, sizes):\n    return torch.arange(3)"],
)  # fmt: skip
def test_default_devices_let_pass(source: str):
    assert not list(rules.default_devices(ast.parse(source)))
