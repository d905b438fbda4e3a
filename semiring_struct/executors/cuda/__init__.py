"""The CUDA machine: any program, from its table, in two kernels compiled by Triton (it comes with torch for CUDA)."""

from semiring_struct.executors.cuda.machine import Cuda

__all__ = ["Cuda"]
