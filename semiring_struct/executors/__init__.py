"""Machines that run any program from its affine table, and the seam at which one is chosen."""

from semiring_struct.executors.cpu import Cpu
from semiring_struct.executors.cuda import Cuda
from semiring_struct.executors.differentiable import curvature, generic, total, total_and_gradient
from semiring_struct.executors.eager import Eager
from semiring_struct.executors.machine import (
    Code,
    Form,
    Grow,
    Job,
    Machine,
    NotFiniteError,
    Paths,
    choose,
    not_finite,
    offer,
)
from semiring_struct.executors.operators import quiet
from semiring_struct.executors.walks import best, distinct, draws, k_best, listed

offer(Eager())
offer(Cpu())
offer(Cuda())

__all__ = [
    "Code", "Cpu", "Cuda", "Eager", "Form", "Grow", "Job", "Machine", "NotFiniteError", "Paths", "best", "choose",
    "curvature", "distinct", "draws", "generic", "k_best", "listed", "not_finite", "offer", "quiet", "total",
    "total_and_gradient",
]  # fmt: skip
