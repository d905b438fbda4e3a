"""Which method to use here: gradients of all of them, measured against the exact one."""

from semiring_struct.diagnostics.compare import GradientComparison, Row, compare_gradients
from semiring_struct.diagnostics.matrix import methods_table, why_not
from semiring_struct.diagnostics.measure import Moments, measure, truth
from semiring_struct.diagnostics.methods import METHODS, Method, of_event

__all__ = [
    "METHODS", "GradientComparison", "Method", "Moments", "Row", "compare_gradients", "measure", "methods_table",
    "of_event", "truth", "why_not",
]  # fmt: skip
