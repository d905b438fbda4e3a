"""semiring_struct: write a structure once, as one dynamic program; get every query and every gradient for it."""

from semiring_struct import testing
from semiring_struct.distributions import (
    HMM,
    AlignmentCRF,
    LinearChainCRF,
    ProjectiveDependencyCRF,
    SemiMarkovCRF,
    StructDistribution,
    TreeCRF,
)
from semiring_struct.errors import InfeasibleError, ProgramError, ShapeError, UnsupportedQueryError
from semiring_struct.inference import (
    Plan,
    argmax,
    contains,
    count,
    covariance_vp,
    cross_entropy,
    einsum,
    entropy,
    enumerate_events,
    evaluate,
    expectation,
    explain,
    kl,
    log_partition,
    log_prob,
    marginals,
    max_score,
    program,
    renyi_entropy,
    sample,
    sample_without_replacement,
    score,
    topk,
    variance,
)
from semiring_struct.semirings import (
    BooleanSemiring,
    CountingSemiring,
    EntmaxSemiring,
    EntropySemiring,
    ExpectationSemiring,
    GumbelSoftmaxSemiring,
    KBestSemiring,
    LogSemiring,
    MaxSemiring,
    RealSemiring,
    Reduction,
    SampleSemiring,
    Semiring,
    SoftmaxSemiring,
    SparsemaxSemiring,
)
from semiring_struct.structures import (
    Alignment,
    AlignmentPotentials,
    ChainPotentials,
    DynamicProgram,
    LinearChain,
    OneOf,
    ProjectiveTree,
    SemiMarkov,
    SemiMarkovPotentials,
    SpanTree,
    Structure,
    hmm,
)
from semiring_struct.types import DistinctSamples, TopK

__version__ = "0.1.0"
__all__ = [
    "HMM", "Alignment", "AlignmentCRF", "AlignmentPotentials", "BooleanSemiring", "ChainPotentials", "CountingSemiring",
    "DistinctSamples", "DynamicProgram", "EntmaxSemiring", "EntropySemiring", "ExpectationSemiring",
    "GumbelSoftmaxSemiring", "InfeasibleError", "KBestSemiring", "LinearChain", "LinearChainCRF", "LogSemiring",
    "MaxSemiring", "OneOf", "Plan", "ProgramError", "ProjectiveDependencyCRF", "ProjectiveTree", "RealSemiring",
    "Reduction", "SampleSemiring", "SemiMarkov", "SemiMarkovCRF", "SemiMarkovPotentials", "Semiring", "ShapeError",
    "SoftmaxSemiring", "SpanTree", "SparsemaxSemiring", "StructDistribution", "Structure", "TopK", "TreeCRF",
    "UnsupportedQueryError", "argmax", "contains", "count", "covariance_vp", "cross_entropy", "einsum", "entropy",
    "enumerate_events", "evaluate", "expectation", "explain", "hmm", "kl", "log_partition", "log_prob", "marginals",
    "max_score", "program", "renyi_entropy", "sample", "sample_without_replacement", "score", "testing", "topk",
    "variance",
]  # fmt: skip
