"""The core of the suite in the places its users have: `python -m tests.matrix`, or `make matrix`.

What a machine does not allow is left out, and the table says why. The environments that it makes, `.venv-oldest` and
`.venv-3.x`, are kept for the next run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = "@tests/core.txt"
WORKERS = "-n", "auto", "--maxprocesses", "8", "--dist", "worksteal"
PYTHONS = ("3.11", "3.12", "3.13")
GIGABYTES = 15  # free on the disk before an environment with its own torch is made


class LeftOut(Exception):
    """A place that this machine does not have; the message says why."""


@dataclass(frozen=True)
class Place:
    """An interpreter, what its environment has besides the caller's, and further words for pytest."""

    python: str
    environment: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()


@contextmanager
def as_it_is() -> Iterator[Place]:
    """The environment that this runs in."""
    yield Place(sys.executable)


@contextmanager
def without_numba() -> Iterator[Place]:
    """A Python that finds no numba, in its own processes too."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text("import sys\nsys.modules['numba'] = None\n")
        yield Place(sys.executable, {"PYTHONPATH": folder})


@contextmanager
def read_only_home() -> Iterator[Place]:
    """No home and no cache folder that could be written; compiled code is to go among temporary files."""
    if os.name != "posix":
        raise LeftOut("there is no /dev/null to make a home of")
    with tempfile.TemporaryDirectory() as folder:
        homeless = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": "", "TMPDIR": folder}
        yield Place(sys.executable, homeless | {"PYTHONDONTWRITEBYTECODE": "1"})


@contextmanager
def oldest_dependencies() -> Iterator[Place]:
    """The lower bounds of all that the package requires, extras but Triton included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cpu"], *extras["solve"], *extras["plot"]]
    floors = [requirement.replace(">=", "==") for requirement in wanted]
    python = _environment(".venv-oldest", sys.executable, [*floors, "--group", "oldest"])
    yield Place(python, words=("-W", "ignore::DeprecationWarning"))  # of packages that are newer than their users


@contextmanager
def another_python() -> Iterator[Place]:
    """The newest other Python there is, with the pinned dependencies."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version in reversed([v for v in PYTHONS if v != here]):
        known = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        found = shutil.which(f"python{version}")
        if found := next((p for p in (found, *map(str, reversed(known))) if p and _works(p)), None):
            wanted = ["-c", "constraints.txt", "-e", ".", "--group", "test"]
            python = _environment(f".venv-{version}", found, wanted)
            yield Place(python, words=("-W", "ignore:Guards may run slower:RuntimeWarning"))  # torch, of 3.13.0
            return
    raise LeftOut(f"of Python {', '.join(PYTHONS)} there is only {here}")


def _works(python: str) -> bool:
    """A command that a version manager puts in the place of a Python may have none behind it."""
    return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0


def _environment(name: str, python: str, wanted: list[str]) -> str:
    """The interpreter of an environment with what is wanted in it; made anew where that has changed."""
    folder = ROOT / name
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, said = folder / "wanted.txt", "\n".join([python, *wanted, (ROOT / "constraints.txt").read_text()])
    if stamp.is_file() and stamp.read_text() == said:
        return str(inside)
    if shutil.disk_usage(ROOT).free < GIGABYTES << 30:
        raise LeftOut(f"an environment of its own takes up to {GIGABYTES} GB, and the disk has less")
    pip = [str(inside), "-m", "pip", "install", "--quiet"]
    try:
        _ran([python, "-m", "venv", "--clear", str(folder)])
        _ran([*pip, "-c", "constraints.txt", "--upgrade", "pip"])
        _ran([*pip, *wanted])
    except subprocess.CalledProcessError as error:
        raise LeftOut(f"its packages cannot be had: {error.stderr.strip().splitlines()[-1]}") from error
    stamp.write_text(said)
    return str(inside)


def _ran(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


PLACES: dict[str, Callable] = {
    "as it is": as_it_is,
    "without numba": without_numba,
    "read-only home": read_only_home,
    "oldest dependencies": oldest_dependencies,
    "another Python": another_python,
}


def run(place: Place) -> tuple[bool, list[str]]:
    """Whether the core of the suite passes in a place; pytest's closing line, and what failed."""
    environment = {k: v for k, v in (os.environ | place.environment).items() if v}
    command = [place.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *WORKERS, *place.words, CORE]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = ran.stdout.splitlines()
    closing = [line for line in lines if re.search(r"(passed|failed|error).* in [\d.]+s", line)]
    if not closing:
        return False, ["no verdict", *(lines + ran.stderr.splitlines())[-20:]]
    return ran.returncode == 0, [closing[-1].strip("= "), *(x for x in lines if x.startswith(("FAILED", "ERROR")))]


def main() -> int:
    """Print a line for each place; the exit status says whether all that were run passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="*", help=f"of {', '.join(PLACES)}; all if none is named")
    chosen = parser.parse_args().places or list(PLACES)
    status = 0
    for name in chosen:
        started = time.monotonic()
        try:
            with PLACES[name]() as place:
                passed, said = run(place)
                found = subprocess.run([place.python, "-c", VERSIONS], capture_output=True, text=True, check=True)
            said[1:1], status = found.stdout.splitlines(), status or int(not passed)
        except LeftOut as reason:
            said = [f"left out: {reason}"]
        sys.stdout.write(f"{name:20} {time.monotonic() - started:5.0f} s  " + "\n    ".join(said) + "\n")
        sys.stdout.flush()
    return status


VERSIONS = """
import sys
from importlib.metadata import version
print("Python", sys.version.split()[0], *(f"{name} {version(name)}" for name in ("torch", "numpy", "opt_einsum")))
"""

if __name__ == "__main__":
    sys.exit(main())
