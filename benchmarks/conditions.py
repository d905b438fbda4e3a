"""Under what conditions the numbers were taken: machine, threads, versions, load."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import MODULES, version

LIBRARIES = ("torch", "numpy", "numba", *MODULES)
CPUINFO = Path("/proc/cpuinfo")


def conditions() -> dict[str, Any]:
    """A dictionary for the JSON file."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "executor": os.environ.get("SEMIRING_STRUCT_EXECUTOR", "chosen by the library"),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    if CPUINFO.exists():
        lines = CPUINFO.read_text().splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if named:
            return named[0]
    return platform.processor() or "unknown"
