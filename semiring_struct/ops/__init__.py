"""Tensor numerics without domain words."""

from .active_set import ActiveSet, active_set, hull_weights, tight_atoms
from .capped import capped, clipped, exponential_up_to_one, logistic
from .derivatives import STATED, Derivative, call, differentiable, is_mapped, may_be_differentiated
from .laws import Gaussian, Gumbel, Logistic, NegativeExponential, SumOfGamma, Utility
from .logspace import NEG_INF, log1mexp, log_softmax, logaddexp, logcumsumexp, logsumexp, score, softmax
from .mask import lengths_from_mask, masked, prefix_mask
from .memory import Layout, Scratch, borrow, empty, give_back, release, zeros
from .noise import exponential, gumbel, gumbel_at, gumbel_with_maximum, new_seed, uniform, uniform_at
from .operators import constant, in_front, operator, outside, over_batch, over_paths, refused
from .ordered import add_at_, pick, running_sum, sum_at
from .promote import common_dtype
from .refuse import first_index, known_all, refuse_where, shown
from .segment import segment_argmin, segment_logsumexp, segment_max
from .select import counted, max_value, one_hot_argmax, tally, top_values
from .simplex import entmax, sparsemax, tsallis_max
from .stated import Pullback, stated

__all__ = [
    "NEG_INF", "STATED", "ActiveSet", "Derivative", "Gaussian", "Gumbel", "Layout", "Logistic", "NegativeExponential",
    "Pullback", "Scratch", "SumOfGamma", "Utility", "active_set", "add_at_", "borrow", "call", "capped", "clipped",
    "common_dtype", "constant", "counted", "differentiable", "empty", "entmax", "exponential", "exponential_up_to_one",
    "first_index", "give_back", "gumbel", "gumbel_at", "gumbel_with_maximum", "hull_weights", "in_front", "is_mapped",
    "known_all", "lengths_from_mask", "log1mexp", "log_softmax", "logaddexp", "logcumsumexp", "logistic", "logsumexp",
    "masked", "max_value", "may_be_differentiated", "new_seed", "one_hot_argmax", "operator", "outside", "over_batch",
    "over_paths", "pick", "prefix_mask", "refuse_where", "refused", "release", "running_sum", "score",
    "segment_argmin", "segment_logsumexp", "segment_max", "shown", "softmax", "sparsemax", "stated", "sum_at", "tally",
    "tight_atoms", "top_values", "tsallis_max", "uniform", "uniform_at", "zeros",
]  # fmt: skip
