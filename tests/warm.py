"""Compiles the CPU machine's loops where they are not kept yet: `python -m tests.warm`, one process for each dtype.

Two workers of a test run would otherwise compile the same functions at the same time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import torch

import semiring_struct as ss

DTYPES = "float32", "float64"


def compile_all(dtype: torch.dtype) -> None:
    """A query of each kind, small; a batch of four by lanes, one instance by rows."""
    chain, span, tree = ss.LinearChain(), ss.SpanTree(), ss.Arborescence()
    four = ss.ChainPotentials(torch.zeros(4, 3, 2, dtype=dtype), torch.zeros(4, 2, 2, 2, dtype=dtype))
    one = ss.ChainPotentials(*(field[:1] for field in four))
    spans = torch.zeros(1, 4, 4, dtype=dtype)
    for phi in (four, one):
        ss.log_partition(chain, phi)
        ss.marginals(chain, phi)
    ss.covariance_vp(chain, one, one)
    for structure, phi in ((chain, four), (span, spans)):
        ss.argmax(structure, phi, labels=True)
        ss.topk(structure, phi, 2)
        ss.sample(structure, phi, (2,), labels=True)
        ss.sample(structure, phi)
    ss.marginals(tree, spans)
    ss.argmax(tree, spans)
    ss.topk(tree, spans, 2)


def main() -> None:
    """Both dtypes side by side."""
    if find_spec("numba") is None:
        return
    if len(sys.argv) > 1:
        torch.set_num_threads(1)
        compile_all(getattr(torch, sys.argv[1]))
        return
    environment = {k: v for k, v in os.environ.items() if k != "SEMIRING_STRUCT_EXECUTOR"}
    running = [subprocess.Popen([sys.executable, "-m", "tests.warm", dtype], env=environment) for dtype in DTYPES]
    sys.exit(max(process.wait() for process in running))


if __name__ == "__main__":
    main()
