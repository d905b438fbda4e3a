"""Every citation key that a docstring or a page uses is in the references, and every reference is cited."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = ROOT / "docs" / "references.md"
KEY = re.compile(r"\[([a-z]+(?:19|20)\d\d[a-z]*)\]")


def keys(path: Path) -> list[str]:
    return KEY.findall(path.read_text())


def test_keys_and_references_agree():
    listed = keys(REFERENCES)
    sources = [path for folder in ("semiring_struct", "examples") for path in (ROOT / folder).rglob("*.py")]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    cited = {key for path in [*sources, *pages] if path != REFERENCES for key in keys(path)}
    assert listed == sorted(set(listed)), "references are in order, each once"
    assert cited == set(listed)
