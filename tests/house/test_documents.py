"""README and docs: every code block runs and prints what is shown, every relative link leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import documents

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [path for place in ("*.md", "docs/**/*.md", "benchmarks/*.md") for path in sorted(ROOT.glob(place))]

named = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


@named
def test_blocks_run(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SEMIRING_STRUCT_EXECUTOR")
    documents.run(path)


@named
def test_links_lead_somewhere(path: Path):
    assert documents.broken_links(path) == []


def written(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_blocks_share_a_namespace(tmp_path: Path):
    documents.run(written(tmp_path, "```python\nx = 2\n```\nand\n```python\nprint(x)\n```\n\n```text\n2\n```\n"))


def test_marked_block_is_skipped(tmp_path: Path):
    documents.run(written(tmp_path, "<!-- no-run -->\n\n```python\nraise ValueError\n```\n"))


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```\n```text\n2\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\npass\n```\n```text\n1\n```\n",
        "```python\nprint(1)\n```\nwords between\n```text\n1\n```\n",
    ],
    ids=["other output", "output not shown", "shown but not printed", "not adjacent"],
)
def test_wrong_output_is_caught(tmp_path: Path, text: str):
    with pytest.raises(AssertionError, match=r"page\.md:2"):
        documents.run(written(tmp_path, text))


def test_errors_point_into_the_document(tmp_path: Path):
    with pytest.raises(ZeroDivisionError) as caught:
        documents.run(written(tmp_path, "words\n\n```python\n1 / 0\n```\n"))
    assert caught.traceback[-1].lineno == 3
    assert Path(caught.traceback[-1].path).name == "page.md"


def test_unclosed_fence_is_refused():
    with pytest.raises(ValueError, match="line 1: a fence that is never closed"):
        documents.fenced("```python\nx = 1\n")


def test_broken_link_is_found(tmp_path: Path):
    text = "[a](page.md#top) [b](missing.md) [c](https://example.org)"
    assert documents.broken_links(written(tmp_path, text)) == ["missing.md"]
