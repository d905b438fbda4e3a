"""Relaxations: soft events with pathwise gradients."""

from semiring_struct.inference import marginals
from semiring_struct.ops import Gaussian, Gumbel, Logistic, NegativeExponential, Utility, entmax, sparsemax
from semiring_struct.relaxations.finite_difference import finite_difference
from semiring_struct.relaxations.mixed_bits import HardConcrete, HardKuma, RectifiedBit
from semiring_struct.relaxations.mixed_simplex import GaussianSparsemax, GumbelSparsemax
from semiring_struct.relaxations.perturbed import perturbed, perturbed_loss
from semiring_struct.relaxations.regularized import (
    BinaryEntropy,
    CategoricalEntropy,
    Euclidean,
    ExponentialFamily,
    Regularizer,
    regularized_argmax,
)
from semiring_struct.relaxations.sinkhorn import SoftMatching, sinkhorn
from semiring_struct.relaxations.smoothed import gumbel_crf, gumbel_softmax, smoothed
from semiring_struct.relaxations.sparse_topk import SparseTopK, topk_sparsemax
from semiring_struct.relaxations.sparsemap import sparsemap
from semiring_struct.relaxations.stochastic_softmax import stochastic_softmax

__all__ = [
    "BinaryEntropy", "CategoricalEntropy", "Euclidean", "ExponentialFamily", "Gaussian", "GaussianSparsemax", "Gumbel",
    "GumbelSparsemax", "HardConcrete", "HardKuma", "Logistic", "NegativeExponential", "RectifiedBit", "Regularizer",
    "SoftMatching", "SparseTopK", "Utility", "entmax", "finite_difference", "gumbel_crf", "gumbel_softmax", "marginals",
    "perturbed", "perturbed_loss", "regularized_argmax", "sinkhorn", "smoothed", "sparsemap", "sparsemax",
    "stochastic_softmax", "topk_sparsemax",
]  # fmt: skip
