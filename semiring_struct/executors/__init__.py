"""Machines that run any program from its affine table, and the seam at which one is chosen."""

from semiring_struct.executors.differentiable import gradient, total
from semiring_struct.executors.eager import Eager, generic
from semiring_struct.executors.machine import Grow, Job, Machine, Paths, choose, offer
from semiring_struct.executors.operators import job_of, number_of

offer(Eager())

__all__ = [
    "Eager", "Grow", "Job", "Machine", "Paths", "choose", "generic", "gradient", "job_of", "number_of", "offer", "total",
]  # fmt: skip
