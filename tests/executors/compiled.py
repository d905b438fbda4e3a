"""The CUDA machine's kernels compiled for sm_90 without a GPU; prints registers and stack bytes of each."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from semiring_struct.executors.cuda import kernels

TARGET = GPUTarget("cuda", 90, 32)
DUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


def usage(name: str, kind: str, most: bool) -> tuple[int, int, int]:
    """Registers, stack bytes and shared bytes of a kernel for fields of a kind."""
    fields = f"*{kind}"
    constants = {"MOST": most, "A": 32, "B": 32}
    signature = {"code": "*i64", "fields": fields, "lengths": "*i64", "charts": "*fp64"}
    if name == "forward":
        signature |= {"value": "*fp64"}
    else:
        signature |= {"seed": fields, "scratch": "*fp64", "adjoint": fields, "slopes": fields}
        constants |= {"PULL_A": 32, "PULL_B": 32}
    signature |= dict.fromkeys(constants, "constexpr")
    options = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True}
    source = ASTSource(getattr(kernels, name), signature, constexprs=constants)
    made = triton.compile(source, target=TARGET, options=options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(made.asm["cubin"])
        said = subprocess.run([DUMP, "-res-usage", path], capture_output=True, text=True, check=True)
    found = re.search(r"REG:(\d+) STACK:(\d+)", said.stdout + said.stderr)
    if found is None:
        raise RuntimeError(f"no resource usage in {said.stdout!r}")
    return int(found[1]), int(found[2]), made.metadata.shared


if __name__ == "__main__":
    for words in sys.argv[1:]:
        name, kind, reduction = words.split("-")
        sys.stdout.write(" ".join(map(str, usage(name, kind, reduction == "max"))) + "\n")
