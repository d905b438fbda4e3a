"""Sums over all spanning arborescences by subtraction-free elimination of vertices: totals, gradients, draws."""

from semiring_struct.kernels.elimination.differentiable import log_trees, log_trees_and_arcs
from semiring_struct.kernels.elimination.lifting import drawn_heads

__all__ = ["drawn_heads", "log_trees", "log_trees_and_arcs"]
