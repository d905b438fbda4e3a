"""Instances side by side, one in each lane of a vector: for programs whose rows do not fill vectors by themselves."""

from semiring_struct.executors.cpu.lanes.run import fit, gradient, soft, total, total_and_gradient, visit

__all__ = ["fit", "gradient", "soft", "total", "total_and_gradient", "visit"]
