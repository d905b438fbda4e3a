"""Surrogate gradients: a discrete event forwards, a stated gradient backwards."""

from semiring_struct.ops import SumOfGamma
from semiring_struct.surrogates.interpolation import blackbox, imle
from semiring_struct.surrogates.pulled_back import spigot, spigot_ce, spigot_eg
from semiring_struct.surrogates.quantize import quantization_loss, round_ste, vector_quantize
from semiring_struct.surrogates.straight_through import (
    gumbel_rao_blackwell,
    gumbel_straight_through,
    marginals_straight_through,
    straight_through,
)

__all__ = [
    "SumOfGamma", "blackbox", "gumbel_rao_blackwell", "gumbel_straight_through", "imle", "marginals_straight_through",
    "quantization_loss", "round_ste", "spigot", "spigot_ce", "spigot_eg", "straight_through", "vector_quantize",
]  # fmt: skip
