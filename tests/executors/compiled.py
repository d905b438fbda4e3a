"""The CUDA machine's kernels compiled for sm_90 without a GPU; prints registers, stack and shared bytes of each."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from semiring_struct.executors.cuda import columns as at
from semiring_struct.executors.cuda import forward, reverse
from semiring_struct.executors.cuda.encode import SIDE
from semiring_struct.executors.cuda.machine import warps

TARGET = GPUTarget("cuda", 90, 32)
DUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
VALUES = {"soft": at.SOFT, "most": at.MOST, "tsallis": at.TSALLIS}
NOISY = {"draw": at.DRAW, "gumbel": at.GUMBEL, "hard": at.HARD}
KERNELS: dict[str, tuple[Any, dict[str, int]]] = {
    "forward": (forward.forward, VALUES),
    "tangent": (forward.tangent, VALUES),
    "reverse": (reverse.reverse, VALUES | NOISY),
    "dual": (reverse.dual, {k: v for k, v in (VALUES | NOISY).items() if k not in ("most", "draw")}),
}
WIDE = {"charts", "answer", "scratch", "rule"}
CONSTANTS = {"LAYOUT": at.LAYOUT, "A": 32, "B": 32, "PULL_A": 32, "PULL_B": 32, "CHAIN": 0, "PRODUCT": 0}


def usage(name: str, kind: str, rule: str, chain: int = 0, product: int = 0) -> tuple[int, int, int]:
    """Registers, stack bytes and shared bytes of a kernel for fields of a kind, with tiles for chains and products."""
    kernel, rules = KERNELS[name]
    constants = CONSTANTS | {"KIND": rules[rule], "CHAIN": chain, "PRODUCT": product}
    constants = {c: v for c, v in constants.items() if c in kernel.arg_names}
    signature = {a: "*fp64" if a in WIDE else "*i64" if a in ("code", "lengths", "key") else f"*{kind}"
                 for a in kernel.arg_names} | dict.fromkeys(constants, "constexpr")  # fmt: skip
    shared = warps(kernel, rules[rule], chain, product)
    options = {"num_warps": shared, "num_stages": 1, "maxnreg": 255, "enable_fp_fusion": True}
    made = triton.compile(ASTSource(kernel, signature, constexprs=constants), target=TARGET, options=options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(made.asm["cubin"])
        said = subprocess.run([DUMP, "-res-usage", path], capture_output=True, text=True, check=True)
    found = re.search(r"REG:(\d+) STACK:(\d+)", said.stdout + said.stderr)
    if found is None:
        raise RuntimeError(f"no resource usage in {said.stdout!r}")
    return int(found[1]), int(found[2]), made.metadata.shared


if __name__ == "__main__":
    names = [f"{k}-{kind}-{rule}" for k, (_, rules) in KERNELS.items() for kind in ("fp32", "fp64") for rule in rules]
    for side in ("16", "64"):
        names += [f"{k}-{kind}-{rule}-{side}" for k in ("forward", "reverse") for kind in ("fp32", "fp64")
                  for rule in ("soft", "most")]  # fmt: skip
    names += [f"{k}-{kind}-soft-0-{SIDE}" for k in ("forward", "reverse") for kind in ("fp32", "fp64")]
    for words in sys.argv[1:] if sys.argv[1:] != ["all"] else names:
        name, kind, rule, *side = words.split("-")
        sys.stdout.write(" ".join(map(str, (words, *usage(name, kind, rule, *map(int, side))))) + "\n")
        sys.stdout.flush()
