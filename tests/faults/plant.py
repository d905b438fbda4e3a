"""Plant a fault in a copy of the tree, and run the tests that should notice it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.nursery import SECONDS

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("semiring_struct", "tests", "pyproject.toml")
NURSERY = Path(__file__).with_name("nursery.py")
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
UNIMPORTABLE = re.compile(r"errors? during collection|ImportError while loading conftest|found no collectors")


@dataclass(frozen=True)
class Fault:
    """One mistake: in `file`, the text `old`, which stands there once, reads `new`; `tests` are pytest's arguments."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def compiled(self) -> bool:
        """Whether compiled code changes, so that some of it is compiled anew."""
        return "/cpu/" in self.file or self.file.endswith("/cpu.py")


@dataclass(frozen=True)
class Verdict:
    """What came of a fault: `noticed`, `survived`, or `unsettled`, which says that the run told nothing."""

    fault: Fault
    what: str
    by: str
    seconds: float


def trouble(fault: Fault, root: Path = ROOT) -> str | None:
    """Why a fault can not be planted, or None."""
    path = root / fault.file
    if not path.is_file():
        return f"{fault.name}: there is no {fault.file}"
    times = path.read_text().count(fault.old)
    if times != 1:
        return f"{fault.name}: its text stands {times} times in {fault.file}, not once"
    return f"{fault.name}: it changes nothing" if fault.old == fault.new else None


class Copy:
    """A copy of the tree, and a cache of its own for compiled code, in a folder that is to be removed."""

    def __init__(self, folder: Path, seed: Path | None = None):
        """`seed` is a folder of compiled code to begin with."""
        self.root, self.cache = folder / "tree", folder / "cache"
        leave = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in COPIED:
            source, target = ROOT / name, self.root / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=leave)
            else:
                shutil.copy2(source, target)
        if seed is not None and seed.is_dir():
            shutil.copytree(seed, self.cache)
        self.cache.mkdir(exist_ok=True)
        self._nursery: subprocess.Popen[str] | None = None
        self._clean: dict[str, bool] = {}  # tests that have failed, and whether they pass without a fault

    def verdict(self, fault: Fault) -> Verdict:
        """Plant, run, take the fault out again, and see that the test that failed passes without it."""
        reason = trouble(fault, self.root)
        if reason is not None:
            return Verdict(fault, "unsettled", reason, 0.0)
        path, start = self.root / fault.file, time.monotonic()
        before = path.read_text()
        path.write_text(before.replace(fault.old, fault.new))
        try:
            what, by = self._run(fault.tests)
        finally:
            path.write_text(before)
        seconds = time.monotonic() - start
        if what == "noticed" and "::" in by:
            if by not in self._clean:
                self._clean[by] = self._run((by,))[0] == "survived"
            if not self._clean[by]:
                what, by = "unsettled", f"{by} fails without the fault too"
        return Verdict(fault, what, by, seconds)

    def _run(self, tests: tuple[str, ...]) -> tuple[str, str]:
        """What a run of tests says, and the first test that failed."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SEMIRING_STRUCT", "PYTEST"))}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(self.cache)}
        order = json.dumps([str(self.root), list(tests)]) + "\n"
        if self._nursery is None or self._nursery.poll() is not None:
            self._nursery = subprocess.Popen(
                [sys.executable, str(NURSERY)], cwd=self.root, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(order)
        self._nursery.stdin.flush()
        code, said = json.loads(self._nursery.stdout.readline())
        return judge(code, said) if code is not None else ("unsettled", f"longer than {SECONDS:.0f} s")

    def close(self) -> None:
        """End the process that runs are forked from."""
        if self._nursery is not None:
            self._nursery.communicate()
            self._nursery = None


def judge(code: int, said: str) -> tuple[str, str]:
    """A verdict from pytest's exit code and output: only a test that ran and failed, or crashed, has noticed."""
    if code == 0:
        return "survived", ""
    first = FAILED.search(said)
    if code < 0 and not UNIMPORTABLE.search(said):
        return "noticed", f"the process ended by signal {-code}"
    if code == 1 and first is not None:
        return "noticed", first[1]
    return "unsettled", f"pytest ended with {code}: {said.strip().splitlines()[-1] if said.strip() else ''}"
