"""Estimators of expected costs: the value is the estimate, the backward pass the gradient estimator."""

from semiring_struct.estimators.baselines import (
    Baseline,
    Draws,
    IndependentSample,
    Learned,
    LeaveOneOut,
    MovingAverage,
    NoBaseline,
    SelfCritic,
)
from semiring_struct.estimators.bound import vimco
from semiring_struct.estimators.control import rebar, relax, squared_gradient
from semiring_struct.estimators.cost import AdditiveCost, CountedCost
from semiring_struct.estimators.exact import exact
from semiring_struct.estimators.score import score_function
from semiring_struct.estimators.sparse import SparseKind, SparseMAP, Sparsemax, TopKSparsemax, sparse_expectation
from semiring_struct.estimators.tail import sum_and_sample
from semiring_struct.estimators.taylor import muprop
from semiring_struct.estimators.traces import NoiseLevel, ScoreLevel, TraceLevel, trace_relax, trace_score
from semiring_struct.estimators.unordered import unordered_set

__all__ = [
    "AdditiveCost", "Baseline", "CountedCost", "Draws", "IndependentSample", "Learned", "LeaveOneOut", "MovingAverage",
    "NoBaseline", "NoiseLevel", "ScoreLevel", "SelfCritic", "SparseKind", "SparseMAP", "Sparsemax", "TopKSparsemax",
    "TraceLevel", "exact", "muprop", "rebar", "relax", "score_function", "sparse_expectation", "squared_gradient",
    "sum_and_sample", "trace_relax", "trace_score", "unordered_set", "vimco",
]  # fmt: skip
