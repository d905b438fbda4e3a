"""A process that has imported what tests need beside the library, and forks one that runs pytest for each order.

Orders come by line on standard input, `[root, [argument, ...]]`; the exit code of pytest and what it printed go out by
line, the code None where it took longer than SECONDS. Nothing of the library or of its tests is imported before a fork.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress

SECONDS = 900.0
NEEDED = ("torch", "torch._dynamo", "numba", "hypothesis", "scipy.optimize", "pytest")
ALREADY = "ignore::pytest.PytestAssertRewriteWarning"  # hypothesis has been imported, so its asserts are plain ones


def forked(root: str, arguments: list[str], printed: int) -> int:
    """Run pytest in a new process; its exit code, minus the signal that ended it."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        os.chdir(root)
        sys.path[:] = [root, *(p for p in sys.path if p and os.path.dirname(__file__) != p)]
        pytest = importlib.import_module("pytest")
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", ALREADY, *arguments])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))
    finally:
        os._exit(3)


def waited(child: int) -> int | None:
    """The exit code of a process, or None after ending it with all it started."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main() -> None:
    for name in NEEDED:
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        root, arguments = json.loads(line)
        with tempfile.TemporaryFile() as printed:
            code = waited(forked(root, arguments, printed.fileno()))
            printed.seek(0)
            said = printed.read().decode(errors="replace")
        sys.stdout.write(json.dumps([code, said]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
