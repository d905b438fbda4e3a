"""The rooms' one-way imports hold, and a room that breaks them is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter in a process of its own: it looks packages up by importing their names."""
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, env=environment, capture_output=True, text=True)


def planted(folder: Path, files: dict[str, str]) -> Path:
    """A package with this project's contracts, every declared room empty, and `files` put in."""
    config = (ROOT / "pyproject.toml").read_text()
    layers = tomllib.loads(config)["tool"]["importlinter"]["contracts"][0]["layers"]
    (folder / "pyproject.toml").write_text(config)
    package = folder / "semiring_struct"
    rooms = [name.strip(" ()") for layer in layers for name in re.split(r"[:|]", layer)]
    for path in ["__init__.py", *(f"{room}/__init__.py" for room in rooms)]:
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).touch()
    for path, source in files.items():
        (package / path).parent.mkdir(exist_ok=True)
        (package / path).write_text(source)
    return folder


def test_imports_go_one_way():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_empty_rooms_pass(tmp_path: Path):
    result = lint(planted(tmp_path, {}))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"plumbing/__init__.py": ""}, "plumbing"),
        ({"semirings/log.py": "import semiring_struct.programs"}, "semirings"),
        ({"structures/chain.py": "import semiring_struct.semirings"}, "structures"),
        ({"structures/chain.py": "from semiring_struct import executors"}, "structures"),
        ({"__init__.py": "from semiring_struct import inference", "ops/a.py": "import semiring_struct"}, "ops"),
    ],
    ids=["undeclared folder", "upward import", "names a semiring", "names an executor", "through the top"],
)
def test_broken_rooms_are_refused(tmp_path: Path, files: dict[str, str], complaint: str):
    result = lint(planted(tmp_path, files))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
    assert complaint in result.stdout
