"""Machines that run any program from its affine table, and the seam at which one is chosen."""

from semiring_struct.executors.differentiable import curvature, generic, gradient, total
from semiring_struct.executors.eager import Eager
from semiring_struct.executors.machine import Grow, Job, Machine, Paths, choose, offer
from semiring_struct.executors.operators import forward

offer(Eager())

__all__ = [
    "Eager", "Grow", "Job", "Machine", "Paths", "choose", "curvature", "forward", "generic", "gradient", "offer",
    "total",
]  # fmt: skip
