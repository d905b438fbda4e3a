"""Real text without a download: the standard library's own source files, split by file."""

from __future__ import annotations

import ast
import random
import sysconfig
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path

# Tests and tables would swamp the split; installed packages would make it depend on the environment.
SKIPPED_FOLDERS = {"test", "tests", "idle_test", "encodings", "pydoc_data", "site-packages", "dist-packages"}
SMALLEST, LARGEST = 2_000, 80_000  # bytes: enough to be a sample of a style, not so much as to be the whole sample


@dataclass(frozen=True)
class SourceFile:
    """One file that this Python can parse: its path inside the library, its text and its syntax tree."""

    name: str
    text: str
    tree: ast.Module


@dataclass(frozen=True)
class Corpus:
    """Files to learn from and files to be judged on; no file is in both."""

    train: tuple[SourceFile, ...]
    test: tuple[SourceFile, ...]


def library_paths(root: Path) -> list[Path]:
    """Source files under `root` that are worth reading, in an order that no file system can change."""
    found = [
        path
        for path in root.rglob("*.py")
        if not SKIPPED_FOLDERS.intersection(path.relative_to(root).parts) and SMALLEST <= path.stat().st_size <= LARGEST
    ]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def read_file(path: Path, root: Path) -> SourceFile | None:
    """The file, or None where this Python itself cannot decode or parse it (templates, Python 2 leftovers)."""
    try:
        with tokenize.open(path) as stream:
            text = stream.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in the library's strings are not this demo's business
            tree = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return None
    return SourceFile(path.relative_to(root).as_posix(), text, tree)


def read_corpus(seed: int, train_files: int, test_files: int) -> Corpus:
    """Files drawn without replacement by `seed`; raises FileNotFoundError where Python came without its sources."""
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = library_paths(root)
    random.Random(seed).shuffle(paths)
    files: list[SourceFile] = []
    for path in paths:
        if len(files) == train_files + test_files:
            break
        if (file := read_file(path, root)) is not None:
            files.append(file)
    if len(files) < train_files + test_files:
        raise FileNotFoundError(
            f"the demo reads {train_files + test_files} source files of Python's standard library and found only "
            f"{len(files)} under {root}; run it with a Python that carries its sources."
        )
    return Corpus(tuple(files[:train_files]), tuple(files[train_files:]))
