"""Losses of structured outputs, each `(structure, log_potentials, target, ...) -> (*batch,)`."""

from semiring_struct.losses.fenchel_young import (
    EuclideanMaximum,
    FenchelYoung,
    Maximum,
    SemiringMaximum,
    fenchel_young,
)
from semiring_struct.losses.likelihood import hinge, nll, perceptron
from semiring_struct.losses.risk import risk

__all__ = [
    "EuclideanMaximum", "FenchelYoung", "Maximum", "SemiringMaximum", "fenchel_young", "hinge", "nll", "perceptron",
    "risk",
]  # fmt: skip
