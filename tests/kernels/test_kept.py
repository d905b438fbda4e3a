"""Compiled code is kept by content, and neither a damaged nor a missing place for it fails a query."""

from __future__ import annotations

import ast
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

numba = pytest.importorskip("numba")

from semiring_struct.errors import CacheWarning  # noqa: E402
from semiring_struct.kernels import entry, kept  # noqa: E402


def twice(x):
    return x + x


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for compiled code, in a process that has said nothing yet."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(kept, "_WARNED", [])
    _fresh()
    yield tmp_path / "kept"
    _fresh()


def _fresh() -> None:
    kept._room.cache_clear()
    kept._announce.cache_clear()


def made(content: str = "a", module: str = "semiring_struct.m") -> Any:
    """A compiled function as a new process would have it."""
    compiled: Any = numba.njit(twice)
    compiled._cache = kept.Kept(module, "twice", content)
    return compiled


def hits(compiled: Any) -> int:
    return sum(compiled.stats.cache_hits.values())


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_compiled_is_found_again(folder: Path):
    for k, found in enumerate((0, 1, 1)):
        compiled = made()
        assert compiled(k) == 2 * k and hits(compiled) == found
    assert [path.suffix for path in files(folder)] == [".nbc"] and not list(folder.rglob("*.tmp*"))


def test_signatures_contents_and_settings_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert made()(2) == 4 and made()(1.5) == 3.0 and made("b")(2) == 4
    monkeypatch.setattr(numba.config, "OPT", 1)
    assert hits(compiled := made()) == 0 and compiled(3) == 6
    assert len(files(folder)) == 4


def sealed(body: bytes) -> bytes:
    return kept.HEAD + kept.sha256(body).digest() + body


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:1000],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"x",
    "one byte": lambda data: data[:-1] + b"\0",
    "no pickle": lambda data: sealed(b"no pickle"),
    "another pickle": lambda data: sealed(b"N."),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_compiled_and_written_anew(folder: Path, kind: str):
    made()(1)
    path = files(folder)[0]
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[kind](whole))
    with pytest.warns(CacheWarning, match="damaged") as said:
        assert made()(4) == 8
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = made()
        assert compiled(5) == 10 and hits(compiled) == 1
    assert files(folder) == [path] and len(path.read_bytes()) == len(whole)


def test_two_damaged_files_are_one_warning(folder: Path):
    made()(1), made()(1.5)
    for path in files(folder):
        path.write_bytes(b"")
    with pytest.warns(CacheWarning) as said:
        assert made()(2) == 4 and made()(0.5) == 1.0
    assert len(said) == 1


def test_beginning_to_compile_is_said_once_with_the_place(folder: Path, caplog: pytest.LogCaptureFixture):
    made()(1), made("b")(1.5)
    assert len(caplog.records) == 1 and str(folder) in caplog.text and caplog.records[0].name == "semiring_struct"
    caplog.clear()
    _fresh()
    made()(1)
    assert not caplog.records  # it is found: nothing is compiled
    logging.getLogger("semiring_struct").setLevel("ERROR")
    try:
        made("c")(1)
    finally:
        logging.getLogger("semiring_struct").setLevel(logging.NOTSET)
    assert not caplog.records


def test_without_room_it_is_kept_among_temporary_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    folder.write_text("a file, where a folder would be")
    monkeypatch.setattr(kept.tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    with pytest.warns(CacheWarning, match="temporary files") as said:
        made()(1), made()(1.5)
    assert len(said) == 1 and str(tmp_path / "t") in caplog.text
    assert hits(compiled := made()) == 0 and compiled(1) == 2 and hits(compiled) == 1
    assert len(files(tmp_path / "t")) == 2


def test_without_any_room_each_process_compiles(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder.write_text("")
    monkeypatch.setattr(kept.tempfile, "tempdir", str(folder / "nowhere"))
    with pytest.warns(CacheWarning, match="not kept") as said:
        assert made()(1) == 2 and made()(1.5) == 3.0
    assert len(said) == 1
    assert hits(compiled := made()) == 0 and compiled(1) == 2 and hits(compiled) == 0


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners of files as POSIX has them")
def test_temporary_files_that_others_can_write_are_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept.tempfile, "tempdir", str(tmp_path))
    folder.write_text("")
    with pytest.warns(CacheWarning):
        made()(1)
    shared = kept._temporary()
    assert shared and len(files(shared)) == 1
    shared.chmod(0o777)
    _fresh()
    kept._WARNED.clear()
    with pytest.warns(CacheWarning, match="others can write"):
        assert hits(compiled := made()) == 0 and compiled(1) == 2
    assert hits(compiled) == 0


def test_code_that_numba_does_not_hand_out_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("numba.core.compiler.CompileResult._reduce")
    with pytest.warns(CacheWarning, match="not kept"):
        assert made()(1) == 2
    assert not files(folder)


def test_contents_not_met_for_longest_are_removed(folder: Path):
    for k in range(kept.CONTENTS + 3):
        made(str(k))(1)
        os.utime(folder / f"semiring_struct.m-{k}", (k, k))
    made(str(0), module="semiring_struct.other")(1)
    left = {path.name for path in folder.iterdir()}
    first = 3 - 1  # the newest was made before it was given its time
    assert left == {f"semiring_struct.m-{k}" for k in range(first, kept.CONTENTS + 3) if k != first} | {
        "semiring_struct.other-0"
    }


def test_many_write_at_once(folder: Path):
    code = numba.njit(twice)
    code(1)
    result = next(iter(code.overloads.values()))
    cache = kept.Kept("semiring_struct.m", "twice", "a")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cache.save_overload(result.signature, result), range(40)))
    assert len(files(folder)) == 1 and hits(compiled := made()) == 0 and compiled(3) == 6


@pytest.mark.parametrize("home", ["gone", "file"])
def test_a_user_without_a_home(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / home))
    assert kept.users() is None and not (tmp_path / "gone").exists()
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(kept.tempfile, "tempdir", str(tmp_path))
    with pytest.warns(CacheWarning, match="no home"):
        assert made()(1) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    if sys.platform.startswith("linux"):
        assert kept.users() == tmp_path / "x" / "semiring_struct"


def test_content_depends_on_text_and_not_on_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same library copied elsewhere, later, and with a line more here or there."""

    def contents() -> list[str]:
        entry._read.cache_clear(), entry._imported.cache_clear()
        modules = "executors.cpu.forward", "executors.cpu.lanes.passes", "kernels.branching.cpu"
        return [entry.content(f"semiring_struct.{module}", frozenset()) for module in modules]

    before, copy = contents(), tmp_path / "semiring_struct"
    assert len(set(before)) == 3
    shutil.copytree(entry.PACKAGE, copy, copy_function=shutil.copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(entry, "PACKAGE", copy)
    assert contents() == before
    for changed, same in (("machine.py", [True, True, True]), ("lanes/tiles.py", [True, False, True]),
                          ("native.py", [False, False, True])):  # fmt: skip
        with (copy / "executors/cpu" / changed).open("a") as file:
            file.write("\n")
        after = contents()
        assert [a == b for a, b in zip(before, after, strict=True)] == same
        before = after
    entry._read.cache_clear(), entry._imported.cache_clear()


def test_sources_are_those_compiled_together():
    found = entry.sources("semiring_struct.executors.cpu.lanes.passes")
    assert {"semiring_struct.executors.cpu.lanes.tiles", "semiring_struct.executors.cpu.columns"} <= found
    assert "semiring_struct.executors.cpu.machine" not in found
    assert entry.sources("semiring_struct.kernels.branching.cpu") == {"semiring_struct.kernels.branching.cpu"}


COMPILED = {"exact", "inner", "loose", "inlined", "entry", "njit", "overload"}


def marked(node: ast.FunctionDef) -> bool:
    """Whether a decorator of a function compiles it."""
    calls = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return bool(COMPILED & {d.id for d in calls if isinstance(d, ast.Name)})


@pytest.mark.parametrize("module", ["executors.cpu.lanes.passes", "executors.cpu.hops", "executors.cpu.ranks",
                                    "executors.cpu.dual", "executors.cpu.best", "kernels.elimination.cpu",
                                    "kernels.branching.cpu"])  # fmt: skip
def test_compiled_functions_name_nothing_from_beyond_their_sources(module: str):
    known, functions = entry.sources(f"semiring_struct.{module}"), 0
    for name in known:
        tree = ast.parse(entry._read(name))
        foreign = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("semiring_struct")
            for alias in node.names
            if not {node.module, f"{node.module}.{alias.name}"} & known
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and marked(node):
                functions += 1
                used = {n.id for part in node.body for n in ast.walk(part) if isinstance(n, ast.Name)}
                assert not used & foreign, f"{name}.{node.name}: {used & foreign}"
    assert functions
