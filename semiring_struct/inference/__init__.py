"""The queries: the one room that pairs structures, semirings and machines."""

from semiring_struct.inference.decode import (
    argmax,
    count,
    enumerate_events,
    sample,
    sample_without_replacement,
    score,
    topk,
)
from semiring_struct.inference.einsum import einsum
from semiring_struct.inference.explain import Plan, explain, program
from semiring_struct.inference.partition import (
    covariance_vp,
    cross_entropy,
    entropy,
    evaluate,
    expectation,
    kl,
    log_partition,
    marginals,
    max_score,
    renyi_entropy,
    variance,
)
from semiring_struct.inference.probability import contains, log_prob

__all__ = [
    "Plan", "argmax", "contains", "count", "covariance_vp", "cross_entropy", "einsum", "entropy", "enumerate_events",
    "evaluate", "expectation", "explain", "kl", "log_partition", "log_prob", "marginals", "max_score", "program",
    "renyi_entropy", "sample", "sample_without_replacement", "score", "topk", "variance",
]  # fmt: skip
