"""Interpretations of a program: one algebra per file."""

from .base import OneNumber, Reduction, Semiring
from .boolean import BooleanSemiring
from .counting import CountingSemiring
from .entropy import EntropySemiring
from .expectation import ExpectationSemiring
from .gumbel import GumbelSoftmaxReduction, GumbelSoftmaxSemiring
from .kbest import KBestSemiring
from .log import LogReduction, LogSemiring
from .max import MaxReduction, MaxSemiring
from .real import RealSemiring
from .sample import SampleReduction, SampleSemiring
from .smooth import (
    EntmaxReduction,
    EntmaxSemiring,
    SoftmaxReduction,
    SoftmaxSemiring,
    SparsemaxReduction,
    SparsemaxSemiring,
)

__all__ = [
    "BooleanSemiring",
    "CountingSemiring",
    "EntmaxReduction",
    "EntmaxSemiring",
    "EntropySemiring",
    "ExpectationSemiring",
    "GumbelSoftmaxReduction",
    "GumbelSoftmaxSemiring",
    "KBestSemiring",
    "LogReduction",
    "LogSemiring",
    "MaxReduction",
    "MaxSemiring",
    "OneNumber",
    "RealSemiring",
    "Reduction",
    "SampleReduction",
    "SampleSemiring",
    "Semiring",
    "SoftmaxReduction",
    "SoftmaxSemiring",
    "SparsemaxReduction",
    "SparsemaxSemiring",
]
