"""Tensor numerics without domain words."""

from .logspace import NEG_INF, log_softmax, logaddexp, logsumexp, score, softmax
from .mask import lengths_from_mask, masked, prefix_mask
from .noise import exponential, gumbel, gumbel_with_maximum, uniform
from .refuse import refuse_where
from .select import max_value, one_hot_argmax, top_values
from .simplex import entmax, sparsemax, tsallis_max

__all__ = [
    "NEG_INF",
    "entmax",
    "exponential",
    "gumbel",
    "gumbel_with_maximum",
    "lengths_from_mask",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "masked",
    "max_value",
    "one_hot_argmax",
    "prefix_mask",
    "refuse_where",
    "score",
    "softmax",
    "sparsemax",
    "top_values",
    "tsallis_max",
    "uniform",
]
