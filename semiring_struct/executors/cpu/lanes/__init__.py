"""Instances side by side, one in each lane of a vector: for programs whose rows do not fill vectors by themselves."""

from semiring_struct.executors.cpu.lanes.run import by_instance, fit, gradient, soft, total, total_and_gradient

__all__ = ["by_instance", "fit", "gradient", "soft", "total", "total_and_gradient"]
