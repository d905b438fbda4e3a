"""Perfect matchings of best score, and the k best."""

from semiring_struct.kernels.assignment.solver import best_columns, k_best_columns

__all__ = ["best_columns", "k_best_columns"]
