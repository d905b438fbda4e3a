"""Machines that run any program from its affine table, and the seam at which one is chosen."""

from semiring_struct.executors.differentiable import curvature, generic, total, total_and_gradient
from semiring_struct.executors.eager import Eager
from semiring_struct.executors.growth import by_existence, by_gumbel
from semiring_struct.executors.machine import Grow, Job, Machine, Paths, choose, offer
from semiring_struct.executors.walks import beam, best, draws, k_best, steps

offer(Eager())

__all__ = [
    "Eager", "Grow", "Job", "Machine", "Paths", "beam", "best", "by_existence", "by_gumbel", "choose", "curvature",
    "draws", "generic", "k_best", "offer", "steps", "total", "total_and_gradient",
]  # fmt: skip
