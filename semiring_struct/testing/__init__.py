"""Checks that the library's own tests run, for users' own semirings, programs, structures and samplers."""

from semiring_struct.testing.estimator import check_estimator
from semiring_struct.testing.kernel import check_kernel
from semiring_struct.testing.program import check_program
from semiring_struct.testing.semiring import check_semiring
from semiring_struct.testing.statistics import check_sampler
from semiring_struct.testing.structure import check_structure
from semiring_struct.testing.trace import check_trace

__all__ = [
    "check_estimator", "check_kernel", "check_program", "check_sampler", "check_semiring", "check_structure",
    "check_trace",
]  # fmt: skip
