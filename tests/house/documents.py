"""Reads Markdown: its code blocks, what they should print, and its links."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\s*$")
NO_RUN = "<!-- no-run -->"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: `line` is that of its first line of code, `skipped` that a no-run mark stands before it."""

    language: str
    line: int
    code: str
    skipped: bool
    expected: str | None = None


def fenced(text: str) -> list[Block]:
    """The ```python blocks of a document, each with the text of a ```text block that follows it directly."""
    blocks: list[Block] = []
    lines = text.splitlines()
    before, i = "", 0
    adjacent = False
    while i < len(lines):
        opening = FENCE.match(lines[i])
        if not opening:
            if lines[i].strip():
                before, adjacent = lines[i].strip(), False
            i += 1
            continue
        end = next((j for j in range(i + 1, len(lines)) if lines[j].rstrip() == "```"), None)
        if end is None:
            raise ValueError(f"line {i + 1}: a fence that is never closed")
        code = "".join(line + "\n" for line in lines[i + 1 : end])
        if opening[1] == "python":
            blocks.append(Block("python", i + 2, code, before == NO_RUN))
        elif opening[1] == "text" and adjacent:
            last = blocks[-1]
            blocks[-1] = Block(last.language, last.line, last.code, last.skipped, code)
        before, adjacent = "", opening[1] == "python"
        i = end + 1
    return blocks


def run(path: Path) -> None:
    """Executes a document's blocks in order in one namespace; what one prints must be what the document shows."""
    namespace: dict[str, object] = {"__name__": path.stem}
    for block in fenced(path.read_text()):
        if block.skipped:
            continue
        # Blank lines ahead make tracebacks point into the document.
        program = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, namespace)
        output, shown = printed.getvalue(), block.expected or ""
        where = f"{path.name}:{block.line}"
        assert output == shown, f"{where} printed\n{output}\nbut the document shows\n{shown or 'nothing'}"


def broken_links(path: Path) -> list[str]:
    """Relative links of a document that lead nowhere."""
    targets = (link.split("#")[0] for link in LINK.findall(path.read_text()) if "://" not in link)
    return [target for target in targets if target and not (path.parent / target).exists()]
