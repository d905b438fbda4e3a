"""Spanning arborescences of best score, the k best, and draws without replacement."""

from semiring_struct.kernels.branching.decoder import best_heads
from semiring_struct.kernels.branching.ranked import distinct_trees, k_best_trees

__all__ = ["best_heads", "distinct_trees", "k_best_trees"]
