"""What the package declares agrees with what it imports, pins and ships."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
MODULE_OF = {
    "POT": "ot",
    "pytest-xdist": "xdist",
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


def _answers(index: str) -> bool:
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/opt-einsum/", timeout=10) as page:
            return page.status == 200
    except OSError:
        return False


def test_pins_resolve_without_wheels_of_ones_own():
    """All extras and groups at once, which holds every subset of them, from an index alone and as pip would."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | {"PIP_CONFIG_FILE": os.devnull}
    settings |= {k: os.environ[k] for k in ("PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY") if k in os.environ}
    if not _answers(settings.get("PIP_INDEX_URL", "https://pypi.org/simple")):
        pytest.skip("no package index answers")
    wanted = [str(r) for r in RUNTIME] + [r for extra in EXTRAS.values() for r in extra]
    wanted += [str(r) for group in PROJECT["dependency-groups"] for r in requirements(group)]
    # metadata only: from the index where it has it, else from the end of the wheel
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--use-feature=fast-deps",
               "-c", str(ROOT / "constraints.txt"), *wanted]  # fmt: skip
    try:
        said = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the package index takes longer than five minutes")
    assert said.returncode == 0, said.stderr
    assert re.search(r"Would install .*\btorch-", said.stdout)


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
