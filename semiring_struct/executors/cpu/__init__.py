"""The CPU machine: any program, from its table, in code compiled by numba (the extra `cpu`)."""

from semiring_struct.executors.cpu.machine import Cpu

__all__ = ["Cpu"]
