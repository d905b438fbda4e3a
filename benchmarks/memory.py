"""Peak memory of one call, in a process of its own, because torch's allocations pass by tracemalloc.

`python -m benchmarks.memory CASE QUERY CONTENDER THREADS` prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import resource
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import parse
from benchmarks.contenders import find
from semiring_struct.ops import release

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(case: str, query: str, contender: str, threads: int) -> dict[str, Any]:
    """`{"call_mb", "inputs_mb", "outputs_mb", "method"}`, or `{"error"}`; what the call held beyond its inputs."""
    command = [sys.executable, "-m", "benchmarks.memory", case, query, contender, str(threads)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with code {done.returncode}"]
        return {"error": last[0]}
    return json.loads(done.stdout.splitlines()[-1])


def _peak_and_now() -> tuple[float, float]:
    """High-water mark and current size of resident memory, MiB."""
    if not STATUS.exists():
        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        return peak, peak
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS"))  # type: ignore[return-value]


def _reset_peak() -> str:
    """Bring the high-water mark down to the current size, where the system can; returns how memory is measured."""
    try:
        RESET.write_text("5")
    except OSError:
        return "growth of ru_maxrss"
    return "VmHWM after a reset, less VmRSS before"


def _give_back() -> None:
    """Hand freed memory back to the system, which we and C libraries otherwise keep for later."""
    release()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _megabytes(value: Any) -> float:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size() / (1 << 20)
    return sum(map(_megabytes, value)) if isinstance(value, tuple | list) else 0.0


def main(arguments: list[str]) -> None:
    """Run the query once, so that its code is loaded, hand the memory of that back, then measure it."""
    name, query, contender, threads = arguments
    torch.set_num_threads(int(threads))
    warnings.simplefilter("ignore")
    case, who = parse(name)[0], find(contender)
    potentials = case.potentials()
    run = who.prepare(case, query, potentials)
    if run is None:
        raise ValueError(f"{contender} does not offer {query} of {name}")
    run.call()
    _give_back()
    method = _reset_peak()
    before = _peak_and_now()[0 if "ru_maxrss" in method else 1]
    out = run.call()
    held = max(_peak_and_now()[0] - before, 0.0)
    sizes = {"inputs_mb": _megabytes(potentials), "outputs_mb": _megabytes(out)}
    print(json.dumps({"call_mb": round(held, 2), **{k: round(v, 2) for k, v in sizes.items()}, "method": method}))


if __name__ == "__main__":
    main(sys.argv[1:])
