"""Distributions over structures, as torch.distributions objects: thin shells over the queries."""

from semiring_struct.distributions.base import StructDistribution
from semiring_struct.distributions.divergence import kl_of_structures
from semiring_struct.distributions.named import (
    HMM,
    AlignmentCRF,
    LinearChainCRF,
    ProjectiveDependencyCRF,
    SemiMarkovCRF,
    TreeCRF,
)
from semiring_struct.distributions.trace import TraceDistribution

__all__ = [
    "HMM", "AlignmentCRF", "LinearChainCRF", "ProjectiveDependencyCRF", "SemiMarkovCRF", "StructDistribution",
    "TraceDistribution", "TreeCRF", "kl_of_structures",
]  # fmt: skip
