"""What the package declares agrees with what it imports, pins and ships."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
MODULE_OF = {
    "POT": "ot",
    "pytorch-crf": "torchcrf",
    "biopython": "Bio",
    "scikit-learn": "sklearn",
    "import-linter": "importlinter",
}
OWN = {"semiring_struct", "tests", "examples", "benchmarks"}


def requirements(group: str) -> list[Requirement]:
    """The requirements of a dependency group, included groups unfolded."""
    found = []
    for entry in PROJECT["dependency-groups"][group]:
        found += requirements(entry["include-group"]) if isinstance(entry, dict) else [Requirement(entry)]
    return found


def modules(wanted: list[Requirement]) -> set[str]:
    return {MODULE_OF.get(r.name, r.name.replace("-", "_")) for r in wanted}


def imported(folder: str) -> set[str]:
    """Top-level names of the third-party packages that the files of a folder import."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - OWN


RUNTIME = [Requirement(r) for r in PROJECT["project"]["dependencies"]]


def test_package_imports_what_it_depends_on():
    optional = [Requirement(r) for extra in EXTRAS.values() for r in extra]
    assert imported("semiring_struct") <= modules(RUNTIME + optional)


def test_tests_examples_and_benchmarks_import_what_their_groups_hold():
    assert imported("tests") <= modules(RUNTIME + requirements("test"))
    plot = [Requirement(r) for r in EXTRAS["plot"]]
    assert imported("examples") <= modules(RUNTIME + plot + requirements("demo"))
    assert imported("benchmarks") <= modules(RUNTIME + plot + requirements("bench"))


def test_every_requirement_is_pinned_within_its_range():
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#"))
    pins = {r.name: next(iter(r.specifier)) for r in map(Requirement, lines)}
    assert all(pin.operator == "==" for pin in pins.values())
    wanted = RUNTIME + [Requirement(r) for extra in EXTRAS.values() for r in extra]
    wanted += [r for group in PROJECT["dependency-groups"] for r in requirements(group)]
    for requirement in wanted:
        assert requirement.name in pins, f"{requirement.name} has no pin"
        assert pins[requirement.name].version in requirement.specifier, f"{requirement} excludes its pin"


def test_versions_agree():
    version = PROJECT["project"]["version"]
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert citation
    assert citation[1] == version
    assert released[:1] in ([], [version])


def test_types_are_shipped():
    assert (ROOT / "semiring_struct" / "py.typed").is_file()
