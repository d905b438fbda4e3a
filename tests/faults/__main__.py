"""Plant faults and print a table: `python -m tests.faults [NAMES ...] [--jobs N] [--table FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from tests.faults.faults import FAULTS
from tests.faults.plant import ROOT, Copy, Fault, Verdict

NOTICED = 0.95  # of the faults, at least
TABLE = ROOT / "docs" / "developer" / "planted-faults.md"


class Notes:
    """Verdicts kept in a file, each for as long as its fault and the file that it changes stay as they are."""

    def __init__(self, path: Path | None):
        self._path, self._lock = path, threading.Lock()
        self._known: dict[str, list] = json.loads(path.read_text()) if path is not None and path.is_file() else {}

    @staticmethod
    def _key(fault: Fault) -> str:
        return sha256(repr((fault, (ROOT / fault.file).read_text())).encode()).hexdigest()

    def find(self, fault: Fault) -> Verdict | None:
        known = self._known.get(self._key(fault))
        return None if known is None else Verdict(fault, *known)

    def add(self, verdict: Verdict) -> None:
        if self._path is not None and verdict.what != "unsettled":
            with self._lock:
                self._known[self._key(verdict.fault)] = [verdict.what, verdict.by, verdict.seconds]
                self._path.write_text(json.dumps(self._known, indent=1))


def verdicts(
    faults: Sequence[Fault], jobs: int = 1, seed: Path | None = None, notes: Path | None = None
) -> list[Verdict]:
    """All verdicts, in the order of the faults; each of `jobs` threads has a copy of the tree."""
    kept = Notes(notes)
    own, copies = threading.local(), list[Copy]()
    with tempfile.TemporaryDirectory(prefix="planted-") as folder, ThreadPoolExecutor(jobs) as pool, tqdm(
        total=len(faults), unit="fault"
    ) as bar:

        def settle(fault: Fault) -> Verdict:
            if (known := kept.find(fault)) is not None:
                bar.update()
                return known
            if not hasattr(own, "copy"):
                own.copy = Copy(Path(tempfile.mkdtemp(dir=folder)), seed)
                copies.append(own.copy)
            found = own.copy.verdict(fault)
            bar.write(f"{found.what:9s} {fault.name}: {found.by} ({found.seconds:.0f} s)", file=sys.stderr)
            bar.update()
            kept.add(found)
            return found

        try:
            return list(pool.map(settle, faults))
        finally:
            for copy in copies:
                copy.close()


def share(found: Sequence[Verdict]) -> float:
    """The share that was noticed."""
    return sum(v.what == "noticed" for v in found) / max(len(found), 1)


def table(found: Sequence[Verdict]) -> str:
    """The report, as a page of Markdown."""
    noticed = sum(v.what == "noticed" for v in found)
    rest = [v for v in found if v.what != "noticed"]
    names = ", ".join(f"`{v.fault.name}`" for v in rest)
    lines = [
        "# Planted faults",
        "",
        "Each line is a mistake that was planted alone in a copy of the library, and the first test that failed.",
        "`tests/faults/` holds the faults, and says which tests are run for each. A run that can not import the",
        "library, or that runs out of time, counts for nothing. This page is written by",
        "`python -m tests.faults --table docs/developer/planted-faults.md`.",
        "",
        f"{noticed} of {len(found)} are noticed ({100 * share(found):.1f} %)."
        + (f" Not noticed: {names}." if rest else ""),
        "",
        "| fault | in | verdict | by | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for v in found:
        by = v.by.removeprefix("tests/").replace("|", "\\|") or "-"
        where = v.fault.file.removeprefix("semiring_struct/")
        lines.append(f"| {v.fault.name} | {where} | {v.what} | {by} | {v.seconds:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="faults by name, or by a part of it; all if none are given")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--table", type=Path, help="write the report here")
    parser.add_argument("--seed", type=Path, help="a folder of compiled code (NUMBA_CACHE_DIR) to begin with")
    parser.add_argument("--notes", type=Path, help="a file that keeps verdicts, for a run in several parts")
    given = parser.parse_args()
    chosen = [f for f in FAULTS if not given.names or any(name in f.name for name in given.names)]
    found = verdicts(sorted(chosen, key=lambda f: f.compiled), given.jobs, given.seed, given.notes)
    page = table(found)
    if given.table is not None:
        given.table.write_text(page)
    print(page)  # noqa: T201, reason: what a command says
    return 0 if share(found) >= NOTICED else 1


if __name__ == "__main__":
    sys.exit(main())
