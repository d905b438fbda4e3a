"""The queries: the one room that pairs structures, semirings and machines."""

from semiring_struct.inference.beliefs import Beliefs, loopy_belief_propagation
from semiring_struct.inference.decode import (
    argmax,
    beam_search,
    count,
    enumerate_events,
    greedy,
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
from semiring_struct.inference.soft_dtw import soft_dtw

__all__ = [
    "Beliefs", "Plan", "argmax", "beam_search", "contains", "count", "covariance_vp", "cross_entropy", "einsum",
    "entropy", "enumerate_events", "evaluate", "expectation", "explain", "greedy", "kl", "log_partition",
    "log_prob", "loopy_belief_propagation", "marginals", "max_score", "program", "renyi_entropy", "sample",
    "sample_without_replacement", "score", "soft_dtw", "topk", "variance",
]  # fmt: skip
